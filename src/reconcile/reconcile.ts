/**
 * One pass of the loop: what the sources say, planned, compared with the kernel,
 * applied. The full pass reads the kernel; the fast one trusts what the last pass
 * left and touches only the slices that changed. Who runs it and when: runner.ts.
 */
import type { Change, Outcome } from '../kernel/change.js'
import { changeKey } from '../kernel/change.js'
import { diff } from '../kernel/diff.js'
import type { Kernel, Places, Sight } from '../kernel/driver.js'
import {
  type DestinationReading,
  familyOf,
  type KernelObject,
  type KernelState,
  type Kind,
  keyOf,
  stateOf,
} from '../kernel/objects.js'
import { attachmentLink } from '../kernel/ownership.js'
import { unlike } from '../kernel/unlike.js'
import { createMerge } from '../model/merge.js'
import type { Mesh } from '../model/mesh.js'
import type { Node } from '../model/snapshot.js'
import { AddressBook, capacityOf } from '../planner/addresses.js'
import { linksByAddress } from '../planner/attachment.js'
import type { PlanSettings } from '../planner/base.js'
import { Drains } from '../planner/drains.js'
import { createPlanner } from '../planner/plan.js'
import { changedSlices, emptyPlan, type Plan } from '../planner/slices.js'
import { Inheritance } from './inheritance.js'
import { findLeaving } from './leaving.js'
import { foundDoors, type Inputs, type Pass, pertinent, placesOf } from './pass.js'
import { RemoteAddresses } from './remote-addresses.js'
import type { PassKind } from './runner.js'

export type { Inputs, Pass } from './pass.js'

/** What is to be, by what the sources said. */
interface Next {
  readonly inputs: Inputs
  readonly mesh: Mesh
  readonly plan: Plan
}

/** `push(...items)` would need stack for each of them, and there may be a hundred thousand. */
function append<Item>(list: Item[], items: readonly Item[]): void {
  for (const item of items) list.push(item)
}

export class Reconciler {
  private readonly kernel: Kernel
  private readonly inputs: () => Inputs
  private readonly clock: () => number
  readonly settings: PlanSettings
  /** How many addresses the node has for containers. */
  readonly capacity: number
  private readonly paths: Places
  private readonly merge = createMerge()
  private readonly planner: (mesh: Mesh, node: Node, addresses: (id: string) => string | null) => Plan
  private readonly book: AddressBook
  private readonly inheritance = new Inheritance()
  private readonly remote = new RemoteAddresses()
  /** What the last pass left in force. */
  private applied: Plan = emptyPlan
  private leaving: readonly KernelObject[] = []
  private readings: ReadonlyMap<string, DestinationReading> = new Map()
  private failed = new Set<string>()
  private readonly drains: Drains
  private blind: ReadonlyMap<Kind, Error> = new Map()
  private unaddressed: readonly string[] = []
  private begun = false
  /** What is to be, as long as nothing is said or done by which it could be something else. */
  private planned: Next | null = null
  /** What the kernel held when it was last found to be as wanted, with nothing on its way out; null since a change. */
  private settled: readonly KernelObject[] | null = null
  private current: Mesh = { services: [], attachments: [] }

  /**
   * `inputs` gives the newest snapshots; it is called once a pass. `hostPath`: the
   * host's namespace, null for the agent's own. `clock`: seconds since 1970.
   */
  constructor(
    kernel: Kernel,
    inputs: () => Inputs,
    settings: PlanSettings,
    hostPath: string | null = null,
    clock = () => Math.floor(Date.now() / 1000),
  ) {
    this.kernel = kernel
    this.inputs = inputs
    this.clock = clock
    this.paths = new Map([
      ['host', hostPath],
      ['mesh', settings.sandboxPath],
    ])
    this.settings = settings
    this.planner = createPlanner(settings)
    this.drains = new Drains(settings)
    const { subnet } = inputs().node
    this.book = new AddressBook(subnet)
    this.capacity = capacityOf(subnet)
  }

