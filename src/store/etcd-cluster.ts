/**
 * The cluster in etcd: what this node tells hangs on a lease that its agent keeps
 * alive, so that others forget a dead node by themselves. The keys are described in
 * cluster-keys.ts.
 *
 * Each write of this node's names the revision of its own `alive` key and renews it. So a
 * write that was delayed somewhere (a frozen server that thaws) cannot undo a later one,
 * and of two agents that both believe to be this node only the last one to join speaks.
 *
 * Cut off for longer than the lease, a node finds it gone: it takes a new one, tells its
 * containers first and that it is alive last, and all the while goes on as it was. As its
 * own lease ran out while etcd was out of reach, those of others may have too: they are
 * believed to be there until they had the time to say so themselves.
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { MeshError, reasonOf } from '../errors.js'
import type { ClusterNode, ClusterSnapshot, NodeRecord } from '../model/cluster.js'
import { Breather } from './breather.js'
import type { Claim, Cluster, OwnContainer } from './cluster.js'
import { aliveOf, aliveValue, clusterKeys, containerValue } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import { EtcdLease } from './etcd-lease.js'
import { claimPlace, giveBack, markDraining } from './etcd-places.js'
import type { Replica } from './etcd-replica.js'
import { giveRoleUp, takeRole } from './etcd-roles.js'
import { type Compare, EtcdError, grpc, type Operation, put, relet, remove, unchanged } from './etcd-wire.js'
import { SnapshotBuilder } from './snapshot-builder.js'
import type { Fence } from './store.js'

/** Containers told in one transaction. */
const batch = 500
/** After a restart: how long what the former agent told stays without being told again, seconds. */
const bridge = 10
/** Between two attempts to tell what could not be told, milliseconds. */
const retryGap = 300

/** A node that holds its place. */
interface Membership {
  readonly claim: Claim
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

export class EtcdCluster implements Cluster {
  readonly name = 'cluster'
  readonly #client: EtcdClient
  readonly #replica: Replica
  readonly #keys: ReturnType<typeof clusterKeys>
  readonly #seconds: number
  readonly #agent = randomUUID()
  readonly #builder: SnapshotBuilder
  readonly #breather = new Breather(() => this.#deliver())
  /** Keys that have changed since the last delivery; null: any. */
  #changed: Set<string> | null = null
  #listener: ((snapshot: ClusterSnapshot) => void) | null = null
  #onTrouble: (error: Error | null) => void = () => {}
  #told = ''
  #replicaTrouble: Error | null = null
  #ownTrouble: Error | null = null
  #own: Membership | null = null
  /** What this node has to tell; null: nothing was announced yet. */
  #wanted: Map<string, string> | null = null
  /** Containers that Swarm is about to stop, as far as this node knows. */
  #ending: readonly string[] = []
  #queue: Promise<unknown> = Promise.resolve()
  #timers = new Set<NodeJS.Timeout>()
  #closed = false
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
    this.#closed = true
    this.#listener = null
    this.#onTrouble = () => {}
    for (const timer of this.#timers) clearTimeout(timer)
    this.#breather.stop()
    await this.#own?.lease.release()
    await this.#queue
  }

  close(): Promise<void> {
    return this.stop()
  }

  join(claim: Claim): Promise<NodeRecord> {
    return this.#enqueue(async () => {
      await this.#own?.lease.release()
      const lease = await this.#takeLease()
      try {
        const patience = (this.#seconds + 2) * 1000
        const news = { told: false, ending: [] }
        const claimant = { claim, agent: this.#agent, ...news, lease: lease.id, number: null, patience }
        const held = await claimPlace(this.#client, this.#keys, claimant)
        this.#own = { claim, ...held, lease, ...news, written: null }
        await this.#keepFormer(this.#own)
        this.#ownTrouble = null
        this.#tell()
        return held.record
      } catch (error) {
        await lease.revoke()
        this.#own = null
        throw error
      }
    })
  }

  announce(containers: readonly OwnContainer[], ending: readonly string[] = []): Promise<void> {
    this.#ending = ending
    this.#wanted = new Map(containers.map(container => [container.id, containerValue(container)]))
    return this.#enqueue(() => this.#write())
  }

  pause(seconds: number): Promise<void> {
    return this.#enqueue(async () => {
      const own = this.#own
      if (!own) return
      const { id } = await this.#client.grant(seconds)
      const { keys } = await this.#client.range(...this.#ownRange(own.record.name))
      const operations = keys.map(({ key }) => relet(key, id))
      if (!(await this.#transact(own, operations, id))) throw displaced(own.record.name)
      this.#own = null
      await own.lease.release()
    })
  }

  leave(): Promise<void> {
    return this.#enqueue(async () => {
      const own = this.#own
      this.#own = null
      await own?.lease.revoke()
    })
  }

