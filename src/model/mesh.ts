/**
 * All snapshots merged: which endpoints each service has, and which containers
 * must therefore be attached to the mesh. Pure; nothing here knows the kernel.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Caller, callersByScope, callersIn } from './callers.js'
import type { HostNode, RemoteContainer } from './cluster.js'
import type { Container, Selectable } from './container.js'
import { ContainerIndex } from './container-index.js'
import { formatEndpoint } from './endpoint.js'
import { formatRange, type PortRange } from './ports.js'
import type { FixedEndpoint, Service } from './service.js'
import { weightsOf } from './shares.js'
import type { ContainerSnapshot, Node } from './snapshot.js'
import { vipPortsOf } from './vip-ports.js'

/** `true` on a container that is to be on the mesh though it may be no endpoint. */
export const attachLabel = 'mesh.attach'

/** Only `ready` endpoints get new connections; the others keep those they have, for the drain time. */
export type EndpointState = 'ready' | 'starting' | 'unhealthy' | 'paused' | 'leaving'

export interface Endpoint {
  /** Container id, or the address it was given by. */
  readonly id: string
  /** Container's name, or the address. */
  readonly name: string
  /**
   * Where it is reached: `container` through its own veth, `node` at the node's mesh
   * address (a process or a host-network container), `remote` at the mesh address it
   * has on another node, `external` at an address the mesh does not own.
   */
  readonly kind: 'container' | 'node' | 'remote' | 'external'
  /** Id of the container whose network namespace it uses; null unless kind is `container`. */
  readonly attachment: string | null
  /** IPv4 address, of an external one perhaps IPv6; null unless kind is `remote` or `external`. */
  readonly address: string | null
  /** Port instead of the published port's target; null: the target. */
  readonly port: number | null
  readonly state: EndpointState
  /** Share of new connections while it is ready; 0: none of them. */
  readonly weight: number
}

export interface MeshService {
  readonly service: Service
  readonly endpoints: readonly Endpoint[]
  /** Containers of this node that share a scope with it; none where everybody may call. */
  readonly callers: readonly Caller[]
}

/** A container's network namespace that is to be on the mesh. */
export interface Attachment {
  readonly id: string
  readonly pid: number
  /** Addresses of its own that it may call from. */
  readonly addresses: readonly string[]
  /** Networks it is on besides the mesh. */
  readonly networks: readonly string[]
  /** Ports on which its endpoints answer datagrams. */
  readonly udpPorts: readonly PortRange[]
}

export interface Mesh {
  readonly services: readonly MeshService[]
  readonly attachments: readonly Attachment[]
}

function stateOfContainer(container: Container): EndpointState | null {
  if (container.state === 'paused') return 'paused'
  if (container.state !== 'running' || container.pid === 0) return null
  if (container.leaving) return 'leaving'
  if (container.health === 'starting' || container.health === 'unhealthy') return container.health
  return 'ready'
}

/** The container whose network namespace `container` uses, following `--network container:…`. */
function networkOwner(container: Container, byId: ReadonlyMap<string, Container>): Container | null {
  let owner: Container | undefined = container
  for (let hops = 0; owner && hops < 8; hops++) {
    if (!owner.network.startsWith('container:')) return owner.pid === 0 ? null : owner
    owner = byId.get(owner.network.slice('container:'.length))
  }
  return null
}

function endpointOf(container: Container, byId: ReadonlyMap<string, Container>): Endpoint | null {
  const state = stateOfContainer(container)
  const owner = networkOwner(container, byId)
  if (!state || !owner) return null
  const kind = owner.network === 'host' ? 'node' : 'container'
  return {
    id: container.id,
    name: container.name,
    kind,
    attachment: kind === 'container' ? owner.id : null,
    address: null,
    port: null,
    state,
    weight: 1,
  }
}

/** null: at a node where nothing can be reached. */
function fixedEndpoint(fixed: FixedEndpoint, node: Node, hosts: readonly HostNode[]): Endpoint | null {
  const own = fixed.address.startsWith('127.') || node.addresses.includes(fixed.address)
  const host = hosts.find(each => (own ? each.name === node.name : each.address === fixed.address))
  if (host?.state === null) return null
  const id = formatEndpoint(fixed)
  return {
    id,
    name: id,
    kind: own ? 'node' : host ? 'remote' : 'external',
    attachment: null,
    address: own ? null : (host?.meshAddress ?? fixed.address),
    port: fixed.port,
    state: host?.state ?? 'ready',
    weight: 1,
  }
}

function remoteEndpoint({ id, name, address, state }: RemoteContainer): Endpoint {
  return { id, name, kind: 'remote', attachment: null, address, port: null, state, weight: 1 }
}

/** Endpoints with their weights; `carriers`: whose labels count, null where there are none. */
function weighed(
  service: Service,
  endpoints: readonly Endpoint[],
  carriers: readonly (Selectable | null)[],
): Endpoint[] {
  const weights = weightsOf(
    service.weights,
    endpoints.map(({ state }, i) => ({ carrier: carriers[i] ?? null, counts: state === 'ready' })),
  )
  return endpoints.map((endpoint, i) => ({ ...endpoint, weight: weights[i]! }))
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.id === b.id &&
    a.state === b.state &&
    a.attachment === b.attachment &&
    a.kind === b.kind &&
    a.address === b.address &&
    a.name === b.name &&
    a.weight === b.weight
  )
}

