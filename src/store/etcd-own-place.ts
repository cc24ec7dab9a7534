/**
 * The place that this node holds in etcd, and how anything is written in its name.
 */
import type { NodeRecord } from '../model/cluster.js'
import type { Claim } from './cluster.js'
import { aliveValue, type ClusterKeys } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import type { EtcdLease } from './etcd-lease.js'
import { type Operation, put, unchanged } from './etcd-wire.js'

/** Containers told in one transaction. */
export const batch = 500

/** The place, and what etcd has of it. */
export interface OwnPlace {
  readonly claim: Claim
  /** To be called when the number turns out to have become another node's. */
  readonly onMoved: () => void
  readonly record: NodeRecord
  lease: EtcdLease
  /** Revision of the own `alive` key. */
  revision: number
  /** Whether its containers were told once. */
  told: boolean
  /** What etcd has of containers that Swarm is about to stop; null: not known. */
  ending: readonly string[] | null
  /** Id → value, as etcd has it under the present lease; null: not known. */
  written: Map<string, string> | null
}

export interface Writer {
  readonly client: EtcdClient
  readonly keys: ClusterKeys
  /** Random id of this process. */
  readonly agent: string
}

/**
 * Carries out operations in batches, each of which renews the `alive` key, the last of them
 * under the lease `pause` if the agent is to end. False: that key is not as this node has
 * written it last.
 */
export async function writeInName(
  { client, keys, agent }: Writer,
  own: OwnPlace,
  operations: readonly Operation[],
  { ending, pause }: { readonly ending: readonly string[]; readonly pause: string | null },
): Promise<boolean> {
  const { name, address } = own.record
  const key = keys.alive(name)
  const { told } = own
  const value = aliveValue({ address, agent, told, ending, ...(pause === null ? {} : { paused: true }) })
  for (let at = 0; at === 0 || at < operations.length; at += batch) {
    const last = at + batch >= operations.length
    const renewed = put(key, value, last && pause !== null ? pause : own.lease.id)
    const { succeeded, revision } = await client.transact(
      [unchanged(key, own.revision)],
      [...operations.slice(at, at + batch), renewed],
    )
    if (!succeeded) return false
    own.revision = revision
  }
  return true
}
