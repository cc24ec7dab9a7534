/**
 * May this be published here? Who holds a port already — the mesh, Docker, a
 * process on the node, a reservation — and which port is free. Pure: listeners are
 * read by sources/listeners.ts.
 */
import { MeshError } from '../errors.js'
import {
  formatRange,
  lengthOf,
  overlaps,
  type PortRange,
  type PortSpec,
  type Protocol,
  type PublishedPort,
} from './ports.js'
import type { Publication } from './publication.js'
import type { Declarer, Service } from './service.js'
import type { ContainerSnapshot } from './snapshot.js'
import { settleVip } from './vips.js'

/** A socket on the node that takes connections or datagrams. */
export interface Listener {
  readonly protocol: Protocol
  /** IPv4 address, or `0.0.0.0` for all (an IPv6 wildcard takes IPv4 too and counts as that). */
  readonly address: string
  readonly port: number
  /** Number of the socket, by which /proc/PID/fd names it. */
  readonly inode: number
  /** Who it is: null when not asked, or not to be found out. */
  readonly process: string | null
  readonly pid: number | null
}

export interface ReservedPort {
  readonly protocol: Protocol
  readonly port: number
  /** What for: `Swarm's manager`. */
  readonly purpose: string
}

/** Ports no service may have; the agent adds its own and those of its configuration. */
export const reservedPorts: readonly ReservedPort[] = [
  { protocol: 'tcp', port: 2377, purpose: "Swarm's managers" },
  { protocol: 'tcp', port: 7946, purpose: "Swarm's gossip" },
  { protocol: 'udp', port: 7946, purpose: "Swarm's gossip" },
  { protocol: 'udp', port: 4789, purpose: 'VXLAN' },
]

/** All that can stand in the way of a published port on this node. */
export interface PortUse {
  /** What the mesh publishes already. */
  readonly services: readonly Service[]
  readonly snapshot: ContainerSnapshot
  readonly listeners: readonly Listener[]
  readonly reserved: readonly ReservedPort[]
  /** Where VIPs come from, `10.253.0.0/16`; null: this mesh has none. */
  readonly vipPool: string | null
}

/** Where the mesh chooses published ports, unless configured otherwise; Docker's range too. */
export const choiceRange: PortRange = { first: 30_000, last: 32_767 }

/**
 * Throws MeshError MESH_PORT_TAKEN, saying who holds the port, unless every port
 * of the publication may be had. A stored service of the same name is what the
 * publication replaces: it stands in nobody's way, and ports it already has are
 * not questioned again. Ports still to be chosen are left out. What labels of a Swarm
 * service declare takes over ports that Docker publishes for that service.
 */
export function checkPublication(
  publication: Pick<Publication, 'name' | 'ports'>,
  use: PortUse,
  declaredBy: Declarer = 'meshctl',
): void {
  const others = declaredBy === 'swarm' ? withoutOwn(publication.name, use) : use
  const former = use.services.find(service => service.name === publication.name)
  for (const [index, port] of publication.ports.entries()) {
    if (port.published === null) continue
    const twin = publication.ports.slice(0, index).find(other => clash(other, port))
    if (twin?.published) throw taken(port, `${publication.name} itself publishes ${nameOf(twin)} too`)
    for (const service of use.services) {
      const other = service === former ? undefined : service.ports.find(each => clash(each, port))
      if (other) throw taken(port, `service ${service.name} publishes it${addressNote(port, other)}`)
    }
    if (former?.ports.some(each => sameDoor(each, port))) continue
    const holder = holderOf(port, port.published, others)
    if (holder !== null) throw taken(port, holder)
  }
}

/**
 * What stands in the way of others than this Swarm service. The Engine listens on ports that
 * Swarm publishes, so that nobody else does, until the last task that was started with them ends.
 */
function withoutOwn(service: string, use: PortUse): PortUse {
  const { swarmPorts } = use.snapshot
  const isOwn = ({ protocol, port, process }: Listener) =>
    process === 'dockerd' &&
    swarmPorts.some(own => own.service === service && own.protocol === protocol && own.port === port)
  return {
    ...use,
    snapshot: { ...use.snapshot, swarmPorts: swarmPorts.filter(each => each.service !== service) },
    listeners: use.listeners.filter(each => !isOwn(each)),
  }
}

/** What there is on a node besides the mesh. */
export type NodeUse = Pick<PortUse, 'snapshot' | 'listeners' | 'reserved'>

/**
 * Who else has a port of a published service on this node, in words; null: nobody. Ports that
 * labels declare have been compared with what Docker publishes by the manager that read them.
 */
export function holderHere(port: PublishedPort, { declaredBy }: Service, use: NodeUse): string | null {
  if (declaredBy !== 'swarm') return holderOf(port, port.published, use)
  const listeners = use.listeners.filter(({ process }) => process !== 'dockerd')
  return holderOf(port, port.published, { ...use, listeners, snapshot: { ...use.snapshot, swarmPorts: [] } })
}

