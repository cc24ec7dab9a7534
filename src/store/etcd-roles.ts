/**
 * Roles that one node has at a time: a key under the node's lease, so that a role is
 * free again when its node is gone. Whoever writes in a role compares the key's
 * revision in the same transaction, so a node that lost it without knowing writes nothing.
 */
import type { EtcdClient } from './etcd-client.js'
import type { Replica } from './etcd-replica.js'
import { type KeyValue, put, remove, unchanged } from './etcd-wire.js'
import type { Fence } from './store.js'

/** The role's key is taken, or found to be held under `lease`; null while it is another's. Throws MESH_STORE. */
export async function takeRole(
  client: EtcdClient,
  key: string,
  node: string,
  lease: string,
  replica: Replica,
): Promise<Fence | null> {
  // What the replica knows costs no question; the transaction of each write is the judge.
  const known = replica.trouble ? undefined : replica.entries.get(key)
  if (known) return fenceOf(known, lease)
  const { succeeded, revision } = await client.transact([unchanged(key, 0)], [put(key, node, lease)])
  if (succeeded) return { key, revision }
  const entry = await client.get(key)
  return entry ? fenceOf(entry, lease) : null
}

/** A lease is one process's own: what hangs on it was written by this agent. */
function fenceOf({ key, lease, revision }: KeyValue, own: string): Fence | null {
  return lease === own ? { key, revision } : null
}

/** Removes the role's key if it is held under `lease`. Throws MESH_STORE. */
export async function giveRoleUp(client: EtcdClient, key: string, lease: string): Promise<void> {
  const entry = await client.get(key)
  if (entry && fenceOf(entry, lease)) await client.transact([unchanged(key, entry.revision)], [remove(key)])
}
