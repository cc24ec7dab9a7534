/**
 * All snapshots merged: which endpoints each service has, and which containers
 * must therefore be attached to the mesh. Pure; nothing here knows the kernel.
 */
import { isDeepStrictEqual } from 'node:util'
import type { HostNode, RemoteContainer } from './cluster.js'
import type { Container, Selectable } from './container.js'
import { matchesByName } from './names.js'
import { formatRange, type PortRange } from './ports.js'
import { matches } from './selector.js'
import type { FixedEndpoint, Service } from './service.js'
import { composeServiceLabel, containerNameLabel, swarmServiceLabel } from './service.js'
import type { ContainerSnapshot, Node } from './snapshot.js'

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
  /** IPv4 address; null unless kind is `remote` or `external`. */
  readonly address: string | null
  /** Port instead of the published port's target; null: the target. */
  readonly port: number | null
  readonly state: EndpointState
}

export interface MeshService {
  readonly service: Service
  readonly endpoints: readonly Endpoint[]
}

/** A container's network namespace that is to be on the mesh. */
export interface Attachment {
  readonly id: string
  readonly pid: number
  /** IPv4 addresses of its own that it may call from. */
  readonly addresses: readonly string[]
  /** IPv4 networks it is on besides the mesh. */
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
  }
}

/** null: at a node where nothing can be reached. */
function fixedEndpoint(fixed: FixedEndpoint, node: Node, hosts: readonly HostNode[]): Endpoint | null {
  const own = fixed.address.startsWith('127.') || node.addresses.includes(fixed.address)
  const host = hosts.find(each => (own ? each.name === node.name : each.address === fixed.address))
  if (host?.state === null) return null
  const id = fixed.port === null ? fixed.address : `${fixed.address}:${fixed.port}`
  return {
    id,
    name: id,
    kind: own ? 'node' : host ? 'remote' : 'external',
    attachment: null,
    address: own ? null : (host?.meshAddress ?? fixed.address),
    port: fixed.port,
    state: host?.state ?? 'ready',
  }
}

function remoteEndpoint({ id, name, address, state }: RemoteContainer): Endpoint {
  return { id, name, kind: 'remote', attachment: null, address, port: null, state }
}

/**
 * Finds the containers of a service without walking all of them: by the value of
 * one label that it asks for.
 */
class ContainerIndex<Item extends Selectable> {
  readonly byId: ReadonlyMap<string, Item>
  private readonly byLabel = new Map<string, Map<string, Item[]>>()

  constructor(containers: readonly Item[]) {
    this.byId = new Map(containers.map(container => [container.id, container]))
    for (const container of containers) {
      for (const [label, value] of Object.entries(container.labels)) this.file(label, value, container)
      this.file(containerNameLabel, container.name, container)
    }
  }

  private file(label: string, value: string, container: Item): void {
    const byValue = this.byLabel.get(label) ?? new Map<string, Item[]>()
    this.byLabel.set(label, byValue)
    const filed = byValue.get(value)
    if (filed) filed.push(container)
    else byValue.set(value, [container])
  }

  private with(label: string, value: string): readonly Item[] {
    return this.byLabel.get(label)?.get(value) ?? []
  }

  of(service: Service): Item[] {
    if (service.selector) {
      const selector = service.selector
      const first = Object.entries(selector)[0]
      if (!first) return []
      return this.with(...first).filter(container => matches(container, selector))
    }
    const shortName = service.name.slice(service.name.indexOf('/') + 1)
    const found = new Set<Item>()
    for (const label of [swarmServiceLabel, composeServiceLabel, containerNameLabel])
      for (const container of this.with(label, shortName))
        if (matchesByName(container, service.name)) found.add(container)
    return [...found]
  }
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.id === b.id &&
    a.state === b.state &&
    a.attachment === b.attachment &&
    a.kind === b.kind &&
    a.address === b.address &&
    a.name === b.name
  )
}

function sameEndpoints(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  if (some === others) return true
  return some.length === others.length && some.every((each, i) => sameEndpoint(each, others[i]!))
}

/** Attachment → the ports on which its endpoints answer datagrams, each once, in order. */
function udpPortsOf(services: Iterable<MeshService>): Map<string, PortRange[]> {
  const found = new Map<string, Map<string, PortRange>>()
  for (const { service, endpoints } of services) {
    const targets = service.ports.filter(({ protocol }) => protocol === 'udp').map(({ target }) => target)
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
    for (const service of services) {
      const given =
        fixed.get(service) ?? service.endpoints.flatMap(each => fixedEndpoint(each, node, hosts) ?? [])
      fixed.set(service, given)
      const found: Endpoint[] = []
      for (const container of index.of(service)) {
        const endpoint = endpointOf(container, index.byId)
        if (endpoint) found.push(endpoint)
      }
      for (const container of elsewhere.of(service)) found.push(remoteEndpoint(container))
      const endpoints = found.length === 0 ? given : [...given, ...found]
      const before = merged.get(service)
      const same = before !== undefined && sameEndpoints(before.endpoints, endpoints)
      nextMerged.set(service, same ? before : { service, endpoints })
      for (const { attachment } of found) {
        if (attachment === null || nextAttached.has(attachment)) continue
        const owner = index.byId.get(attachment)!
        const { id, pid, addresses, networks } = owner
        nextAttached.set(attachment, { id, pid, addresses, networks, udpPorts: [] })
      }
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
