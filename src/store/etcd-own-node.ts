/**
 * What this node tells the others by etcd: that it is alive, its containers, what Swarm is
 * about to stop, and the roles it has. All of it hangs on a lease that is kept alive here.
 * What others tell is read in etcd-cluster.ts; the keys are described in cluster-keys.ts.
 *
 * Each write names the revision of the node's own `alive` key and renews it. So a write
 * that was delayed somewhere (a frozen server that thaws) cannot undo a later one, and of
 * two agents that both believe to be this node only the last one to join speaks.
 *
 * Cut off for longer than the lease, a node finds it gone: it takes a new one, tells its
 * containers first and that it is alive last, and all the while goes on as it was.
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { reasonOf } from '../errors.js'
import type { NodeRecord } from '../model/cluster.js'
import type { Claim, OwnContainer } from './cluster.js'
import { aliveOf, aliveValue, type ClusterKeys, containerValue } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import { EtcdLease } from './etcd-lease.js'
import { containerChanges, readContainers, readWritten } from './etcd-own-containers.js'
import { claimPlace, displaced, placeLost } from './etcd-places.js'
import type { Replica } from './etcd-replica.js'
import { giveRoleUp, takeRole } from './etcd-roles.js'
import { type Compare, EtcdError, grpc, type Operation, put, relet, unchanged } from './etcd-wire.js'
import type { Fence } from './store.js'
import { Turns } from './turns.js'

/** Containers told in one transaction. */
const batch = 500
/** After a restart: how long what the former agent told stays without being told again, seconds. */
const bridge = 10
/** Between two attempts to tell what could not be told, milliseconds. */
const retryGap = 300

/** The place this node holds, and what etcd has of it. */
interface OwnPlace {
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

export interface EtcdOwnNodeOptions {
  readonly client: EtcdClient
  readonly replica: Replica
  readonly keys: ClusterKeys
  /** Time of the lease, from 1. */
  readonly seconds: number
  /** The place was lost to another agent or node; null: it was taken. */
  readonly onTrouble: (error: Error | null) => void
  /** The lease was lost while etcd was out of reach. */
  readonly onLeaseLost: () => void
}

export class EtcdOwnNode {
  readonly #options: EtcdOwnNodeOptions
  readonly #client: EtcdClient
  readonly #keys: ClusterKeys
  readonly #agent = randomUUID()
  readonly #turns = new Turns(retryGap)
  #own: OwnPlace | null = null
  /** What this node has to tell; null: nothing was announced yet. */
  #wanted: Map<string, string> | null = null
  /** Containers that Swarm is about to stop, as far as this node knows. */
  #ending: readonly string[] = []

  constructor(options: EtcdOwnNodeOptions) {
    this.#options = options
    this.#client = options.client
    this.#keys = options.keys
  }

  /** Name of the place it holds; null: none. */
  get name(): string | null {
    return this.#own?.record.name ?? null
  }

  /** When the lease was last renewed, by performance.now(); null: there is none. */
  get renewedAt(): number | null {
    return this.#own?.lease.renewedAt ?? null
  }

  /** Renews the lease no more: it runs out, and others see this node go. */
  async stop(): Promise<void> {
    this.#turns.end()
    await this.#own?.lease.release()
    await this.#turns.done()
  }

  join(claim: Claim): Promise<NodeRecord> {
    return this.#turns.next(async () => {
      await this.#own?.lease.release()
      const lease = await this.#takeLease()
      try {
        const patience = (this.#options.seconds + 2) * 1000
        const news = { told: false, ending: [] }
        const claimant = { claim, agent: this.#agent, ...news, lease: lease.id, number: null, patience }
        const held = await claimPlace(this.#client, this.#keys, claimant)
        this.#own = { claim, ...held, lease, ...news, written: null }
        await this.#keepFormer(this.#own)
        this.#options.onTrouble(null)
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
    return this.#turns.next(() => this.#write())
  }

  pause(seconds: number): Promise<void> {
    return this.#turns.next(async () => {
      const own = this.#own
      if (!own) return
      const { id } = await this.#client.grant(seconds)
      const entries = await readContainers(this.#client, this.#keys, own.record.name)
      const operations = entries.map(({ key }) => relet(key, id))
      if (!(await this.#transact(own, operations, id))) throw displaced(own.record.name)
      this.#own = null
      await own.lease.release()
    })
  }

  leave(): Promise<void> {
    return this.#turns.next(async () => {
      const own = this.#own
      this.#own = null
      await own?.lease.revoke()
    })
  }

  lead(role: string): Promise<Fence | null> {
    return this.#turns.next(async () => {
      const own = this.#own
      if (!own || this.#turns.ended) return null
      const { record, lease } = own
      const { client, keys, replica } = this.#options
      return takeRole(client, keys.leader(role), record.name, lease.id, replica)
    })
  }

  resign(role: string): Promise<void> {
    return this.#turns.next(async () => {
      const own = this.#own
      if (own) await giveRoleUp(this.#client, this.#keys.leader(role), own.lease.id).catch(reasonOf)
    })
  }

  #takeLease(): Promise<EtcdLease> {
    const lost = (lease: EtcdLease) => {
      if (this.#own?.lease === lease) void this.#turns.next(() => this.#regain(lease))
    }
    return EtcdLease.take(this.#client, this.#options.seconds, lost)
  }

  /** What the former agent of this node told goes on for a while under a lease that nobody renews. */
  async #keepFormer(own: OwnPlace): Promise<void> {
    const entries = await readContainers(this.#client, this.#keys, own.record.name)
    if (entries.length === 0) return
    const { id } = await this.#client.grant(bridge)
    const operations = entries.map(({ key }) => relet(key, id))
    // Gone in the meantime: announced again soon.
    await this.#transact(own, operations, own.lease.id).catch(reasonOf)
  }

  /**
   * Carries out operations as this node, in batches, the last of them renewing the
   * `alive` key under `lease`. False: another agent has taken the place, or the lease is gone.
   */
  async #transact(own: OwnPlace, operations: readonly Operation[], lease: string): Promise<boolean> {
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
    if (!own || !this.#wanted || this.#turns.ended) return
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
      this.#turns.later(() => this.#write())
      throw error
    }
  }

  async #differences(own: OwnPlace, wanted: ReadonlyMap<string, string>): Promise<Operation[]> {
    const { record, lease } = own
    own.written ??= await readWritten(this.#client, this.#keys, record.name, lease.id)
    return containerChanges(this.#keys, { name: record.name, lease: lease.id }, own.written, wanted)
  }

  /** After a refused write: whether to try again. Regains a lost lease; gives up a place that another agent took. */
  async #stillOwn(own: OwnPlace): Promise<boolean> {
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
    if (!own || own.lease !== lost || this.#turns.ended) return
    const { name, number } = own.record
    this.#options.onLeaseLost()
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
      this.#options.onLeaseLost()
      own.revision = held.revision
      own.ending = ending
      own.written = wanted && new Map(wanted)
    } catch (error) {
      if (!(error instanceof EtcdError)) return this.#giveUp(own, error as Error)
      const { lease } = own
      this.#turns.later(() => this.#regain(lease))
    }
  }

  async #giveUp(own: OwnPlace, reason: Error): Promise<void> {
    this.#own = null
    this.#options.onTrouble(reason)
    await own.lease.revoke()
  }
}