/** Who outside the mesh holds a port of the range, in words; null if nobody does. */
function holderOf(port: PortSpec, range: PortRange, use: NodeUse): string | null {
  const { protocol } = port
  const within = (held: { readonly protocol: string; readonly port: number }) =>
    held.protocol === protocol && held.port >= range.first && held.port <= range.last
  const which = (held: { readonly port: number }) => (lengthOf(range) > 1 ? `${held.port} ` : 'it ')

  const reserved = use.reserved.find(within)
  if (reserved) return `${which(reserved)}is reserved for ${reserved.purpose}`
  const swarm = use.snapshot.swarmPorts.find(each => within(each) && !each.former)
  if (swarm)
    return `${which(swarm)}is published by Docker for Swarm service ${swarm.service}; remove it there first (docker service update --publish-rm ${swarm.port} ${swarm.service}), or take it over (meshctl adopt ${swarm.service})`
  for (const container of use.snapshot.containers) {
    const held = container.dockerPorts.find(within)
    if (held)
      return `${which(held)}is published by Docker for container ${container.name}; run it without that port first`
  }
  const listener = use.listeners.find(each => within(each) && sameAddress(each.address, port.address))
  if (!listener) return null
  const who = listener.process === null ? 'a process' : `${listener.process} (pid ${listener.pid})`
  return `${which(listener)}is in use on this node: ${who} listens on ${listener.address}:${listener.port}`
}

/**
 * The lowest free port of `range`, held by nobody on any address and not in
 * `also`. Throws MESH_PORT_TAKEN with counts when there is none.
 */
export function choosePort(
  protocol: Protocol,
  use: PortUse,
  range: PortRange = choiceRange,
  also: readonly PortSpec[] = [],
): number {
  const mesh = new Set<number>()
  const held = new Set<number>()
  const add = (set: Set<number>, port: PortSpec) => {
    if (port.protocol !== protocol || port.published === null) return
    const last = Math.min(port.published.last, range.last)
    for (let each = Math.max(port.published.first, range.first); each <= last; each++) set.add(each)
  }
  for (const port of also) add(mesh, port)
  for (const service of use.services) for (const port of service.ports) add(mesh, port)
  const others = [
    use.reserved,
    use.listeners,
    use.snapshot.swarmPorts,
    ...use.snapshot.containers.map(each => each.dockerPorts),
  ]
  for (const list of others) for (const each of list) if (each.protocol === protocol) held.add(each.port)

  for (let port = range.first; port <= range.last; port++) if (!mesh.has(port) && !held.has(port)) return port
  throw new MeshError(
    'MESH_PORT_TAKEN',
    `choose a ${protocol} port from ${formatRange(range)}: none of ${lengthOf(range)} is free, ` +
      `${mesh.size} published by the mesh, ${lengthOf(range) - mesh.size} held by others; ` +
      'name a published port, or widen the range in the configuration',
  )
}

/**
 * The service a publication becomes: each open port chosen, all of them checked, with its
 * VIP. Throws MESH_PORT_TAKEN, MESH_VIP_TAKEN, and InputError for a VIP that nobody may have.
 */
export function settlePorts(
  publication: Publication,
  use: PortUse,
  range: PortRange = choiceRange,
  declaredBy: Declarer = 'meshctl',
): Service {
  const ports = publication.ports.map(port => ({ ...port }))
  for (const port of ports) {
    if (port.published !== null) continue
    const chosen = choosePort(port.protocol, use, range, ports)
    port.published = { first: chosen, last: chosen }
  }
  const settled = ports.map(port => ({ ...port, published: port.published! }))
  const vip = settleVip(publication, use.services, use.vipPool)
  const service: Service = { ...publication, ports: settled, vip, declaredBy, problems: [] }
  checkPublication(service, use, declaredBy)
  return service
}

/** One published port per protocol in the whole mesh, whatever the addresses. */
function clash(a: PortSpec, b: PortSpec): boolean {
  return (
    a.protocol === b.protocol &&
    a.published !== null &&
    b.published !== null &&
    overlaps(a.published, b.published)
  )
}

/** The same ports of the node, wherever they lead. */
export function sameDoor(a: PortSpec, b: PortSpec): boolean {
  return clash(a, b) && formatRange(a.published!) === formatRange(b.published!) && a.address === b.address
}

function sameAddress(listening: string, published: string | null): boolean {
  return published === null || listening === '0.0.0.0' || listening === published
}

function addressNote(wanted: PortSpec, held: PortSpec): string {
  return wanted.address === held.address
    ? ''
    : ` (on ${held.address ?? 'every address'}; a port may be published once per protocol in the mesh, even on different addresses)`
}

function nameOf(port: PortSpec): string {
  return `${port.published ? formatRange(port.published) : 'a port'}/${port.protocol}`
}

function taken(port: PortSpec, reason: string): MeshError {
  return new MeshError('MESH_PORT_TAKEN', `publish ${nameOf(port)}: ${reason}`)
}
