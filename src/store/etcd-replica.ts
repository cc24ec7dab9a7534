/**
 * A copy in memory of everything under the mesh's prefix in etcd, kept up to date:
 * one list, then a watch from its revision on, resumed wherever it broke. The one
 * connection that store and cluster of an agent share.
 *
 * What can go wrong, and what is done:
 *   - an endpoint refuses, resets, freezes, or lost the others: a pulse every second
 *     (a read that needs a quorum) fails, and the watch goes on at the next endpoint;
 *   - none is any good: trouble is told, the copy stays as it is, trying goes on;
 *   - the revision to resume from was compacted: a fresh list;
 *   - etcd holds less than it did (restored from a backup, or made anew): a fresh list;
 *   - a watch is silent while revisions go by: it is opened anew from where it was.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EtcdClient } from './etcd-client.js'
import { afterPrefix, EtcdError, grpc, type KeyValue, type WatchAnswer } from './etcd-wire.js'

/** Milliseconds between two pulses, and how long one may take. */
const pulseGap = 1000
const pulseLimit = 1000
/** A watch that long without an event, while the store's revision went on, is opened anew. */
const longestSilence = 10_000
/** etcd sends what a watch has missed within 100 ms of its begin; without news in this time there was none. */
const catchUp = 300
/** Between two attempts, growing from the first to the second. */
const shortestPause = 100
const longestPause = 1000

export interface ReplicaListener {
  /** `keys`: what was written or removed; null: anything may have changed. */
  onChange(keys: ReadonlySet<string> | null): void
  /** null: all is well again, told after the `onChange` that caught up. */
  onTrouble(error: Error | null): void
}

export class Replica {
  readonly #client: EtcdClient
  /** All keys begin with this; ends in `/`. */
  readonly #prefix: string
  readonly #listeners = new Set<ReplicaListener>()
  #entries = new Map<string, KeyValue>()
  #revision = 0
  #cluster = ''
  #trouble: Error | null = null
  #stop: AbortController | null = null
  #running: Promise<void> = Promise.resolve()
  #lastEvent = 0
  /** Whether the watch of this attempt was established. */
  #wasWell = false
  #waiting = new Set<() => void>()

  constructor(client: EtcdClient, prefix: string) {
    this.#client = client
    this.#prefix = prefix
  }

  /** Key → its last known value, by full key. */
  get entries(): ReadonlyMap<string, KeyValue> {
    return this.#entries
  }

  /** Whether there has been a list at all. */
  get known(): boolean {
    return this.#revision > 0
  }

  /** What keeps the copy from being up to date; null: nothing. */
  get trouble(): Error | null {
    return this.#trouble
  }

