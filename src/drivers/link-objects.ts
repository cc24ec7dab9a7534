/**
 * What rtnetlink reads of several namespaces, turned into objects: finds the two
 * ends of each veth, and which addresses, routes and rules are ours. Pure.
 */
import type { KernelObject, LinkObject, Place, RouteObject, RuleObject } from '../kernel/objects.js'
import { linkGateway, meshLink, meshProtocol, uplink } from '../kernel/ownership.js'
import type { AddressReading } from '../netlink/address.js'
import type { LinkReading } from '../netlink/link.js'
import type { RouteConfiguration, RouteReading, RuleReading } from '../netlink/route.js'
import { type OverlayReading, overlayObjects, ownVxlans } from './overlay-objects.js'

/** All that was read in one place. */
export interface PlaceReading extends OverlayReading {
  readonly links: readonly LinkReading[]
  readonly addresses: readonly AddressReading[]
  readonly routes: readonly RouteReading[]
  readonly rules: readonly RuleReading[]
}

/** Peer place of a link whose other end is in no place we know; no wanted link has it. */
export function unknownPeer(ownIndex: number): Place {
  return `container:unknown@${ownIndex}`
}

/** Own index of a link that was observed with an unknown peer, else null. */
export function indexOfUnpaired(link: LinkObject): number | null {
  const found = /^container:unknown@(\d+)$/.exec(link.peerPlace)
  return found ? Number(found[1]) : null
}

/** One end of a veth. */
interface End {
  readonly place: Place
  readonly link: LinkReading
}

/** Whether a link that bears the name of one of ours may be that one: outside of the sandbox all are veths. */
export function mayBeOurs(place: Place, link: LinkReading): boolean {
  return place === 'mesh' || link.kind === 'veth'
}

/** Links of ours in a place, by the name they bear: in the sandbox all veths are ours. */
function ownLinks(place: Place, reading: PlaceReading): LinkReading[] {
  if (place === 'mesh') return reading.links.filter(link => link.kind === 'veth' || link.name === uplink)
  return reading.links.filter(link => link.name === meshLink && mayBeOurs(place, link))
}

/** Two ends that point at one another. Indices are per namespace, so both directions must fit. */
function pair(end: End, candidates: readonly End[]): End | null {
  const { link } = end
  if (link.kind !== 'veth' || link.peerIndex === null) return null
  return (
    candidates.find(
      other =>
        other.place !== end.place &&
        other.link.kind === 'veth' &&
        other.link.index === link.peerIndex &&
        other.link.peerIndex === link.index,
    ) ?? null
  )
}

/** An end that is down, or a pair of different sizes, has a size of 0, which differs from any wanted one. */
function commonMtu(one: LinkReading, other: LinkReading): number {
  return one.up && other.up && one.mtu === other.mtu ? one.mtu : 0
}

function linkObject(end: End, peer: End | null): LinkObject {
  const { place, link } = end
  return {
    kind: 'link',
    place,
    name: link.name,
    peerPlace: peer?.place ?? unknownPeer(link.index),
    peerName: peer?.link.name ?? `if${link.peerIndex ?? 0}`,
    mtu: commonMtu(link, peer?.link ?? link),
  }
}

/**
 * Objects of ours in all places read. What sits on a link without a known peer is
 * left out: it goes when the link is made anew.
 */
export function objectsOf(readings: ReadonlyMap<Place, PlaceReading>): KernelObject[] {
  const objects: KernelObject[] = []
  const ends = [...readings].flatMap(([place, reading]) =>
    ownLinks(place, reading).map((link): End => ({ place, link })),
  )
  const inSandbox = ends.filter(({ place }) => place === 'mesh')
  const outside = ends.filter(({ place }) => place !== 'mesh')
  const whole = new Map<Place, Map<number, string>>()
  const note = ({ place, link }: End) => {
    const names = whole.get(place) ?? new Map<number, string>()
    whole.set(place, names.set(link.index, link.name))
  }
  const named = new Set<End>()
  for (const end of outside) {
    const peer = pair(end, inSandbox)
    if (peer) {
      note(end)
      note(peer)
      named.add(peer)
    }
    // the uplink bears the name of its end in the host, an attachment that of its end in the sandbox
    if (end.place === 'host' || !peer) objects.push(linkObject(end, peer))
    else objects.push(linkObject(peer, end))
  }
  for (const end of inSandbox) if (!named.has(end)) objects.push(linkObject(end, null))
  for (const link of ownVxlans('mesh', readings.get('mesh')?.links ?? [])) note({ place: 'mesh', link })
  for (const [place, reading] of readings) {
    objects.push(...overlayObjects(place, reading))
    objects.push(...placeObjects(place, reading, whole.get(place) ?? new Map()))
  }
  return objects
}

