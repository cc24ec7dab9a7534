/**
 * The store of many machines: services in etcd, one key each, without a lease. Every
 * change is one transaction that holds only if no service was written since it was
 * read; the loser of two changes at one moment is made again upon what the winner left.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { MeshError, reasonOf } from '../errors.js'
import type { Service } from '../model/service.js'
import type { ServiceSnapshot } from '../model/snapshot.js'
import type { EtcdClient } from './etcd-client.js'
import type { Replica } from './etcd-replica.js'
import {
  changeOf,
  isOfServices,
  readServices,
  type StoredServices,
  servicesEnd,
  servicesKey,
} from './etcd-services.js'
import { EtcdError, type KeyValue } from './etcd-wire.js'
import type { Fence, Store } from './store.js'

/** How long one update is tried again when others write all the time, milliseconds. */
const longestUpdate = 20_000
/** How long an update waits for its own news, milliseconds. */
const longestEcho = 1000

export class EtcdStore implements Store {
  readonly name = 'etcd'
  readonly #client: EtcdClient
  readonly #replica: Replica
  readonly #prefix: string
  readonly #former = new WeakMap<KeyValue, Service>()
  /** Key → the last service it held that could be understood. */
  #good = new Map<string, Service>()
  #last: readonly Service[] | null = null
  /** Whether etcd ever held anything of this mesh. */
  #begun = false
  #listener: ((snapshot: ServiceSnapshot) => void) | null = null
  #onTrouble: (error: Error | null) => void = () => {}
  #troubles: { replica: Error | null; content: Error | null } = { replica: null, content: null }
  #told = ''

  /** `prefix` ends in `/`; the replica's is the same. */
  constructor(client: EtcdClient, replica: Replica, prefix: string) {
    this.#client = client
    this.#replica = replica
    this.#prefix = prefix
  }

  start(listener: (snapshot: ServiceSnapshot) => void, onTrouble: (error: Error | null) => void): void {
    this.#listener = listener
    this.#onTrouble = onTrouble
    this.#replica.listen({
      onChange: keys => {
        if (keys && ![...keys].some(key => isOfServices(this.#prefix, key))) return
        this.#deliver()
      },
      onTrouble: error => {
        this.#troubles.replica = error
        this.#tell()
      },
    })
  }

  async stop(): Promise<void> {
    this.#listener = null
    this.#onTrouble = () => {}
  }

  async close(): Promise<void> {
    await this.stop()
  }

  async list(): Promise<readonly Service[]> {
    try {
      return (await this.#read()).services
    } catch (error) {
      if (this.#last && error instanceof EtcdError && error.passing) return this.#last
      throw error
    }
  }

  async update(
    change: (services: readonly Service[]) => readonly Service[],
    fence: Fence | null = null,
  ): Promise<readonly Service[]> {
    const end = performance.now() + longestUpdate
    const id = randomUUID()
    let after: readonly Service[] | null = null
    for (let pause = 5; ; pause = Math.min(pause * 2, 500)) {
      const before = await this.#read()
      // An attempt whose answer was lost has been carried out after all.
      if (after && before.change === id) return this.#written(after, before.revision)
      const base = this.#isLost(before) ? (this.#last ?? []) : before.services
      after = [...change(base)].sort((a, b) => (a.name < b.name ? -1 : 1))
      const transaction = changeOf(this.#prefix, before.services, after, before.revision, id, fence)
      if (!transaction) return after
      try {
        const { succeeded, revision } = await this.#client.transact(
          transaction.conditions,
          transaction.operations,
        )
        if (succeeded) return this.#written(after, revision)
        if (fence && (await this.#client.get(fence.key))?.revision !== fence.revision)
          throw new MeshError(
            'MESH_STORE',
            `etcd: ${fence.key} is no longer this node's; nothing was written`,
          )
      } catch (error) {
        if (!(error instanceof EtcdError) || !error.uncertain || performance.now() > end) throw error
      }
      if (performance.now() > end)
        throw new MeshError('MESH_STORE', 'etcd: others changed services all the time; try again')
      await sleep(Math.random() * pause)
    }
  }

  /** Whether etcd is empty and was not: its data were lost, or removed by hand. */
  #isLost({ change, services, damaged }: StoredServices): boolean {
    return this.#begun && change === null && services.length + damaged.size === 0
  }

  /** What a read that needs a quorum finds now. */
  async #read(): Promise<StoredServices & { readonly revision: number }> {
    const { header, keys } = await this.#client.range(servicesKey(this.#prefix), servicesEnd(this.#prefix))
    return { ...readServices(this.#prefix, keys), revision: header.revision }
  }

  /** Whoever asked for a change finds it in the last snapshot when it is done. */
  async #written(services: readonly Service[], revision: number): Promise<readonly Service[]> {
    await this.#replica.reached(revision, longestEcho)
    return services
  }

  #deliver(): void {
    let stored: StoredServices
    try {
      stored = readServices(this.#prefix, this.#replica.entries.values(), this.#former)
    } catch (error) {
      this.#troubles.content = error as Error
      this.#tell()
      return
    }
    if (this.#isLost(stored)) {
      this.#troubles.content = this.#last?.length ? lost(this.#last.length) : null
      this.#tell()
      return
    }
    this.#begun ||= stored.change !== null
    // What somebody's hand made unreadable stays in force as it last was.
    const kept = [...stored.damaged.keys()].flatMap(key => this.#good.get(key) ?? [])
    const services = [...stored.services, ...kept].sort((a, b) => (a.name < b.name ? -1 : 1))
    this.#good = new Map(services.map(service => [`${this.#prefix}services/${service.name}`, service]))
    this.#troubles.content = contentTrouble(stored.damaged)
    const unchanged =
      this.#last?.length === services.length && this.#last.every((service, i) => service === services[i])
    if (!unchanged) {
      this.#last = services
      this.#listener?.({ services })
    }
    this.#tell()
  }

  #tell(): void {
    const trouble = this.#troubles.replica ?? this.#troubles.content
    const told = trouble ? reasonOf(trouble) : ''
    if (told === this.#told) return
    this.#told = told
    this.#onTrouble(trouble)
  }
}

function lost(count: number): MeshError {
  return new MeshError(
    'MESH_STORE',
    `etcd: nothing of this mesh is left in it; its ${count} services stay as they were, ` +
      'and whatever is published or unpublished next writes all of them back',
  )
}

function contentTrouble(damaged: ReadonlyMap<string, string>): MeshError | null {
  const [first] = damaged
  if (!first) return null
  const others = damaged.size > 1 ? `, and ${damaged.size - 1} more` : ''
  return new MeshError(
    'MESH_STORE',
    `etcd: ${first[0]} is not understood (${first[1]})${others}; it stays as it last was; ` +
      'publish the service again, or remove that key',
  )
}
