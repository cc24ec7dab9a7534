/**
 * Writes what labels of Swarm's services declare to the store, from one manager at a
 * time. A node that cannot read the services — a worker, a manager without quorum or
 * without Docker — has nothing to say: it writes nothing, and gives the role up.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { MeshError, reasonOf } from '../errors.js'
import { type PortUse, settlePorts } from '../model/conflicts.js'
import type { Declaration } from '../model/declaration.js'
import type { PortRange } from '../model/ports.js'
import type { Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'
import { exhaustion, vipsInPool } from '../model/vips.js'
import { readListeners } from '../sources/listeners.js'
import type { Cluster } from '../store/cluster.js'
import type { Fence, Store } from '../store/store.js'
import { type Settle, unsettled, withDeclared } from './declared.js'
import type { Collected } from './inputs.js'

export interface SwarmMirrorOptions {
  readonly collected: Collected
  readonly store: Store
  /** null: this is the only node, and always the writer. */
  readonly cluster: Cluster | null
  readonly portRange: PortRange
  readonly reserved: PortUse['reserved']
  /** null: this mesh has no VIPs. */
  readonly vipPool: string | null
  /** Throws MESH_UNSUPPORTED when the kernel lacks what a publication asks for. */
  readonly requireOfKernel: (publication: Publication) => Promise<void>
  readonly log: Logger
}

const role = 'swarm'
/** How often it is looked whether the role is free, and tried again what failed, milliseconds. */
const lookEvery = 500
/** What was refused may be had by now, for a process of the node that ended tells nobody: tried so often, milliseconds. */
const retryEvery = 5000
/** How long the agent's end may wait for it, milliseconds. */
const longestStop = 1500

export class SwarmMirror {
  private readonly options: SwarmMirrorOptions
  private timer: NodeJS.Timeout | null = null
  private running: Promise<void> | null = null
  private again = false
  /** What keeps it from its work; empty: nothing. */
  private told = ''
  private writer = false
  private stopped = false
  /** What was mirrored last, and until when that needs no second look, performance.now(). */
  private done: { declarations: readonly Declaration[]; stored: readonly Service[]; until: number } | null =
    null

  constructor(options: SwarmMirrorOptions) {
    this.options = options
  }

  /** Something it depends on may have changed: to be called whenever a source has delivered. */
  mark(): void {
    if (this.stopped || !this.options.collected.complete) return
    this.again = true
    this.running ??= this.run().finally(() => {
      this.running = null
      if (this.again) this.mark()
      else this.markLater()
    })
  }

  /** Of what nobody tells. A node that has no labels to write has nothing to look for. */
  private markLater(): void {
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    const isIdle = this.options.collected.containers.declarations === null && this.told === ''
    if (this.stopped || isIdle) return
    const wait = this.options.cluster || this.told !== '' ? lookEvery : retryEvery
    this.timer = setTimeout(() => this.mark(), wait)
    this.timer.unref()
  }

