/**
 * One node's containers in etcd: what is there of them, and what to write so that there
 * is what the node has to tell. Who may write, and when: etcd-own-node.ts.
 */
import type { ClusterKeys } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import { afterPrefix, type KeyValue, type Operation, put, remove } from './etcd-wire.js'

/** Throws MESH_STORE. */
export async function readContainers(
  client: EtcdClient,
  keys: ClusterKeys,
  name: string,
): Promise<readonly KeyValue[]> {
  const from = keys.containers(name)
  const { keys: entries } = await client.range(from, afterPrefix(from))
  return entries
}

/**
 * Id → value of the node's containers. What hangs on another lease than `lease` will go with
 * that one: its value is '', so that it is told again even if it is the same. Throws MESH_STORE.
 */
export async function readWritten(
  client: EtcdClient,
  keys: ClusterKeys,
  name: string,
  lease: string,
): Promise<Map<string, string>> {
  const entries = await readContainers(client, keys, name)
  const { length } = keys.containers(name)
  return new Map(entries.map(entry => [entry.key.slice(length), entry.lease === lease ? entry.value : '']))
}

/** From what is written to what is wanted, both id → value. */
export function containerChanges(
  keys: ClusterKeys,
  { name, lease }: { readonly name: string; readonly lease: string },
  written: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): Operation[] {
  const changed = [...wanted].filter(([id, value]) => written.get(id) !== value)
  const gone = [...written.keys()].filter(id => !wanted.has(id))
  return [
    ...changed.map(([id, value]) => put(keys.container(name, id), value, lease)),
    ...gone.map(id => remove(keys.container(name, id))),
  ]
}
