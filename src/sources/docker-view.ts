/**
 * What is known of a node's containers: fed with events and inspections by
 * docker.ts, it answers with snapshots in which everything unchanged is the same
 * object. Pure but for its memory; the time is an argument.
 *
 * Events take effect at once where they say enough themselves (kill, die, pause,
 * health); all else about a container comes from inspecting it.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Container, Health } from '../model/container.js'
import { swarmServiceLabel } from '../model/service.js'
import type { ContainerSnapshot } from '../model/snapshot.js'
import { type Inspected, signalNumber } from './docker-container.js'
import type { DockerEvent } from './docker-events.js'
import type { SwarmView } from './docker-swarm.js'

/** Docker's own wait between the stop signal and SIGKILL, seconds. */
const defaultStopTimeout = 10
/** A task that was sent its stop signal is not coming back, whatever its grace period: seconds. */
const taskStopTimeout = 600
/** Time a container gets to be gone after SIGKILL was due, seconds. */
const stopMargin = 5

const noPorts: ContainerSnapshot['swarmPorts'] = []

const sigkill = 9
const sigterm = 15

/** What an event calls for. */
export interface Consequence {
  /** Container to inspect, or null. */
  readonly inspect: string | null
  /** Swarm's services have changed. */
  readonly swarm: boolean
}

const nothing: Consequence = { inspect: null, swarm: false }

export class DockerView {
  readonly #containers = new Map<string, Inspected>()
  /** Containers whose process was seen, and whose start Docker has not told yet. */
  readonly #arriving = new Set<string>()
  /** Signals sent to a container since it started: also of those not inspected yet. */
  readonly #signals = new Map<string, Map<number, number>>()
  #swarm: SwarmView | null = null
  #swarmServices: readonly string[] = []
  /** null: Swarm could not be asked when it was asked last, or had nothing to say to a worker. */
  #declarations: SwarmView['declarations'] | null = null
  #ending: readonly string[] = []
  #snapshot: ContainerSnapshot | null = null

