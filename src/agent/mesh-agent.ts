/**
 * The agent as the API sees it: publishes into the store, tells what the loop made of
 * it. How the loop is fed and run is in loop.ts and run.ts.
 */
import { isDeepStrictEqual } from 'node:util'
import { InputError, MeshError } from '../errors.js'
import { keyOf } from '../kernel/objects.js'
import { attachmentLink } from '../kernel/ownership.js'
import { type PortUse, settlePorts } from '../model/conflicts.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import { resolveName } from '../model/names.js'
import { formatPort, lengthOf, type PortRange, type PortSpec } from '../model/ports.js'
import { checkTargets, type Publication } from '../model/publication.js'
import type { FixedEndpoint, Service } from '../model/service.js'
import { nodeAddress } from '../planner/addresses.js'
import { readListeners } from '../sources/listeners.js'
import type { SwarmServices } from '../sources/swarm-service.js'
import type { Agent, PortKey, PublishOptions } from '../status/agent.js'
import { viewOf as changeView } from '../status/describe.js'
import { sameRange } from '../status/find.js'
import type {
  AdoptView,
  ApplyView,
  ChangeView,
  CleanView,
  CountsView,
  NamesView,
  NodeView,
  PublishView,
  ServiceView,
  StatusView,
  UnpublishView,
  VersionView,
} from '../status/views.js'
import type { Cluster } from '../store/cluster.js'
import { type AdoptInput, adopt, release } from './adopt.js'
import type { Loop } from './loop.js'
import { keepChosen, mergePublication } from './merge-publication.js'
import type { Names } from './names.js'
import { drainNode, type NodesInput, nodeViews, removeNode } from './nodes.js'
import { serviceView } from './service-view.js'

export interface MeshAgentOptions {
  readonly loop: Loop
  /** null: this is the only node. */
  readonly cluster: Cluster | null
  readonly version: VersionView
  readonly portRange: PortRange
  readonly reserved: PortUse['reserved']
  readonly names: Names
  readonly metrics: () => Promise<string>
  /** Publications of a mesh or compose file. Throws InputError. */
  readonly parseFile: (text: string, name: string) => Publication[]
  /** Throws MESH_UNSUPPORTED when the kernel lacks what a publication asks for. */
  readonly requireOfKernel: (publication: Publication) => Promise<void>
  readonly swarm: SwarmServices
  /** Seconds between full passes. */
  readonly resync: number
  /** Whether services that labels declare are theirs alone: some manager mirrors labels. */
  readonly labelsInForce: () => boolean
  /** Removes everything of the mesh from the host; returns what, as an operator would type it. */
  readonly cleanHost: () => Promise<string[]>
  /** Called when the agent has nothing left to do. */
  readonly exit: () => void
}

/** How long `--wait` waits for an endpoint, seconds. */
const patience = 300
/** How many repairs `status` shows. */
const shownRepairs = 20

export class MeshAgent implements Agent {
  private readonly options: MeshAgentOptions
  private readonly loop: Loop
  private readonly started = Date.now()

  constructor(options: MeshAgentOptions) {
    this.options = options
    this.loop = options.loop
  }

  async publish(publication: Publication, { wait, given }: PublishOptions): Promise<PublishView> {
    const warnings: string[] = []
    let created = false
    const asked = this.resolved(publication, given.has('selector'), warnings)
    const use = await this.portUse(asked.ports)
    const [service] = await this.change([asked], services => {
      const former = services.find(({ name }) => name === asked.name)
      created = former === undefined
      this.refuseDeclared(former, `--label-add mesh.publish=${asked.ports.map(formatPort).join(',')}`)
      const wanted = mergePublication(asked, former, given)
      checkTargets(wanted)
      return [settlePorts(wanted, { ...use, services: this.others(services) }, this.options.portRange)]
    })
    await this.loop.settled()
    if (wait) await this.answering(service!.name)
    return { service: await this.view(service!.name), created, warnings }
  }