  lead(role: string): Promise<Fence | null> {
    return this.#enqueue(async () => {
      const own = this.#own
      if (!own || this.#closed) return null
      return takeRole(this.#client, this.#keys.leader(role), own.record.name, own.lease.id, this.#replica)
    })
  }

  resign(role: string): Promise<void> {
    return this.#enqueue(async () => {
      const own = this.#own
      if (own) await giveRoleUp(this.#client, this.#keys.leader(role), own.lease.id).catch(reasonOf)
    })
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

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }

  #later(milliseconds: number, work: () => void): void {
    if (this.#closed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, milliseconds)
    timer.unref()
    this.#timers.add(timer)
  }

  #takeLease(): Promise<EtcdLease> {
    const lost = (lease: EtcdLease) => {
      if (this.#own?.lease === lease) void this.#enqueue(() => this.#regain(lease))
    }
    return EtcdLease.take(this.#client, this.#seconds, lost)
  }

  #ownRange(name: string): [string, string] {
    const from = this.#keys.containers(name)
    return [from, `${from.slice(0, -1)}0`]
  }

  /** What the former agent of this node told goes on for a while under a lease that nobody renews. */
  async #keepFormer(own: Membership): Promise<void> {
    const { keys } = await this.#client.range(...this.#ownRange(own.record.name))
    if (keys.length === 0) return
    const { id } = await this.#client.grant(bridge)
    await this.#transact(
      own,
      keys.map(({ key }) => relet(key, id)),
      own.lease.id,
    ).catch(reasonOf) // gone in the meantime: announced again soon
  }

  /**
   * Carries out operations as this node, in batches, the last of them renewing the
   * `alive` key under `lease`. False: another agent has taken the place, or the lease is gone.
   */
  async #transact(own: Membership, operations: readonly Operation[], lease: string): Promise<boolean> {
    const { name, address } = own.record
    const value = aliveValue({ address, agent: this.#agent, told: own.told, ending: this.#ending })
    for (let at = 0; at === 0 || at < operations.length; at += batch) {
      const last = at + batch >= operations.length
      const some = operations.slice(at, at + batch)
      const renewed = put(this.#keys.alive(name), value, last ? lease : own.lease.id)
      const { succeeded, revision } = await this.#client.transact(
        [unchanged(this.#keys.alive(name), own.revision)],
        [...some, renewed],
      )
      if (!succeeded) return false
      own.revision = revision
    }
    return true
  }

  /** Makes etcd hold what this node has to tell; tries again later where that cannot be done now. */
  async #write(): Promise<void> {
    const own = this.#own
    if (!own || !this.#wanted || this.#closed) return
    try {
      for (;;) {
        const wanted = this.#wanted
        const operations = await this.#differences(own, wanted)
        const ending = this.#ending
        if (operations.length === 0 && own.told && isDeepStrictEqual(own.ending, ending)) return
        own.told = true
        if (await this.#transact(own, operations, own.lease.id)) {
          own.written = new Map(wanted)
          own.ending = ending
        } else if (!(await this.#stillOwn(own))) return
      }
    } catch (error) {
      own.written = null
      own.ending = null
      if (error instanceof EtcdError && error.grpcCode === grpc.notFound) return this.#regain(own.lease)
      this.#later(retryGap, () => void this.#enqueue(() => this.#write()).catch(reasonOf))
      throw error
    }
  }

  async #differences(own: Membership, wanted: ReadonlyMap<string, string>): Promise<Operation[]> {
    const { name } = own.record
    if (!own.written) {
      const { keys } = await this.#client.range(...this.#ownRange(name))
      const from = this.#keys.containers(name).length
      // What hangs on another lease will go with it: told again even if it is the same.
      own.written = new Map(
        keys.map(({ key, value, lease }) => [key.slice(from), lease === own.lease.id ? value : '']),
      )
    }
    const operations: Operation[] = []
    for (const [id, value] of wanted)
      if (own.written.get(id) !== value)
        operations.push(put(this.#keys.container(name, id), value, own.lease.id))
    for (const id of own.written.keys())
      if (!wanted.has(id)) operations.push(remove(this.#keys.container(name, id)))
    return operations
  }

  /** After a refused write: whether to try again. Regains a lost lease; gives up a place that another agent took. */
  async #stillOwn(own: Membership): Promise<boolean> {
    own.written = null
    own.ending = null
    const entry = await this.#client.get(this.#keys.alive(own.record.name))
    if (!entry) {
      await this.#regain(own.lease)
      return this.#own === own
    }
    if (aliveOf(entry)?.agent === this.#agent) {
      own.revision = entry.revision
      return true
    }
    await this.#giveUp(own, displaced(own.record.name))
    return false
  }

  /** Back after the lease was lost: containers first, the word that the node is alive last. */
  async #regain(lost: EtcdLease): Promise<void> {
    const own = this.#own
    if (!own || own.lease !== lost || this.#closed) return
    const { name, number } = own.record
    this.#spareOthers()
    try {
      const lease = await this.#takeLease()
      await lost.release()
      own.lease = lease
      own.written = null
      const absent: Compare = unchanged(this.#keys.alive(name), 0)
      // What is announced from here on is written after this, and has to differ from it.
      const wanted = this.#wanted
      const operations = wanted ? await this.#differences(own, wanted) : []
      for (let at = 0; at < operations.length; at += batch) {
        const { succeeded } = await this.#client.transact([absent], operations.slice(at, at + batch))
        if (!succeeded) return await this.#giveUp(own, displaced(name))
      }
      own.told = wanted !== null
      const ending = this.#ending
      const { claim, told } = own
      const claimant = { claim, agent: this.#agent, told, ending, lease: lease.id, number, patience: 0 }
      const held = await claimPlace(this.#client, this.#keys, claimant)
      if (held.record.number !== number) return await this.#giveUp(own, placeLost(own.record))
      this.#spareOthers()
      own.revision = held.revision
      own.ending = ending
      own.written = wanted && new Map(wanted)
    } catch (error) {
      if (!(error instanceof EtcdError)) return this.#giveUp(own, error as Error)
      const { lease } = own
      this.#later(retryGap, () => void this.#enqueue(() => this.#regain(lease)))
    }
  }

  async #giveUp(own: Membership, reason: Error): Promise<void> {
    this.#own = null
    this.#ownTrouble = reason
    this.#tell()
    await own.lease.revoke()
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
    const own = this.#own
    if (own && !this.#replica.entries.has(this.#keys.alive(own.record.name))) this.#spareOthers()
    // Nothing is known of the own lease since etcd came back.
    const unsure = own !== null && (this.#replicaTrouble !== null || own.lease.renewedAt < this.#healedAt)
    const spare = unsure || performance.now() < this.#spareUntil
    const { snapshot, spared } = this.#builder.build(
      this.#replica.entries,
      name => spare || name === own?.record.name,
      keys,
    )
    if (spared) this.#later(250, () => this.#deliver())
    if (snapshot !== before) this.#listener?.(snapshot)
  }

  #tell(): void {
    const trouble = this.#replicaTrouble ?? this.#ownTrouble
    const told = trouble ? reasonOf(trouble) : ''
    if (told === this.#told) return
    this.#told = told
    this.#onTrouble(trouble)
  }
}

function displaced(name: string): MeshError {
  return new MeshError(
    'MESH_STORE',
    `another meshd has joined as node ${name}; this one tells nothing any more; end one of the two`,
  )
}

function placeLost({ name, number }: NodeRecord): MeshError {
  return new MeshError(
    'MESH_STORE',
    `node ${name} was removed and its number ${number} given to another one; restart meshd to join anew`,
  )
}
