/**
 * The agent as the API sees it: what people ask for goes to the store (publisher.ts), and
 * this tells what the loop made of it. How the loop is fed and run is in loop.ts and run.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { keyOf } from '../kernel/objects.js'
import { attachmentLink } from '../kernel/ownership.js'
import { offsetIn } from '../model/ipv4.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import { lengthOf } from '../model/ports.js'
import type { Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'
import type { ServiceFields } from '../model/service-fields.js'
import { exhaustion, vipsInPool, vipsOf } from '../model/vips.js'
import { nodeAddress, sandboxAddress } from '../planner/addresses.js'
import { stacksOfNode } from '../planner/base.js'
import { passagesOf } from '../planner/passage.js'
import { vipRangesOf } from '../planner/vips.js'
import type { SwarmServices } from '../sources/swarm-service.js'
import type { Agent, PortKey, PublishOptions } from '../status/agent.js'
import { viewOf as changeView } from '../status/describe.js'
import type { ApplyRequest } from '../status/requests.js'
import type {
  AdoptView,
  ApplyView,
  ChangeView,
  CleanView,
  CountsView,
  NamesView,
  NodeView,
  PublishView,
  RemoveView,
  ServiceView,
  StatusView,
  UnpublishView,
  VersionView,
  VipsView,
} from '../status/views.js'
import type { Cluster } from '../store/cluster.js'
import { type AdoptInput, adopt, release } from './adopt.js'
import type { Loop } from './loop.js'
import type { Names } from './names.js'
import { drainNode, type NodesInput, nodeNotes, nodeViews, removeNode } from './nodes.js'
import { type Changed, Publisher, type PublisherOptions } from './publisher.js'
import { problemsOf } from './service-problems.js'
import { serviceView } from './service-view.js'

export interface MeshAgentOptions extends PublisherOptions {
  readonly loop: Loop
  /** null: this is the only node. */
  readonly cluster: Cluster | null
  readonly version: VersionView
  /** Domain of the mesh's names, `mesh`; null: there are none. */
  readonly domain: string | null
  readonly names: Names
  readonly metrics: () => Promise<string>
  /** Publications of a mesh or compose file. Throws InputError. */
  readonly parseFile: (text: string, name: string, environment: ApplyRequest['environment']) => Publication[]
  readonly swarm: SwarmServices
  /** Seconds between full passes. */
  readonly resync: number
  /** Removes everything of the mesh from the host; returns what, as an operator would type it. */
  readonly cleanHost: () => Promise<string[]>
}

/** Seconds in which every node hears of a change, and Docker's gossip of a task. */
const hearing = 2
/** How many repairs `status` shows. */
const shownRepairs = 20

export class MeshAgent implements Agent {
  private readonly options: MeshAgentOptions
  private readonly loop: Loop
  private readonly publisher: Publisher
  private readonly started = Date.now()

  constructor(options: MeshAgentOptions) {
    this.options = options
    this.loop = options.loop
    this.publisher = new Publisher(options)
  }

  async publish(publication: Publication, { wait, given, gone }: PublishOptions): Promise<PublishView> {
    const changed = await this.publisher.publish(publication, { given })
    if (wait) await this.answering(changed.service, gone)
    return this.told(changed)
  }

  async createService(publication: Publication): Promise<PublishView> {
    return this.told(await this.publisher.create(publication))
  }

  async setService(name: string, fields: ServiceFields): Promise<PublishView> {
    return this.told(await this.publisher.set(name, fields))
  }

  removeService(name: string, options: { readonly force: boolean }): Promise<RemoveView> {
    return this.publisher.remove(name, options)
  }

  async unpublish(port: PortKey, name: string): Promise<UnpublishView> {
    const { removed, left } = await this.publisher.unpublish(port, name)
    return { name, removed, service: left && this.stored(left) }
  }

  adopt(name: string, { keep }: { readonly keep: boolean }): Promise<AdoptView> {
    return adopt(this.adoptInput, name, keep)
  }

  release(name: string): Promise<AdoptView> {
    return release(this.adoptInput, name)
  }

  private get adoptInput(): AdoptInput {
    const { swarm, labelsInForce, resync } = this.options
    return { loop: this.loop, swarm, labelsInForce, resync, hearing }
  }

