/**
 * An agent that keeps services in memory and has no kernel: for tests of the API
 * server and of meshctl against it.
 */
import { MeshError } from '../../src/errors.js'
import { type PortUse, settlePorts } from '../../src/model/conflicts.js'
import { formatPort, formatRange } from '../../src/model/ports.js'
import type { Publication } from '../../src/model/publication.js'
import { publicationOf } from '../../src/model/publication.js'
import type { Service } from '../../src/model/service.js'
import type { ServiceFields } from '../../src/model/service-fields.js'
import { formatVipPort, vipPortsOf } from '../../src/model/vip-ports.js'
import { formatWeight } from '../../src/model/weights.js'
import type { Agent, PortKey, PublishOptions } from '../../src/status/agent.js'
import { sameRange } from '../../src/status/find.js'
import type { EndpointView, NamesView, NodeView, ServiceView, StatusView } from '../../src/status/views.js'

/** A ready endpoint on 10.254.0.3:80 for port 8888. */
export function anEndpoint(fields: Partial<EndpointView> = {}): EndpointView {
  return {
    container: 'web.1',
    id: '0123456789ab',
    address: '10.254.0.3',
    port: 80,
    published: '8888/tcp',
    state: 'ready',
    weight: 1,
    active: 2,
    inactive: 1,
    reason: null,
    ...fields,
  }
}

export const aStatus: StatusView = {
  node: 'node1',
  version: '0.1.0',
  uptime: 3661.5,
  healthy: true,
  troubles: [],
  sources: [{ name: 'docker', state: 'ready', message: null }],
  lastPass: { at: '2025-01-02T03:04:05.000Z', ms: 12.5, kind: 'full', changes: 3, failures: 0 },
  counts: { services: 1, ports: 1, endpoints: 2, ready: 1, connections: 4 },
  repairs: [],
  notes: [],
  vips: { pool: '10.253.0.0/16', size: 65_533, used: 3 },
}

export function aNode(number: number, fields: Partial<NodeView> = {}): NodeView {
  return {
    name: `node${number}`,
    number,
    subnet: `10.254.${number - 1}.0/24`,
    address: `192.168.77.${number}`,
    own: number === 1,
    live: true,
    reach: 'reached',
    draining: false,
    containers: 2,
    connections: 3,
    notes: [],
    ...fields,
  }
}

export class AgentDouble implements Agent {
  services: Service[] = []
  endpoints: EndpointView[] = []
  statusView: StatusView = aStatus
  nodeViews: NodeView[] = [aNode(1)]
  cleaned = 0
  /** Every call with its arguments. */
  readonly calls: { readonly name: string; readonly args: readonly unknown[] }[] = []
  /** Thrown by the next call. */
  failure: unknown = null
  /** publish waits for it. */
  ready: Promise<void> = Promise.resolve()

  async publish(publication: Publication, options: PublishOptions) {
    this.note('publish', publication, options)
    const service = settlePorts(publication, this.use)
    const created = !this.services.some(({ name }) => name === service.name)
    this.services = [...this.services.filter(({ name }) => name !== service.name), service]
    if (options.wait) await this.ready
    const warnings =
      this.endpoints.length === 0 ? [`nothing on this node answers for ${service.name} yet`] : []
    return { service: this.view(service), created, warnings }
  }

  async createService(publication: Publication) {
    this.note('createService', publication)
    const service = settlePorts(publication, this.use)
    this.services.push(service)
    return { service: this.view(service), created: true, warnings: [] }
  }

  async setService(name: string, fields: ServiceFields) {
    this.note('setService', name, fields)
    const former = this.serviceNamed(name)
    const service = { ...former, ...fields, vip: fields.vip ?? former.vip }
    this.services = this.services.map(each => (each === former ? service : each))
    return { service: this.view(service), created: false, warnings: [] }
  }

  async removeService(name: string, { force }: { readonly force: boolean }) {
    this.note('removeService', name, { force })
    const { vip, ports } = this.serviceNamed(name)
    this.services = this.services.filter(each => each.name !== name)
    return { name, vip, removed: ports.map(formatPort) }
  }

  async unpublish(port: PortKey, name: string) {
    this.note('unpublish', port, name)
    const service = this.services.find(each => each.name === name)
    const gone = service?.ports.filter(
      each => each.protocol === port.protocol && sameRange(each.published, port.published),
    )
    if (!service || !gone || gone.length === 0)
      throw new MeshError('MESH_NOT_FOUND', `service ${name} does not publish that port`)
    const left = { ...service, ports: service.ports.filter(each => !gone.includes(each)) }
    this.services = this.services.filter(each => each !== service)
    if (left.ports.length > 0) this.services.push(left)
    return { name, removed: gone.map(formatPort), service: left.ports.length > 0 ? this.view(left) : null }
  }