  /** Leaves the role to another manager at once; where the store is out of reach it goes with the lease. */
  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer) clearTimeout(this.timer)
    const resigned = (this.running ?? Promise.resolve()).then(() => this.resign())
    await Promise.race([resigned.catch(reasonOf), sleep(longestStop)])
  }

  /** Whether labels are what decides about the services they declare: some manager mirrors them. */
  get inForce(): boolean {
    const { cluster, collected } = this.options
    return cluster ? cluster.leader(role) !== null : collected.containers.declarations !== null
  }

  private async run(): Promise<void> {
    this.again = false
    try {
      const { declarations } = this.options.collected.containers
      if (declarations === null) return await this.resign()
      const fence = (await this.options.cluster?.lead(role)) ?? null
      this.became(this.options.cluster === null || fence !== null)
      if (this.writer) await this.mirror(declarations, fence)
      this.tell('')
    } catch (error) {
      this.tell(reasonOf(error))
    }
  }

  private async resign(): Promise<void> {
    if (!this.writer) return
    this.became(false)
    await this.options.cluster?.resign(role)
  }

  private became(writer: boolean): void {
    if (writer && !this.writer) this.options.log.info('this node mirrors the labels of Swarm services')
    if (!writer && this.writer) this.options.log.info('this node mirrors labels no more')
    this.writer = writer
  }

  private async mirror(declarations: readonly Declaration[], fence: Fence | null): Promise<void> {
    const { collected, store, reserved, portRange, vipPool } = this.options
    const stored = collected.servicesOf(store.name)
    const { done } = this
    const now = performance.now()
    if (done?.declarations === declarations && done.stored === stored && now < done.until) return
    this.done = { declarations, stored, until: now + retryEvery }
    const declared = vipPool === null ? declarations.map(withoutVip) : declarations
    const open = unsettled(stored, declared)
    const unsupported = await this.unsupported(open)
    const use = {
      snapshot: collected.containers,
      listeners: open.length > 0 ? await readListeners(open.flatMap(({ ports }) => ports)) : [],
      reserved,
      vipPool,
    }
    const others = collected.services.services.filter(
      ({ name }) => collected.services.origins.get(name) !== store.name,
    )
    const settle: Settle = (publication, services) => {
      const lack = unsupported.get(publication.name)
      if (lack) throw lack
      return settlePorts(publication, { ...use, services: [...services, ...others] }, portRange, 'swarm')
    }
    if (withDeclared(stored, declared, settle) === stored) return
    this.done = null
    let before: readonly Service[] = []
    const after = await store.update(services => {
      before = services
      return withDeclared(services, declared, settle)
    }, fence)
    this.report(before, after, declared)
  }

  /** What the kernel lacks for some publications, by name of the service. */
  private async unsupported(publications: readonly Publication[]): Promise<Map<string, MeshError>> {
    const found = new Map<string, MeshError>()
    for (const publication of publications)
      await this.options.requireOfKernel(publication).catch(error => {
        if (!(error instanceof MeshError)) throw error
        found.set(publication.name, error)
      })
    return found
  }

  private report(
    before: readonly Service[],
    after: readonly Service[],
    declarations: readonly Declaration[],
  ): void {
    const { log, vipPool } = this.options
    const asking = new Set(declarations.flatMap(each => (asksForVip(each) ? each.name : [])))
    const formers = new Map(before.map(service => [service.name, service]))
    for (const service of after) {
      const former = formers.get(service.name)
      const { name: of, problems, ports } = service
      for (const reason of problems)
        if (!former?.problems.includes(reason)) log.warn({ service: of, reason }, 'labels left aside')
      if (former !== service && problems.length === 0 && service.declaredBy === 'swarm')
        log.info({ service: of, ports: ports.length, vip: service.vip }, 'published by labels')
      if (former !== service && service.vip === null && vipPool !== null && asking.has(of))
        log.warn({ service: of, reason: exhaustion(vipsInPool(vipPool), vipPool) }, 'service has no VIP')
    }
    const names = new Set(after.map(({ name }) => name))
    for (const { name } of before)
      if (!names.has(name)) log.info({ service: name }, 'unpublished: no label declares it any more')
  }

  /** What keeps it from its work, once. */
  private tell(reason: string): void {
    if (reason === this.told) return
    this.told = reason
    if (reason) this.options.log.warn({ reason }, 'labels are not mirrored at the moment')
  }
}

function asksForVip({ publication, problems }: Declaration): boolean {
  return publication?.vip === 'auto' && publication.endpointMode === 'vip' && problems.length === 0
}

/** What is published besides needs no VIP where there are none. */
function withoutVip(declaration: Declaration): Declaration {
  const { publication } = declaration
  if (publication?.vip !== 'auto' || publication.ports.length === 0) return declaration
  return { ...declaration, publication: { ...publication, vip: 'none' } }
}