  async unpublish(port: PortKey, name: string): Promise<UnpublishView> {
    const removed: string[] = []
    await this.loop.store.update(services => {
      const service = services.find(each => each.name === name)
      if (!service) throw this.notStored(name)
      this.refuseDeclared(service, '--label-rm mesh.publish')
      const going = service.ports.find(
        each => each.protocol === port.protocol && sameRange(each.published, port.published),
      )
      if (!going)
        throw new MeshError(
          'MESH_NOT_FOUND',
          `service ${name} does not publish that port; it publishes ${service.ports.map(formatPort).join(', ')}`,
        )
      removed.splice(0, removed.length, formatPort(going))
      const ports = service.ports.filter(each => each !== going)
      const rest = services.filter(each => each !== service)
      return ports.length === 0 ? rest : [...rest, { ...service, ports }]
    })
    await this.loop.settled()
    const left = (await this.list()).find(each => each.name === name)
    return { name, removed, service: left ?? null }
  }

  adopt(name: string, { keep }: { readonly keep: boolean }): Promise<AdoptView> {
    return adopt(this.adoptInput, name, keep)
  }

  release(name: string): Promise<AdoptView> {
    return release(this.adoptInput, name)
  }

  private get adoptInput(): AdoptInput {
    const { swarm, labelsInForce, resync } = this.options
    return { loop: this.loop, swarm, labelsInForce, resync }
  }

