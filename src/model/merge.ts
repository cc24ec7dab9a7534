/**
 * All snapshots merged into the mesh. Pure; nothing here knows the kernel. A merge
 * remembers the one before, and looks again only at services that something has happened to.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Caller, callersByScope, callersIn, createScopes } from './callers.js'
import type { HostNode, RemoteContainer } from './cluster.js'
import type { Container, Selectable } from './container.js'
import { ContainerIndex, OwnContainerIndex, ServiceIndex } from './container-index.js'
import { differences, sameItems } from './differences.js'
import {
  type Candidate,
  endpointOf,
  fixedEndpoint,
  networkOwner,
  remoteEndpoint,
  sameEndpoints,
  settled,
  stateOfContainer,
  weighed,
} from './find-endpoints.js'
import { type Attachment, attachLabel, type Endpoint, type Mesh, type MeshService } from './mesh.js'
import { formatRange, type PortRange } from './ports.js'
import { isServed, type Service } from './service.js'
import type { ContainerSnapshot, Node } from './snapshot.js'
import { vipPortsOf } from './vip-ports.js'

/** Ports at which endpoints of a service answer datagrams, be it by a published port of any node or by the VIP. */
function udpTargetsOf(service: Service): PortRange[] {
  const published = [...service.ports, ...(service.elsewhere ?? [])]
  const ports = service.vip === null ? published : [...published, ...vipPortsOf(service)]
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
const same = { gone: [], come: [] }

function byNode(a: RemoteContainer, b: RemoteContainer): number {
  if (a.node !== b.node) return a.node < b.node ? -1 : 1
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1
}

/** Whether a container may share the network of another one, which what becomes of that one then concerns. */
function sharesNetwork({ network }: Container): boolean {
  return network.startsWith('container:')
}

type MergeInputs = readonly [
  services: readonly Service[],
  snapshot: ContainerSnapshot,
  node: Node,
  remote?: readonly RemoteContainer[],
  hosts?: readonly HostNode[],
]

class Merge {
  /** The services as they were given, and in the same places what became of them. */
  private services: readonly Service[] = []
  private merged: MeshService[] = []
  private askers = new ServiceIndex([])
  /** Places of services with endpoints that are containers of this node, and of those with scopes. */
  private readonly local = new Set<number>()
  private scoped: readonly number[] = []
  private own: readonly Container[] = []
  private remote: readonly RemoteContainer[] = []
  private readonly elsewhere = new ContainerIndex<RemoteContainer>([], byNode)
  private attached = new Map<string, Attachment>()
  /** Endpoints given by address, as long as no node changes. */
  private fixed = new WeakMap<Service, readonly Endpoint[]>()
  private ownAddresses: readonly string[] = []
  private hosts: readonly HostNode[] = noHosts

  next(...[services, snapshot, node, remote = [], hosts = noHosts]: MergeInputs): Mesh {
    const index = new OwnContainerIndex(snapshot.containers)
    const places = this.touched(services, snapshot, node, remote, hosts)
    const found = new Map<number, MeshService>()
    for (const place of places) {
      const before = this.merged[place]
      const service = services[place]!
      const endpoints = this.endpointsOf(service, index, node)
      const same = before?.service === service && sameEndpoints(before.endpoints, endpoints)
      if (!same) found.set(place, { service, endpoints, callers: noCallers })
      if (endpoints.some(({ attachment }) => attachment !== null)) this.local.add(place)
      else this.local.delete(place)
    }
    this.put(found)
    const attachments = this.attachments(index)
    this.put(this.withCallers(index, new Set(attachments.map(({ id }) => id))))
    return { services: this.merged, attachments }
  }

  /** A list that was handed out stays as it was. */
  private put(found: ReadonlyMap<number, MeshService>): void {
    if (found.size === 0) return
    this.merged = this.merged.slice()
    for (const [place, service] of found) this.merged[place] = service
  }

  /** Places of the services that have to be looked at again. Remembers what was given. */
  private touched(
    services: readonly Service[],
    { containers }: ContainerSnapshot,
    node: Node,
    remote: readonly RemoteContainer[],
    hosts: readonly HostNode[],
  ): ReadonlySet<number> {
    const places = new Set<number>()
    const touch = (container: Selectable) => {
      for (const place of this.askers.of(container)) places.add(place)
    }
    if (!sameItems(this.services, services)) this.rearrange(services, places)
    const own = differences(this.own, containers)
    const changed = [...own.gone, ...own.come]
    changed.forEach(touch)
    if (changed.length > 0) for (const each of containers) if (sharesNetwork(each)) touch(each)
    const others = remote === this.remote ? same : differences(this.remote, remote)
    for (const container of others.gone) this.elsewhere.remove(container)
    for (const container of others.come) this.elsewhere.add(container)
    others.gone.forEach(touch)
    others.come.forEach(touch)
    if (hosts !== this.hosts || !isDeepStrictEqual(this.ownAddresses, node.addresses)) {
      this.fixed = new WeakMap()
      services.forEach((service, place) => {
        if (service.endpoints.length > 0) places.add(place)
      })
    }
    this.own = [...containers]
    this.remote = remote
    this.ownAddresses = node.addresses
    this.hosts = hosts
    return places
  }

  /** Takes over another list of services; adds to `places` those that are new. */
  private rearrange(services: readonly Service[], places: Set<number>): void {
    const known = new Map(this.services.map((service, place) => [service, place]))
    const local = new Set<number>()
    const merged: MeshService[] = []
    const scoped: number[] = []
    services.forEach((service, place) => {
      const before = known.get(service)
      const was = before === undefined ? undefined : this.merged[before]
      merged.push(was ?? { service, endpoints: [], callers: noCallers })
      if (!was) places.add(place)
      else if (this.local.has(before!)) local.add(place)
      if (service.scopes.length > 0) scoped.push(place)
    })
    this.services = [...services]
    this.merged = merged
    this.scoped = scoped
    this.askers = new ServiceIndex(services)
    this.local.clear()
    for (const place of local) this.local.add(place)
  }

  private endpointsOf(service: Service, index: OwnContainerIndex, node: Node): readonly Endpoint[] {
    const given =
      this.fixed.get(service) ??
      service.endpoints.flatMap(each => fixedEndpoint(each, node, this.hosts) ?? [])
    this.fixed.set(service, given)
    const found: Candidate[] = []
    const carriers: (Selectable | null)[] = given.map(() => null)
    const note = (container: Selectable, endpoint: Candidate | null) => {
      if (!endpoint) return
      found.push(endpoint)
      carriers.push(container)
    }
    for (const container of index.of(service)) note(container, endpointOf(container, index.byId))
    for (const container of this.elsewhere.of(service)) note(container, remoteEndpoint(container))
    const all = found.length === 0 ? given : settled([...given, ...found])
    return service.weights.length === 0 ? all : weighed(service, all, carriers)
  }

  /** Those of this node, which are given anew each time; one that is as it was is the same object. */
  private attachments(index: OwnContainerIndex): Attachment[] {
    const next = new Map<string, Attachment>()
    const attach = ({ id, pid, addresses, networks }: Container) => {
      if (!next.has(id)) next.set(id, { id, pid, addresses, networks, udpPorts: [] })
    }
    for (const container of index.with(attachLabel, 'true')) {
      const owner = stateOfContainer(container) && networkOwner(container, index.byId)
      if (owner && owner.network !== 'host') attach(owner)
    }
    const local = [...this.local]
      .sort((a, b) => a - b)
      .map(place => this.merged[place]!)
      .filter(({ service }) => isServed(service))
    for (const { endpoints } of local)
      for (const { attachment } of endpoints) if (attachment !== null) attach(index.byId.get(attachment)!)
    for (const [id, udpPorts] of udpPortsOf(local)) next.set(id, { ...next.get(id)!, udpPorts })
    for (const [id, attachment] of next) {
      const was = this.attached.get(id)
      if (isDeepStrictEqual(was, attachment)) next.set(id, was!)
    }
    this.attached = next
    return [...next.values()]
  }

  /** Services with scopes that have other callers now. */
  private withCallers(index: OwnContainerIndex, attached: ReadonlySet<string>): Map<number, MeshService> {
    const changed = new Map<number, MeshService>()
    if (this.scoped.length === 0) return changed
    const byScope = callersByScope(
      [...index.byId.values()],
      createScopes(this.scoped.map(place => this.merged[place]!)),
      container => networkOwner(container, index.byId),
      id => attached.has(id),
    )
    for (const place of this.scoped) {
      const found = this.merged[place]!
      const callers = callersIn(found.service.scopes, byScope)
      if (!isDeepStrictEqual(found.callers, callers)) changed.set(place, { ...found, callers })
    }
    return changed
  }
}

/**
 * A merge that returns the same MeshService object for a service of which nothing
 * changed, in the place that the service was given in, so that later steps can tell by
 * reference what to leave alone. `hosts`: the nodes of the cluster, this one among them;
 * the same list as long as none changes. A list of `remote` containers is not altered once given.
 */
export function createMerge(): (...inputs: MergeInputs) => Mesh {
  const merge = new Merge()
  return (...inputs) => merge.next(...inputs)
}
