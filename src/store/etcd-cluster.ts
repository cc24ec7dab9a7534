/**
 * The cluster in etcd: what the other nodes tell is read here, what this one tells is in
 * etcd-own-node.ts. The keys are described in cluster-keys.ts.
 *
 * As this node's lease ran out while etcd was out of reach, those of others may have too:
 * they are believed to be there until they had the time to say so themselves.
 */
import { MeshError, reasonOf } from '../errors.js'
import type { ClusterNode, ClusterSnapshot, NodeRecord } from '../model/cluster.js'
import { Breather } from './breather.js'
import type { Claim, Cluster, OwnContainer } from './cluster.js'
import { type ClusterKeys, clusterKeys } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import { EtcdOwnNode } from './etcd-own-node.js'
import { giveBack, markDraining } from './etcd-places.js'
import type { Replica } from './etcd-replica.js'
import { SnapshotBuilder } from './snapshot-builder.js'
import type { Fence } from './store.js'

/** While a node is spared: when it is looked again whether it still is, milliseconds. */
const spareCheck = 250

export class EtcdCluster implements Cluster {
  readonly name = 'cluster'
  readonly #client: EtcdClient
  readonly #replica: Replica
  readonly #keys: ClusterKeys
  readonly #seconds: number
  readonly #own: EtcdOwnNode
  readonly #builder: SnapshotBuilder
  readonly #breather = new Breather(() => this.#deliver())
  /** Keys that have changed since the last delivery; null: any. */
  #changed: Set<string> | null = null
  #listener: ((snapshot: ClusterSnapshot) => void) | null = null
  #onTrouble: (error: Error | null) => void = () => {}
  #told = ''
  #replicaTrouble: Error | null = null
  #ownTrouble: Error | null = null
  /** Runs while a node is spared. */
  #spareTimer: NodeJS.Timeout | null = null
  /** When etcd was last found well again, and until when others are spared; by performance.now(). */
  #healedAt = 0
  #spareUntil = 0

  /** `seconds`: time of the lease, from 1. `prefix` ends in `/`; the replica's is the same. */
  constructor(client: EtcdClient, replica: Replica, prefix: string, seconds: number) {
    this.#client = client
    this.#replica = replica
    this.#keys = clusterKeys(prefix)
    this.#builder = new SnapshotBuilder(this.#keys)
    this.#seconds = seconds
    this.#own = new EtcdOwnNode({
      client,
      replica,
      keys: this.#keys,
      seconds,
      onTrouble: error => {
        this.#ownTrouble = error
        this.#tell()
      },
      onLeaseLost: () => this.#spareOthers(),
    })
  }

  start(listener: (snapshot: ClusterSnapshot) => void, onTrouble: (error: Error | null) => void): void {
    this.#listener = listener
    this.#onTrouble = onTrouble
    this.#replica.listen({
      onChange: keys => this.#note(keys),
      onTrouble: error => {
        this.#replicaTrouble = error
        if (error === null) {
          this.#healedAt = performance.now()
          this.#deliver()
        }
        this.#tell()
      },
    })
  }

  /** Renews the lease no more: it runs out, and others see this node go. */
  async stop(): Promise<void> {
    this.#listener = null
    this.#onTrouble = () => {}
    if (this.#spareTimer) clearTimeout(this.#spareTimer)
    this.#breather.stop()
    await this.#own.stop()
  }

  close(): Promise<void> {
    return this.stop()
  }

  join(claim: Claim, onMoved?: () => void): Promise<NodeRecord> {
    return this.#own.join(claim, onMoved)
  }

  announce(containers: readonly OwnContainer[], ending?: readonly string[]): Promise<void> {
    return this.#own.announce(containers, ending)
  }

  pause(seconds: number): Promise<void> {
    return this.#own.pause(seconds)
  }

  leave(): Promise<void> {
    return this.#own.leave()
  }

  lead(role: string): Promise<Fence | null> {
    return this.#own.lead(role)
  }

  resign(role: string): Promise<void> {
    return this.#own.resign(role)
  }

  leader(role: string): string | null {
    return this.#replica.entries.get(this.#keys.leader(role))?.value ?? null
  }

  nodes(): readonly ClusterNode[] {
    const { last } = this.#builder
    if (!last) throw this.#replicaTrouble ?? new MeshError('MESH_STORE', 'etcd has not answered yet')
    return last.nodes
  }

  drain(name: string, draining: boolean): Promise<void> {
    return markDraining(this.#client, this.#keys, name, draining)
  }

  remove(name: string): Promise<void> {
    return giveBack(this.#client, this.#keys, name)
  }

  /** The own lease was lost, and others' may have been lost for the same reason: they get time to return. */
  #spareOthers(): void {
    this.#spareUntil = performance.now() + (this.#seconds + 1) * 1000
  }

  /** `keys`: what has changed in the replica; null: anything. */
  #note(keys: ReadonlySet<string> | null): void {
    if (keys === null) this.#changed = null
    else if (this.#changed) for (const key of keys) this.#changed.add(key)
    this.#breather.ask()
  }

  #deliver(): void {
    if (!this.#replica.known) return
    const keys = this.#changed
    this.#changed = new Set()
    const before = this.#builder.last
    const { name: ownName, renewedAt } = this.#own
    if (ownName !== null && !this.#replica.entries.has(this.#keys.alive(ownName))) {
      this.#spareOthers()
      this.#own.missed()
    }
    // Nothing is known of the own lease since etcd came back.
    const unsure = renewedAt !== null && (this.#replicaTrouble !== null || renewedAt < this.#healedAt)
    const spare = unsure || performance.now() < this.#spareUntil
    const { snapshot, spared } = this.#builder.build(
      this.#replica.entries,
      name => spare || name === ownName,
      keys,
    )
    if (spared) this.#deliverLater()
    if (snapshot !== before) this.#listener?.(snapshot)
  }

  #deliverLater(): void {
    if (this.#spareTimer || this.#listener === null) return
    this.#spareTimer = setTimeout(() => {
      this.#spareTimer = null
      this.#deliver()
    }, spareCheck)
    this.#spareTimer.unref()
  }

  #tell(): void {
    const trouble = this.#replicaTrouble ?? this.#ownTrouble
    const told = trouble ? reasonOf(trouble) : ''
    if (told === this.#told) return
    this.#told = told
    this.#onTrouble(trouble)
  }
}