  async list(): Promise<readonly ServiceView[]> {
    const services = this.meshServices()
    return services.map(service => this.viewOf(service)).sort((a, b) => (a.name < b.name ? -1 : 1))
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
      notes: [...loop.notes, ...this.labelNotes()],
    }
  }

  async plan(): Promise<readonly ChangeView[]> {
    return (await this.loop.preview()).map(changeView)
  }

  async applyFile({ text, name }: { text: string; name: string }): Promise<readonly ApplyView[]> {
    const views: ApplyView[] = []
    const publications = this.options.parseFile(text, name)
    const warnings = new Map<string, string[]>(publications.map(each => [each.name, []]))
    const asked = publications.map(each => this.resolved(each, false, warnings.get(each.name)!))
    const use = await this.portUse(asked.flatMap(({ ports }) => ports))
    await this.change(asked, stored => {
      views.length = 0
      const settled: Service[] = []
      for (const publication of asked) {
        const former = stored.find(each => each.name === publication.name)
        this.refuseDeclared(former, `--label-add mesh.publish=${publication.ports.map(formatPort).join(',')}`)
        const others = this.others(stored.filter(each => !settled.some(({ name }) => name === each.name)))
        const wanted = { ...publication, ports: keepChosen(publication.ports, former) }
        checkTargets(wanted)
        const service = settlePorts(
          wanted,
          { ...use, services: [...others, ...settled] },
          this.options.portRange,
        )
        settled.push(service)
        views.push({
          name: service.name,
          result: !former ? 'created' : isDeepStrictEqual(former, service) ? 'unchanged' : 'changed',
          ports: service.ports.map(formatPort),
          warnings: warnings.get(service.name) ?? [],
        })
      }
      return settled
    })
    await this.loop.settled()
    return views
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
    const removed = await this.options.cleanHost()
    this.options.exit()
    return { removed }
  }

  version(): VersionView {
    return this.options.version
  }

  metrics(): Promise<string> {
    return this.options.metrics()
  }

  /** Stores what `settle` makes of the stored services, in place of those of the same names. */
  private async change(
    asked: readonly Publication[],
    settle: (stored: readonly Service[]) => Service[],
  ): Promise<Service[]> {
    for (const publication of asked) await this.options.requireOfKernel(publication)
    let settled: Service[] = []
    await this.loop.store.update(stored => {
      settled = settle(stored)
      const names = new Set(settled.map(({ name }) => name))
      return [...stored.filter(({ name }) => !names.has(name)), ...settled]
    })
    return settled
  }

  /** What the mesh publishes: the store's services as they are now, and those of files. */
  private others(stored: readonly Service[]): Service[] {
    const { services, origins } = this.loop.collected.services
    return [...stored, ...services.filter(({ name }) => origins.get(name) !== this.loop.store.name)]
  }

  /** The publication with the selector that its name stands for at this moment. */
  private resolved(asked: Publication, selected: boolean, warnings: string[]): Publication {
    const publication = { ...asked, endpoints: asked.endpoints.map(each => this.placed(each)) }
    const origin = this.loop.collected.services.origins.get(publication.name)
    if (origin !== undefined && origin !== this.loop.store.name)
      throw new InputError('service', publication.name, `it is defined by ${origin}`, 'change it there')
    const former = this.loop.collected.services.services.find(({ name }) => name === publication.name)
    if (selected || publication.selector) return publication
    if (former?.selector) return { ...publication, selector: former.selector }
    const selector = resolveName(publication.name, this.loop.collected.containers)
    if (!selector && publication.endpoints.length === 0)
      warnings.push(
        this.loop.hasHeardDocker
          ? `no Swarm service, compose service or container on this node is called ${publication.name} yet; connections are refused until there is one`
          : `Docker has not answered yet; connections are refused until it has, and something called ${publication.name} runs`,
      )
    return { ...publication, selector }
  }

  /** What labels declare is changed there; `change` is how. */
  private refuseDeclared(service: Service | undefined, change: string): void {
    if (service?.declaredBy !== 'swarm' || !this.options.labelsInForce()) return
    const { name } = service
    throw new InputError(
      'service',
      name,
      'labels of the Swarm service declare it',
      `change it there: docker service update ${change} ${name}`,
    )
  }

  private labelNotes(): string[] {
    return this.loop.collected.services.services.flatMap(({ name, problems }) =>
      problems.map(problem => `service ${name}: ${problem}`),
    )
  }

  /** A process of this node has an address by which the other nodes know it too. */
  private placed(endpoint: FixedEndpoint): FixedEndpoint {
    const { membership } = this.loop.collected.own
    return membership && endpoint.address.startsWith('127.')
      ? { ...endpoint, address: membership.address }
      : endpoint
  }

  private async portUse(ports: readonly PortSpec[]): Promise<Omit<PortUse, 'services'>> {
    return {
      snapshot: this.loop.collected.containers,
      listeners: await readListeners(ports),
      reserved: this.options.reserved,
    }
  }

  private notStored(name: string): MeshError {
    const origin = this.loop.collected.services.origins.get(name)
    return new MeshError(
      'MESH_NOT_FOUND',
      origin
        ? `service ${name} is defined by ${origin}; take it out there`
        : `service "${name}": not published; \`meshctl ls\` lists what is`,
    )
  }

  /** Until a ready endpoint of the service is in the kernel. */
  private async answering(name: string): Promise<void> {
    const end = Date.now() + patience * 1000
    for (;;) {
      const view = await this.view(name)
      if (view.endpoints.some(({ state }) => state === 'ready')) return
      if (Date.now() > end)
        throw new MeshError(
          'MESH_NOT_FOUND',
          `service ${name} is published, but no endpoint became ready within ${patience} s; \`meshctl inspect ${name}\` says why`,
        )
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  /** Services of the mesh; those stored while sources are still awaited have no endpoints yet. */
  private meshServices(): MeshService[] {
    const planned = new Map(this.loop.reconciler.mesh.services.map(each => [each.service.name, each]))
    return this.loop.collected.services.services.map(
      service => planned.get(service.name) ?? { service, endpoints: [], callers: [] },
    )
  }

  private async view(name: string): Promise<ServiceView> {
    const service = this.meshServices().find(each => each.service.name === name)
    if (!service) throw this.notStored(name)
    return this.viewOf(service)
  }

  private viewOf(service: MeshService): ServiceView {
    const { reconciler, collected, troubles, store } = this.loop
    const { node } = collected.inputs
    const origin = collected.services.origins.get(service.service.name)
    return serviceView({
      service,
      origin: origin === undefined || origin === store.name ? service.service.declaredBy : origin,
      addressOf: endpoint =>
        endpoint.kind === 'node'
          ? nodeAddress(node.subnet)
          : endpoint.kind === 'container'
            ? reconciler.addressOf(endpoint.attachment!)
            : endpoint.address,
      readings: reconciler.lastReadings,
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
