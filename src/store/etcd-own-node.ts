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
import { aliveOf, type ClusterKeys, containerValue } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import { EtcdLease } from './etcd-lease.js'
import { containerChanges, readContainers, readWritten } from './etcd-own-containers.js'
import { batch, type OwnPlace, writeInName } from './etcd-own-place.js'
import { claimPlace, displaced, placeLost } from './etcd-places.js'
import type { Replica } from './etcd-replica.js'
import { giveRoleUp, takeRole } from './etcd-roles.js'
import { EtcdError, grpc, type Operation, relet, unchanged } from './etcd-wire.js'
import type { Fence } from './store.js'
import { Turns } from './turns.js'

/** After a restart: how long what the former agent told stays without being told again, seconds. */
const bridge = 10
/** Between two attempts to tell what could not be told, milliseconds. */
const retryGap = 300

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
  /** The place that another agent has taken; null: none has. */
  #displaced: OwnPlace | null = null
  #isLookedFor = false
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

  join(claim: Claim, onMoved = () => {}): Promise<NodeRecord> {
    return this.#turns.next(async () => {
      await this.#own?.lease.release()
      this.#displaced = null
      const lease = await this.#takeLease()
      try {
        const patience = (this.#options.seconds + 2) * 1000
        const news = { told: false, ending: [] }
        const claimant = { claim, agent: this.#agent, ...news, lease: lease.id, number: null, patience }
        const held = await claimPlace(this.#client, this.#keys, claimant)
        this.#own = { claim, onMoved, ...held, lease, ...news, written: null }
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

  /** etcd was seen without this node's word that it is alive: its lease ran out, or somebody removed it. */
  missed(): void {
    const own = this.#own
    if (!own || this.#isLookedFor || this.#turns.ended) return
    this.#isLookedFor = true
    this.#turns
      .next(async () => this.#own === own && this.#stillOwn(own))
      .catch(reasonOf) // etcd is out of reach: seen again when it is not
      .finally(() => {
        this.#isLookedFor = false
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
      this.#displaced = null
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
      this.#displaced = null
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
    await this.#transact(own, operations).catch(reasonOf)
  }

  /** False: another agent has taken the place, or the lease is gone. */
  #transact(own: OwnPlace, operations: readonly Operation[], pause: string | null = null): Promise<boolean> {
    const writer = { client: this.#client, keys: this.#keys, agent: this.#agent }
    return writeInName(writer, own, operations, { ending: this.#ending, pause })
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
        if (await this.#transact(own, operations)) {
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
    await this.#yield(own)
    return false
  }

  /** Another agent has taken the place; when that one is gone, it is this one's again. */
  async #yield(own: OwnPlace): Promise<void> {
    await this.#giveUp(own, displaced(own.record.name))
    this.#displaced = own
    this.#turns.later(() => this.#comeBack(own))
  }

  async #comeBack(own: OwnPlace): Promise<void> {
    if (this.#displaced !== own) return
    const { entries, trouble } = this.#options.replica
    if (trouble || entries.has(this.#keys.alive(own.record.name)))
      return this.#turns.later(() => this.#comeBack(own))
    this.#displaced = null
    this.#own = own
    await this.#regain(own.lease)
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
      const alive = await this.#client.get(this.#keys.alive(name))
      // Its own where an attempt to come back was carried out though no answer came.
      if (alive && aliveOf(alive)?.agent !== this.#agent) return await this.#yield(own)
      const standing = unchanged(this.#keys.alive(name), alive?.revision ?? 0)
      // What is announced from here on is written after this, and has to differ from it.
      const wanted = this.#wanted
      const operations = wanted ? await this.#differences(own, wanted) : []
      for (let at = 0; at < operations.length; at += batch) {
        const { succeeded } = await this.#client.transact([standing], operations.slice(at, at + batch))
        if (!succeeded) return this.#turns.later(() => this.#regain(lease))
      }
      own.told = wanted !== null
      const ending = this.#ending
      const { claim, told } = own
      const claimant = { claim, agent: this.#agent, told, ending, lease: lease.id, number, patience: 0 }
      const held = await claimPlace(this.#client, this.#keys, claimant)
      if (held.record.number !== number)
        return await this.#giveUp(own, placeLost(own.record)).finally(own.onMoved)
      this.#options.onLeaseLost()
      own.revision = held.revision
      own.ending = ending
      own.written = wanted && new Map(wanted)
      this.#options.onTrouble(null)
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