  async list(): Promise<readonly ServiceView[]> {
    const views = this.meshServices().map(service => this.viewOf(service))
    return views.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async status(): Promise<StatusView> {
    const { loop, options } = this
    const troubles = loop.troubles.list
    return {
      node: options.version.node,
      version: options.version.version,
      uptime: Math.round((Date.now() - this.started) / 1000),
      healthy: troubles.length === 0 && loop.collected.complete,
      troubles,
      sources: loop.sources,
      lastPass: loop.lastPass,
      counts: await this.counts(),
      repairs: loop.troubles.repairs.slice(0, shownRepairs),
      notes: [...nodeNotes(loop), ...this.serviceNotes(), ...this.vipNotes()],
      vips: this.vips(),
    }
  }

  async plan(): Promise<readonly ChangeView[]> {
    return (await this.loop.preview()).map(changeView)
  }

  async applyFile({ text, name, environment }: ApplyRequest): Promise<readonly ApplyView[]> {
    return this.publisher.apply(this.options.parseFile(text, name, environment))
  }

  names(): NamesView {
    return this.options.names.view
  }

  async nodes(): Promise<readonly NodeView[]> {
    return nodeViews(this.nodesInput)
  }

  drainNode(name: string, draining: boolean): Promise<NodeView> {
    return drainNode(this.nodesInput, name, draining)
  }

  removeNode(name: string): Promise<NodeView> {
    return removeNode(this.nodesInput, name)
  }

  private get nodesInput(): NodesInput {
    return { loop: this.loop, cluster: this.options.cluster, services: () => this.list() }
  }

  async clean(): Promise<CleanView> {
    await this.loop.stop()
    return { removed: await this.options.cleanHost() }
  }

  version(): VersionView {
    return this.options.version
  }

  metrics(): Promise<string> {
    return this.options.metrics()
  }

  private serviceNotes(): string[] {
    return this.meshServices().flatMap(({ service }) =>
      problemsOf(service, this.options.domain).map(problem => `service ${service.name}: ${problem}`),
    )
  }

  /** How much of the VIP pool is used; null: this mesh has no VIPs. */
  private vips(): VipsView | null {
    const { vipPool: pool } = this.options
    if (pool === null) return null
    return { pool, size: vipsInPool(pool), used: vipsOf(this.loop.collected.services.services).size }
  }

  private vipNotes(): string[] {
    const vips = this.vips()
    if (!vips) return []
    const outside = this.loop.collected.services.services.filter(
      ({ vip }) => vip !== null && offsetIn(vips.pool, vip) === null,
    )
    return [
      ...(vips.used >= vips.size ? [exhaustion(vips.size, vips.pool)] : []),
      ...outside.map(
        ({ name, vip }) =>
          `service ${name}: its VIP ${vip} is outside the VIP pool ${vips.pool}; ` +
          `another one: meshctl service set ${name} --ip auto`,
      ),
    ]
  }

  private told({ service, created, warnings }: Changed): PublishView {
    return { service: this.stored(service), created, warnings }
  }

  /** A service as it is stored now, of which the store's own news may be late. */
  private stored(service: Service): ServiceView {
    const { endpoints = [], callers = [] } = this.named(service.name) ?? {}
    return this.viewOf({ service, endpoints, callers })
  }

  /** Until a ready endpoint of the service is in the kernel, or nobody waits for it any more. */
  private async answering({ name }: Service, gone: AbortSignal): Promise<void> {
    for (let seen = false; !gone.aborted; ) {
      const found = this.named(name)
      if (seen && !found) throw this.publisher.notStored(name)
      seen ||= found !== undefined
      if (found && this.viewOf(found).endpoints.some(({ state }) => state === 'ready')) return
      await sleep(100)
    }
  }

  /** Services of the mesh; those stored while sources are still awaited have no endpoints yet. */
  private meshServices(): MeshService[] {
    const planned = new Map(this.loop.reconciler.mesh.services.map(each => [each.service.name, each]))
    return this.loop.collected.services.services.map(
      service => planned.get(service.name) ?? { service, endpoints: [], callers: [] },
    )
  }

  private named(name: string): MeshService | undefined {
    return this.meshServices().find(({ service }) => service.name === name)
  }

  private viewOf(service: MeshService): ServiceView {
    const { reconciler, collected, troubles, store } = this.loop
    const { node } = collected.inputs
    const origin = collected.services.origins.get(service.service.name)
    const stacks = stacksOfNode(node, reconciler.settings)
    return serviceView({
      service,
      origin: origin === undefined || origin === store.name ? service.service.declaredBy : origin,
      addressOf: endpoint =>
        endpoint.kind === 'node'
          ? nodeAddress(node.subnet)
          : endpoint.kind === 'container'
            ? reconciler.addressOf(endpoint.attachment!)
            : endpoint.address,
      domain: this.options.domain,
      readings: reconciler.lastReadings,
      sandbox: sandboxAddress(node.subnet),
      stacks,
      passages: passagesOf(node, stacks),
      vips: vipRangesOf(reconciler.settings, stacks),
      failureOf: endpoint => failureOf(endpoint, troubles.get.bind(troubles)),
    })
  }

  private async counts(): Promise<CountsView> {
    const services = this.meshServices()
    const endpoints = services.flatMap(each => each.endpoints)
    let connections = 0
    for (const { active } of this.loop.reconciler.lastReadings.values()) connections += active
    return {
      services: services.length,
      ports: services.reduce(
        (sum, { service }) => sum + service.ports.reduce((n, port) => n + lengthOf(port.published), 0),
        0,
      ),
      endpoints: endpoints.length,
      ready: endpoints.filter(({ state }) => state === 'ready').length,
      connections,
    }
  }
}

/** A failed link is the failure of the endpoint that needs it. */
function failureOf(endpoint: Endpoint, trouble: (subject: string) => string | null): string | null {
  if (endpoint.attachment === null) return null
  const link = keyOf({
    kind: 'link',
    place: 'mesh',
    name: attachmentLink(endpoint.attachment),
    peerPlace: 'host',
    peerName: '',
    mtu: 0,
  })
  return trouble(`change ${link}`)
}