function sameEndpoints(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  if (some === others) return true
  return some.length === others.length && some.every((each, i) => sameEndpoint(each, others[i]!))
}

/** Ports at which endpoints of a service answer datagrams, be it by a published port or by the VIP. */
function udpTargetsOf(service: Service): PortRange[] {
  const ports = service.vip === null ? service.ports : [...service.ports, ...vipPortsOf(service)]
  return ports.filter(({ protocol }) => protocol === 'udp').map(({ target }) => target)
}

/** Attachment → the ports on which its endpoints answer datagrams, each once, in order. */
function udpPortsOf(services: Iterable<MeshService>): Map<string, PortRange[]> {
  const found = new Map<string, Map<string, PortRange>>()
  for (const { service, endpoints } of services) {
    const targets = udpTargetsOf(service)
    if (targets.length === 0) continue
    for (const { attachment, port } of endpoints) {
      if (attachment === null) continue
      const ranges = found.get(attachment) ?? new Map<string, PortRange>()
      for (const range of port === null ? targets : [{ first: port, last: port }])
        ranges.set(formatRange(range), range)
      found.set(attachment, ranges)
    }
  }
  return new Map(
    [...found].map(([id, ranges]) => [id, [...ranges.values()].sort((a, b) => a.first - b.first)]),
  )
}

const noHosts: readonly HostNode[] = []
const noCallers: readonly Caller[] = []

/**
 * A merge that returns the same MeshService object for a service of which nothing
 * changed, so that later steps can tell by reference what to leave alone. `hosts`: the
 * nodes of the cluster, this one among them; the same list as long as none changes.
 */
export function createMerge(): (
  services: readonly Service[],
  snapshot: ContainerSnapshot,
  node: Node,
  remote?: readonly RemoteContainer[],
  hosts?: readonly HostNode[],
) => Mesh {
  let merged = new Map<Service, MeshService>()
  let attached = new Map<string, Attachment>()
  /** Endpoints given by address, as long as no node changes. */
  let fixed = new WeakMap<Service, readonly Endpoint[]>()
  let ownAddresses: readonly string[] = []
  let knownHosts: readonly HostNode[] = []
  return (services, snapshot, node, remote = [], hosts = noHosts) => {
    if (hosts !== knownHosts || !isDeepStrictEqual(ownAddresses, node.addresses)) fixed = new WeakMap()
    ownAddresses = node.addresses
    knownHosts = hosts
    const index = new ContainerIndex(snapshot.containers)
    const elsewhere = new ContainerIndex(remote)
    const nextMerged = new Map<Service, MeshService>()
    const nextAttached = new Map<string, Attachment>()
    const attach = ({ id, pid, addresses, networks }: Container) => {
      if (!nextAttached.has(id)) nextAttached.set(id, { id, pid, addresses, networks, udpPorts: [] })
    }
    for (const container of index.with(attachLabel, 'true')) {
      const owner = stateOfContainer(container) && networkOwner(container, index.byId)
      if (owner && owner.network !== 'host') attach(owner)
    }
    for (const service of services) {
      const given =
        fixed.get(service) ?? service.endpoints.flatMap(each => fixedEndpoint(each, node, hosts) ?? [])
      fixed.set(service, given)
      const found: Endpoint[] = []
      const carriers: (Selectable | null)[] = given.map(() => null)
      const note = (container: Selectable, endpoint: Endpoint | null) => {
        if (!endpoint) return
        found.push(endpoint)
        carriers.push(container)
      }
      for (const container of index.of(service)) note(container, endpointOf(container, index.byId))
      for (const container of elsewhere.of(service)) note(container, remoteEndpoint(container))
      const all = found.length === 0 ? given : [...given, ...found]
      const endpoints = service.weights.length === 0 ? all : weighed(service, all, carriers)
      const before = merged.get(service)
      const same = before !== undefined && sameEndpoints(before.endpoints, endpoints)
      nextMerged.set(service, same ? before : { service, endpoints, callers: noCallers })
      for (const { attachment } of found) if (attachment !== null) attach(index.byId.get(attachment)!)
    }
    const scoped = services.filter(({ scopes }) => scopes.length > 0)
    const byScope =
      scoped.length === 0
        ? new Map()
        : callersByScope(
            snapshot.containers,
            container => networkOwner(container, index.byId),
            id => nextAttached.has(id),
          )
    for (const service of scoped) {
      const found = nextMerged.get(service)!
      const callers = callersIn(service.scopes, byScope)
      if (!isDeepStrictEqual(found.callers, callers)) nextMerged.set(service, { ...found, callers })
    }
    for (const [id, udpPorts] of udpPortsOf(nextMerged.values()))
      nextAttached.set(id, { ...nextAttached.get(id)!, udpPorts })
    for (const [id, attachment] of nextAttached) {
      const was = attached.get(id)
      if (isDeepStrictEqual(was, attachment)) nextAttached.set(id, was!)
    }
    merged = nextMerged
    attached = nextAttached
    return { services: [...nextMerged.values()], attachments: [...nextAttached.values()] }
  }
}