  /** Starts with the first listener; that and every later one hears of what is known at once. */
  listen(listener: ReplicaListener): void {
    this.#listeners.add(listener)
    if (this.known) listener.onChange(null)
    if (this.#trouble) listener.onTrouble(this.#trouble)
    if (this.#stop) return
    this.#stop = new AbortController()
    this.#running = this.#run(this.#stop.signal)
  }

  async stop(): Promise<void> {
    this.#listeners.clear()
    this.#stop?.abort()
    this.#wake()
    await this.#running
  }

  /** Resolves when the copy holds what was written with `revision`, or after `ms`. */
  async reached(revision: number, ms: number): Promise<void> {
    const end = performance.now() + ms
    while (this.#revision < revision && this.#stop && !this.#stop.signal.aborted) {
      const rest = end - performance.now()
      if (rest <= 0) return
      let wake = () => {}
      const moved = new Promise<void>(resolve => {
        wake = resolve
      })
      this.#waiting.add(wake)
      const timer = setTimeout(wake, rest)
      await moved
      clearTimeout(timer)
      this.#waiting.delete(wake)
    }
  }

  async #run(stop: AbortSignal): Promise<void> {
    let pause = shortestPause
    while (!stop.aborted) {
      this.#wasWell = false
      try {
        if (this.#revision === 0) await this.#list()
        await this.#follow(stop)
      } catch (error) {
        if (stop.aborted) return
        if (error instanceof Stale) this.#revision = 0
        else if (!(error instanceof Silent)) {
          // One that answered well was lost, not wrong: go on elsewhere before telling.
          if (this.#wasWell) pause = shortestPause
          else this.#tell(error as Error)
          await sleep(pause, undefined, { signal: stop }).catch(() => {})
          pause = Math.min(pause * 2, longestPause)
        }
      }
    }
  }

  async #list(): Promise<void> {
    const { header, keys } = await this.#client.range(this.#prefix, afterPrefix(this.#prefix))
    const before = this.#entries
    this.#entries = new Map(
      keys.map(kv => {
        const was = before.get(kv.key)
        return [kv.key, was && same(was, kv) ? was : kv]
      }),
    )
    this.#revision = header.revision
    this.#cluster = header.cluster_id
    this.#changed(null)
  }

  /** Follows from the known revision on; ends only by throwing. */
  async #follow(stop: AbortSignal): Promise<void> {
    const { endpoint } = this.#client
    try {
      // A member that lost the others may still open watches; this it cannot answer.
      await this.#client.pulse(endpoint, this.#prefix, pulseLimit)
    } catch (error) {
      this.#client.abandon(endpoint)
      throw error
    }
    const broken = new AbortController()
    const signal = AbortSignal.any([stop, broken.signal])
    let failure: unknown = null
    let caughtUp: NodeJS.Timeout | undefined
    const pulses = this.#feelPulse(endpoint, signal).catch(error => {
      failure = error
      broken.abort()
    })
    try {
      const range = { key: this.#prefix, end: afterPrefix(this.#prefix), revision: this.#revision + 1 }
      let events: WatchAnswer['events'] = []
      for await (const answer of this.#client.watch(range, signal)) {
        if (answer.created) {
          this.#begun(answer)
          caughtUp = setTimeout(() => this.#tell(null), catchUp)
        }
        events = [...events, ...answer.events]
        if (answer.fragment || events.length === 0) continue
        this.#apply(events)
        events = []
        this.#tell(null)
      }
    } catch (error) {
      failure ??= error instanceof EtcdError && error.grpcCode === grpc.outOfRange ? new Stale() : error
    } finally {
      clearTimeout(caughtUp)
      broken.abort()
      await pulses
    }
    if (failure instanceof EtcdError) this.#client.abandon(endpoint)
    if (failure) throw failure
  }

  #begun({ header }: WatchAnswer): void {
    // Less than we have seen: another etcd, or an older state of it. A member that lags behind looks
    // the same; the list asks for the newest, and so tells the two apart.
    if (header.cluster_id !== this.#cluster || header.revision < this.#revision) throw new Stale()
    this.#lastEvent = performance.now()
    this.#wasWell = true
  }

  #apply(events: WatchAnswer['events']): void {
    const keys = new Set<string>()
    for (const { type, kv } of events) {
      keys.add(kv.key)
      if (type === 'PUT') this.#entries.set(kv.key, kv)
      else this.#entries.delete(kv.key)
    }
    this.#revision = Math.max(this.#revision, ...events.map(({ kv }) => kv.revision))
    this.#lastEvent = performance.now()
    this.#changed(keys)
  }

  async #feelPulse(endpoint: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(pulseGap, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const revision = await this.#client.pulse(endpoint, this.#prefix, pulseLimit)
      const silent = performance.now() - this.#lastEvent > longestSilence
      if (silent && revision > this.#revision) throw new Silent()
    }
  }

  #changed(keys: ReadonlySet<string> | null): void {
    for (const listener of this.#listeners) listener.onChange(keys)
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  #tell(trouble: Error | null): void {
    const changed = trouble?.message !== this.#trouble?.message
    this.#trouble = trouble
    if (changed) for (const listener of this.#listeners) listener.onTrouble(trouble)
  }
}

/** The watch cannot go on from where it was. */
class Stale extends Error {}
/** The watch may have lost its connection without a word. */
class Silent extends Error {}

function same(a: KeyValue, b: KeyValue): boolean {
  return a.revision === b.revision && a.value === b.value && a.lease === b.lease
}