function placeObjects(
  place: Place,
  reading: PlaceReading,
  names: ReadonlyMap<number, string>,
): KernelObject[] {
  const objects: KernelObject[] = []
  for (const { linkIndex, address } of reading.addresses) {
    const link = names.get(linkIndex)
    if (link !== undefined && !isOfKernel(address)) objects.push({ kind: 'address', place, link, address })
  }
  const broken = new Set(
    ownLinks(place, reading)
      .filter(({ index }) => !names.has(index))
      .map(({ index }) => index),
  )
  const nameOf = (index: number) => reading.links.find(link => link.index === index)?.name ?? `if${index}`
  for (const route of reading.routes) {
    if (route.protocol !== meshProtocol || (route.linkIndex !== null && broken.has(route.linkIndex))) continue
    objects.push(routeObject(place, route, nameOf))
  }
  for (const rule of reading.rules) if (rule.protocol === meshProtocol) objects.push(ruleObject(place, rule))
  return objects
}

/** `fe80::5efe:1/64`: the kernel gives one to each link. */
function isOfKernel(address: string): boolean {
  return address.startsWith('fe80:') && !address.startsWith(`${linkGateway}/`)
}

/**
 * A route of another type than unicast or local, or with a metric, is told by its destination
 * (`blackhole 10.0.0.0/8 metric 5`), so that it is nobody's wanted one.
 */
function routeObject(place: Place, route: RouteReading, nameOf: (index: number) => string): RouteObject {
  const isOurs = route.type === 'unicast' || route.type === 'local'
  const type = isOurs ? '' : `${route.type} `
  const metric = route.metric === 0 ? '' : ` metric ${route.metric}`
  return {
    kind: 'route',
    place,
    table: route.table,
    destination: `${type}${route.destination}${metric}`,
    link: route.linkIndex === null ? '' : nameOf(route.linkIndex),
    gateway: route.gateway,
    source: route.source,
    ...(route.type === 'local' ? { type: 'local' as const } : {}),
  }
}

/** The route an object means; `linkIndex` null where it is on no link. */
export function routeConfiguration(route: RouteObject, linkIndex: number | null): RouteConfiguration {
  const found = /^(?:([a-z]+) )?(\S+)(?: metric (\d+))?$/.exec(route.destination)
  return {
    table: route.table,
    destination: found?.[2] ?? route.destination,
    type: (route.type ?? found?.[1] ?? 'unicast') as NonNullable<RouteConfiguration['type']>,
    linkIndex,
    gateway: route.gateway,
    source: route.source,
    protocol: meshProtocol,
    onlink: route.gateway !== null,
    metric: Number(found?.[3] ?? 0),
  }
}

const allBits = 0xffffffff // the kernel's own choice of FRA_FWMASK
const udp = 17 // IPPROTO_UDP, linux/in.h

function ruleObject(place: Place, rule: RuleReading): RuleObject {
  const { priority, table, sourcePorts: ports } = rule
  return {
    kind: 'rule',
    place,
    priority,
    source: rule.source,
    ...(rule.destination === null ? {} : { destination: rule.destination }),
    table,
    ...(rule.goto === null ? {} : { goto: rule.goto }),
    ...(rule.fwmark === null ? {} : { fwmark: rule.fwmark }),
    ...(rule.fwmask === null || rule.fwmask === allBits ? {} : { fwmask: rule.fwmask }),
    ...(ports
      ? { udpPorts: ports.first === ports.last ? `${ports.first}` : `${ports.first}-${ports.last}` }
      : {}),
    ...(rule.suppressPrefixLength === 0 ? { exceptDefault: true as const } : {}),
  }
}

/** The rule an object means, as the kernel is asked for it. */
export function ruleConfiguration(rule: RuleObject) {
  const { priority, source, table, fwmark, udpPorts, exceptDefault } = rule
  const [first = 0, last = first] = (udpPorts ?? '').split('-').map(Number)
  return {
    priority,
    table,
    source,
    destination: rule.destination ?? null,
    protocol: meshProtocol,
    goto: rule.goto ?? null,
    fwmark: fwmark ?? null,
    // To compare all bits is the kernel's own choice but for a mark of 0, which it takes for none.
    fwmask: rule.fwmask ?? (fwmark === 0 ? allBits : null),
    ipProtocol: udpPorts === undefined ? null : udp,
    sourcePorts: udpPorts === undefined ? null : { first, last },
    suppressPrefixLength: exceptDefault ? 0 : null,
  }
}