  ids(): string[] {
    return [...this.#containers.keys()]
  }

  get(id: string): Container | null {
    return this.#containers.get(id)?.container ?? null
  }

  /** Takes an event in; `now` is in milliseconds since 1970. */
  event(event: DockerEvent, now: number): Consequence {
    if (event.type === 'service') return { inspect: null, swarm: true }
    if (event.type === 'network') {
      const id = event.attributes.container ?? ''
      // Of one that is being started Docker says nothing before it runs, and then it tells of the start.
      const runs = this.#containers.has(id) && !this.#arriving.has(id)
      return runs ? { inspect: id, swarm: false } : nothing
    }
    if (event.type !== 'container') return nothing
    const { id, action } = event
    const inspect: Consequence = { inspect: id, swarm: false }
    switch (action) {
      case 'kill':
        this.#killed(event, now)
        return nothing
      case 'die':
        // Not if it is told so late that it runs again.
        if ((this.#containers.get(id)?.startedAt ?? 0) <= millisecond(event.time)) this.#end(id)
        return inspect // Docker may be about to restart it
      case 'start':
        this.#signals.delete(id)
        return inspect
      case 'pause':
        this.#change(id, { state: 'paused' })
        return nothing
      case 'unpause':
        this.#change(id, { state: 'running' })
        return nothing
      case 'destroy':
        this.remove(id)
        return nothing
      case 'stop': // follows its die
      case 'create': // nothing to know before its start
      case 'remove':
        return nothing
    }
    const health = /^health_status: (starting|healthy|unhealthy)$/.exec(action)?.[1]
    if (health === undefined) return inspect
    this.#change(id, { health: health as Health })
    return nothing
  }

  /**
   * Takes in an event older than what was inspected since: of these only signals
   * count, to containers that have not ended or started after them.
   */
  recall(event: DockerEvent, now: number): void {
    if (event.type !== 'container') return
    if (event.action === 'kill') this.#killed(event, now)
    else if (event.action === 'die' || event.action === 'start') {
      const time = millisecond(event.time)
      const signals = this.#signals.get(event.id)
      for (const [signal, sent] of signals ?? []) if (sent <= time) signals?.delete(signal)
      if (signals?.size === 0) this.#signals.delete(event.id)
    }
  }

  /** Takes the result of an inspection in; containers that do not run are forgotten. */
  inspected(result: Inspected, now: number): void {
    const { id, pid } = result.container
    // Older than what was seen of its process.
    if (pid === 0 && this.#arriving.has(id)) return
    this.#arriving.delete(id)
    if (result.container.state === 'exited') this.remove(id)
    else this.#put(result, now)
  }

  /** Takes in that a container's process is there, or runs: `startedAt` is when it was seen. */
  arrived(result: Inspected): void {
    const { id } = result.container
    this.#arriving.add(id)
    this.#put(result, result.startedAt)
  }

  /** Takes in that the program of such a container runs. */
  begun(id: string): void {
    this.#change(id, { state: 'running' })
  }

  /** Whether that is all that is known of its start. */
  isArriving(id: string): boolean {
    return this.#arriving.has(id)
  }

  #put(result: Inspected, now: number): void {
    const { id } = result.container
    const former = this.#containers.get(id)?.container
    const container = { ...result.container, leaving: this.#isLeaving(result, now) }
    const same = former !== undefined && isDeepStrictEqual(former, container)
    this.#containers.set(id, { ...result, container: same ? former : container })
    if (!same) this.#snapshot = null
  }

  /** Takes in that a container's process was seen to have ended. */
  ended(id: string, pid: number): void {
    if (this.#containers.get(id)?.container.pid === pid) this.#end(id)
  }

  remove(id: string): void {
    this.#signals.delete(id)
    this.#arriving.delete(id)
    if (this.#containers.delete(id)) this.#snapshot = null
  }

  /** Takes in what a manager says of Swarm's services; null: this node is none. */
  swarm(view: SwarmView | null): void {
    if (!isDeepStrictEqual(view, this.#swarm)) {
      // The same declarations stay the same object, so that nobody has to look at them again.
      const former = this.#swarm?.declarations
      const same = view && isDeepStrictEqual(view.declarations, former)
      this.#swarm = same ? { ...view, declarations: former! } : view
      this.#snapshot = null
    }
    this.#declare(this.#swarm?.declarations ?? null)
  }

  /** Swarm cannot be asked. What it said of names and ports stays; what labels declare is not this node's to say. */
  swarmSilent(): void {
    this.#declare(null)
  }

  /** Takes in ids of containers, on whichever node, that Swarm is about to stop. */
  ending(ids: readonly string[]): void {
    this.#ending = ids
    this.#snapshot = null
  }

  #declare(declarations: SwarmView['declarations'] | null): void {
    if (this.#declarations === declarations) return
    this.#declarations = declarations
    this.#snapshot = null
  }

  /**
   * Containers that got a signal and live on long after it are not leaving any
   * more. Returns when to look again, milliseconds since 1970, or null.
   */
  settle(now: number): number | null {
    let next: number | null = null
    for (const [id, entry] of this.#containers) {
      if (!entry.container.leaving) continue
      const end = this.#leavesUntil(entry, now)
      if (end <= now) this.#change(id, { leaving: false })
      else next = Math.min(next ?? end, end)
    }
    return next
  }

  /** The same object as before if nothing has changed. */
  snapshot(): ContainerSnapshot {
    if (this.#snapshot !== null) return this.#snapshot
    const names = this.#swarm?.names ?? this.#taskServices()
    if (!isDeepStrictEqual(names, this.#swarmServices)) this.#swarmServices = names
    this.#snapshot = {
      containers: [...this.#containers.values()].map(each => each.container),
      swarmServices: this.#swarmServices,
      swarmPorts: this.#swarm?.ports ?? noPorts,
      declarations: this.#declarations,
      ending: this.#ending,
    }
    return this.#snapshot
  }

  /** On a worker: the services that have a task here. */
  #taskServices(): string[] {
    const names = new Set<string>()
    for (const { container } of this.#containers.values()) {
      const name = container.labels[swarmServiceLabel]
      if (name !== undefined) names.add(name)
    }
    return [...names].sort()
  }

  #end(id: string): void {
    this.#signals.delete(id)
    this.#arriving.delete(id)
    this.#change(id, { state: 'exited', pid: 0, leaving: false, addresses: [], networks: [] })
  }

  #killed(event: DockerEvent, now: number): void {
    const signal = signalNumber(event.attributes.signal ?? '')
    if (signal === null) return
    const sent = Math.min(millisecond(event.time), now)
    const signals = this.#signals.get(event.id) ?? new Map<number, number>()
    this.#signals.set(event.id, signals.set(signal, sent))
    const entry = this.#containers.get(event.id)
    // Its process may have ended before Docker told of the signal.
    if (entry && entry.container.state !== 'exited')
      this.#change(event.id, { leaving: this.#isLeaving(entry, now) })
  }

  #isLeaving(entry: Inspected, now: number): boolean {
    return this.#leavesUntil(entry, now) > now
  }

  /** When a container that was told to end must be taken for one that stays; 0 if it was not told. */
  #leavesUntil({ container, stopSignal, stopTimeout, startedAt }: Inspected, now: number): number {
    const service = container.labels[swarmServiceLabel]
    const grace =
      service === undefined
        ? (stopTimeout ?? defaultStopTimeout)
        : (this.#swarm?.stopTimeouts.get(service) ?? taskStopTimeout)
    // The clock was set back since: there is no telling which signals are older.
    const started = startedAt > now ? 0 : startedAt
    let end = 0
    for (const [signal, sent] of this.#signals.get(container.id) ?? []) {
      const ending = signal === sigkill || signal === sigterm || signal === stopSignal
      if (ending && sent >= started) end = Math.max(end, sent + (grace + stopMargin) * 1000)
    }
    return end
  }

  #change(id: string, fields: Partial<Container>): void {
    const entry = this.#containers.get(id)
    if (!entry) return
    const container = { ...entry.container, ...fields }
    if (isDeepStrictEqual(container, entry.container)) return
    this.#containers.set(id, { ...entry, container })
    this.#snapshot = null
  }
}

function millisecond(nanosecond: bigint): number {
  return Number(nanosecond / 1_000_000n)
}