  /** Connection counts by destination key, as of the last full pass. */
  get lastReadings(): ReadonlyMap<string, DestinationReading> {
    return this.readings
  }

  /** The mesh as of the last pass. */
  get mesh(): Mesh {
    return this.current
  }

  /** The mesh address of a container, if it has one. */
  addressOf(attachmentId: string): string | null {
    return this.book.get(attachmentLink(attachmentId)) ?? null
  }

  /** How many destinations are on their way out. */
  get draining(): number {
    return this.leaving.filter(object => object.kind === 'destination').length
  }

  /**
   * Makes one pass. Throws only if the kernel could not be read at all. A full pass gives up where
   * `signal` is aborted while it looks at the kernel: what it then saw would be older than the
   * changes it is to make way for. `onPlan` is called with the next mesh before the kernel gets what
   * snapshots have changed.
   */
  async pass(kind: PassKind, signal?: AbortSignal, onPlan?: (mesh: Mesh) => void): Promise<Pass> {
    const started = performance.now()
    const inputs = this.inputs()
    const outcomes: Outcome[] = []
    const repairs: Outcome[] = []
    const found: KernelObject[] = []
    if (this.begun) append(outcomes, await this.fast(inputs, onPlan))
    const isFull = kind === 'full' || !this.begun
    const full = isFull ? await this.full(inputs, !this.begun, signal) : null
    if (full) {
      append(outcomes, full.outcomes)
      append(repairs, full.repairs)
      append(found, full.found)
      this.blind = full.blind
    }
    return {
      kind: full ? kind : 'fast',
      gaveUp: isFull && !full,
      outcomes,
      repairs,
      found,
      unaddressed: this.unaddressed,
      blind: this.blind,
      duration: performance.now() - started,
    }
  }

  /** What the next full pass would change. Changes nothing. */
  async preview(): Promise<Change[]> {
    const inputs = this.inputs()
    const observation = await this.kernel.observe(this.places(inputs, true))
    if (!this.begun) this.adopt(observation.objects)
    const next = this.next(inputs)
    const { wanted, observed } = unlike(next.plan.slices(), observation.objects)
    const { changes } = this.changes(inputs, next, wanted, observed, observation.readings ?? new Map())
    return changes.filter(({ object }) => !observation.blind.has(object.kind))
  }

  private next(inputs: Inputs): Next {
    if (this.planned?.inputs === inputs) return this.planned
    const mesh = this.merge(inputs.services, inputs.containers, inputs.node, inputs.remote, inputs.hosts)
    const unaddressed: string[] = []
    for (const { id } of mesh.attachments)
      if (this.book.assign(attachmentLink(id)) === null) unaddressed.push(id)
    const plan = this.planner(mesh, inputs.node, id => this.addressOf(id))
    this.drains.note(mesh.services, inputs.node)
    this.unaddressed = unaddressed
    const next = { inputs, mesh, plan }
    // An address that was lacking may be free the next time.
    this.planned = this.begun && unaddressed.length === 0 ? next : null
    return next
  }

  /** Applies what the snapshots changed since the last pass, without reading the kernel. */
  private async fast(inputs: Inputs, onPlan?: (mesh: Mesh) => void): Promise<Outcome[]> {
    const next = this.next(inputs)
    onPlan?.(next.mesh)
    const { gone, come } = changedSlices(this.applied, next.plan)
    const wanted = stateOf(come.flat())
    const held = stateOf([this.leaving, ...gone].flat())
    if (held.size === 0 && wanted.size === 0) {
      // What the kernel has no part in may have changed all the same: names, or who answers to one.
      this.applied = next.plan
      this.current = next.mesh
      return []
    }
    // Without fresh connection counts nothing may be taken for idle.
    const { changes, leaving } = this.changes(inputs, next, wanted, held, new Map())
    return this.apply(inputs, next, changes, leaving)
  }