  /** `ports` of the service become the mesh's; Swarm is about to replace its tasks unless `keep`. */
  async adopt(name: string, { keep }: { readonly keep: boolean }) {
    this.note('adopt', name, { keep })
    const warnings = name.includes('_') ? ['it is of a stack'] : []
    return { name, ports: ['8080:80/tcp'], replacing: !keep, warnings }
  }

  async release(name: string) {
    this.note('release', name)
    return { name, ports: ['8080:80/tcp'], replacing: false, warnings: [] }
  }

  async list() {
    this.note('list')
    return this.services.map(service => this.view(service))
  }

  async status() {
    this.note('status')
    return this.statusView
  }

  async plan() {
    this.note('plan')
    return this.services.map(({ name }) => ({
      type: 'add' as const,
      kind: 'virtualService',
      place: 'mesh',
      text: `ipvsadm -A for ${name}`,
    }))
  }

  /** Each line of the file is the name of a service. */
  async applyFile(file: { text: string; name: string }) {
    this.note('applyFile', file)
    const names = file.text.split('\n').filter(Boolean)
    this.services = names.map((name, i) => {
      const ports = [
        { protocol: 'tcp' as const, published: null, target: { first: 80 + i, last: 80 + i }, address: null },
      ]
      return settlePorts(publicationOf(name, { ports }), this.use)
    })
    return names.map(name => ({
      name,
      result: 'created' as const,
      ports: ['30000:80/tcp'],
      vip: '10.253.0.9',
      warnings: [],
    }))
  }

  namesView: NamesView = {
    domain: 'mesh',
    ttl: 5,
    addresses: ['10.253.0.1'],
    served: ['10.253.0.1'],
    upstreams: ['192.168.77.254'],
    queries: { answered: 3, forwarded: 2, failed: 1 },
  }

  names() {
    return this.namesView
  }

  async nodes() {
    this.note('nodes')
    return this.nodeViews
  }

  async drainNode(name: string, draining: boolean) {
    this.note('drainNode', name, draining)
    const view = { ...this.nodeNamed(name), draining }
    this.nodeViews = this.nodeViews.map(each => (each.name === name ? view : each))
    return view
  }

  async removeNode(name: string) {
    this.note('removeNode', name)
    const view = this.nodeNamed(name)
    this.nodeViews = this.nodeViews.filter(each => each !== view)
    return view
  }

  async clean() {
    this.note('clean')
    this.cleaned++
    return { removed: ['ipvsadm -D -f 0x122b8', 'ip netns del mesh'] }
  }

  version() {
    return { version: '9.9.9', node: 'node1' }
  }

  async metrics() {
    return '# HELP mesh_healthy x\nmesh_healthy 1\n'
  }

  private serviceNamed(name: string): Service {
    const service = this.services.find(each => each.name === name)
    if (!service) throw new MeshError('MESH_NOT_FOUND', `service "${name}": not published`)
    return service
  }

  private nodeNamed(name: string): NodeView {
    const view = this.nodeViews.find(each => each.name === name)
    if (!view) throw new MeshError('MESH_NOT_FOUND', `node ${name}: there is no such node`)
    return view
  }

  private get use(): PortUse {
    return {
      services: this.services,
      snapshot: { containers: [], swarmServices: [], swarmPorts: [], declarations: null, ending: [] },
      listeners: [],
      reserved: [],
      vipPool: '10.253.0.0/16',
    }
  }

  private note(name: string, ...args: unknown[]): void {
    this.calls.push({ name, args })
    const failure = this.failure
    this.failure = null
    if (failure) throw failure
  }

  private view(service: Service): ServiceView {
    return {
      name: service.name,
      ports: service.ports.map(port => ({
        spec: formatPort(port),
        protocol: port.protocol,
        published: formatRange(port.published),
        target: formatRange(port.target),
        address: port.address,
        fwmark: '0x122b8',
      })),
      scheduler: service.scheduler,
      drain: service.drain,
      selector: service.selector,
      origin: 'meshctl',
      problems: [],
      endpoints: service.ports.length > 0 ? this.endpoints : [],
      vip: service.vip,
      vipPorts: vipPortsOf(service).map(port => ({
        spec: formatVipPort(port),
        protocol: port.protocol,
        port: formatRange(port.port),
        target: formatRange(port.target),
      })),
      vipEndpoints: (service.vip === null && service.ports.length > 0 ? [] : this.endpoints).map(
        ({ published, ...each }) => ({ ...each, port: 0, active: 1 }),
      ),
      endpointMode: service.endpointMode,
      names: [`${service.name}.mesh`, ...service.aliases.map(alias => `${alias}.mesh`)],
      aliases: service.aliases,
      scopes: service.scopes,
      persistence: service.persistence,
      weights: service.weights.map(formatWeight),
    }
  }
}