  /** null: it gave up while it looked. */
  private async full(
    inputs: Inputs,
    first: boolean,
    signal?: AbortSignal,
  ): Promise<Pick<Pass, 'outcomes' | 'repairs' | 'found' | 'blind'> | null> {
    const observation = await this.look(inputs, first, first ? undefined : signal)
    if (!observation) return null
    // Whoever has not seen everything once knows neither addresses nor drains.
    for (const error of first ? observation.blind.values() : []) throw error
    if (first) this.adopt(observation.objects)
    this.readings = observation.readings ?? new Map()
    const next = this.next(inputs)
    if (observation.objects === this.settled && next.plan === this.applied && observation.blind.size === 0)
      return { outcomes: [], repairs: [], found: [], blind: observation.blind }
    const found = first ? foundDoors(next.plan, observation.objects) : []
    const { wanted, observed } = unlike(next.plan.slices(), observation.objects)
    if (first) this.inheritance.take(observed, wanted, this.clock())
    const retried = this.failed
    const expected = new Set([...this.leaving.map(keyOf), ...this.inheritance.keys()])
    const { changes, leaving } = this.changes(inputs, next, wanted, observed, this.readings)
    const visible = changes.filter(({ object }) => !observation.blind.has(object.kind))
    const outcomes = await this.apply(inputs, next, visible, leaving)
    const isCalm = leaving.length + this.inheritance.keys().length + observation.blind.size === 0
    this.settled = isCalm && changes.length === 0 ? observation.objects : null
    this.begun = true
    const repairs = first
      ? []
      : outcomes.filter(({ change }) => !retried.has(changeKey(change)) && !expected.has(changeKey(change)))
    return { outcomes, repairs, found, blind: observation.blind }
  }

  private async look(inputs: Inputs, all: boolean, signal?: AbortSignal): Promise<Sight | null> {
    try {
      return await this.kernel.observe(this.places(inputs, all), signal)
    } catch (error) {
      if (signal?.aborted) return null
      throw error
    }
  }

  /** From `before` to `wanted`, with destinations retired rather than removed; adds to `wanted` those that stay. */
  private changes(
    inputs: Inputs,
    { mesh }: Next,
    wanted: Map<string, KernelObject>,
    before: KernelState,
    readings: ReadonlyMap<string, DestinationReading>,
  ): { changes: Change[]; leaving: KernelObject[] } {
    const { settings, book, drains, remote } = this
    const now = this.clock()
    this.inheritance.hold(wanted, now)
    const leaving = findLeaving({
      inputs,
      mesh,
      wanted,
      before,
      readings,
      now,
      settings,
      book,
      drains,
      remote,
    })
    for (const object of leaving) wanted.set(keyOf(object), object)
    return { changes: diff(wanted, before), leaving }
  }

  private async apply(
    inputs: Inputs,
    next: Next,
    changes: readonly Change[],
    leaving: readonly KernelObject[],
  ): Promise<Outcome[]> {
    const outcomes =
      changes.length === 0 ? [] : pertinent(await this.kernel.apply(changes, this.places(inputs, true)))
    this.settled = null
    if (changes.length > 0) this.planned = null
    this.failed = new Set(outcomes.filter(({ error }) => error).map(({ change }) => changeKey(change)))
    this.applied = next.plan
    this.leaving = leaving
    this.current = next.mesh
    this.book.keepOnly(
      new Set([
        ...next.mesh.attachments.map(({ id }) => attachmentLink(id)),
        ...linksByAddress(leaving).values(),
      ]),
    )
    return outcomes
  }

  /** Learns from the kernel which addresses are handed out. */
  private adopt(objects: readonly KernelObject[]): void {
    for (const [address, link] of linksByAddress(objects))
      if (familyOf(address) === 'inet') this.book.claim(link, address)
  }

  private places(inputs: Inputs, all: boolean): Places {
    return placesOf(inputs, this.paths, id => all || this.addressOf(id) !== null)
  }
}
