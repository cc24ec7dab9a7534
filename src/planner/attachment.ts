/**
 * What joins a container, or the host itself, to the mesh: its link, its address, the
 * way of its replies; and how to tell from an object which attachment it belongs to. Pure.
 */
import type { KernelObject, Place } from '../kernel/objects.js'
import {
  attachmentLink,
  ipv6Switch,
  meshLink,
  poolPriority,
  replyTable,
  rulePriority,
} from '../kernel/ownership.js'
import type { Attachment } from '../model/mesh.js'
import { formatRange, type PortRange } from '../model/ports.js'
import { addressSets } from './names.js'
import { entry, mainTable, route, sysctl } from './objects.js'
import { ofFamily, type Stack, type Stacks } from './stack.js'
import { type VipRange, wayToVips } from './vips.js'

/** Replies from a mesh address go back into the sandbox, whatever the main table says. */
export function replyPath(place: Place, address: string, gateway: string, stack: Stack): KernelObject[] {
  return [
    route(place, stack.everywhere, meshLink, { table: replyTable, gateway, source: address }),
    { kind: 'rule', place, priority: rulePriority, source: `${address}${stack.whole}`, table: replyTable },
  ]
}

/**
 * Packets to the mesh take its routes, whatever rules others have for some sources or marks,
 * or tables of theirs that come before the main one.
 */
export function wayIn(place: Place, pool: string, { everywhere }: Stack): KernelObject {
  return {
    kind: 'rule',
    place,
    priority: poolPriority,
    source: everywhere,
    destination: pool,
    table: mainTable,
  }
}

/**
 * A datagram socket bound to no address chooses its reply's source by the route, and
 * that would be the container's own network. So replies from a published UDP port take
 * the mesh's route, and with it the mesh address; those to the container's own
 * networks, where its neighbours ask it directly, do not.
 */
function datagramPath(place: Place, ports: readonly PortRange[], { everywhere }: Stack): KernelObject[] {
  return ports.flatMap((range): KernelObject[] => {
    const rule = { kind: 'rule', place, source: everywhere, udpPorts: formatRange(range) } as const
    return [
      { ...rule, priority: rulePriority + 1, table: mainTable, exceptDefault: true },
      { ...rule, priority: rulePriority + 2, table: replyTable },
    ]
  })
}

/** What attached containers of a node have in common. */
export interface Surroundings {
  /** The sandbox's IPv4 address. */
  readonly sandbox: string
  /** Of the link to the sandbox, bytes. */
  readonly mtu: number
  readonly stacks: Stacks
  readonly vips: readonly VipRange[]
  /** All of the mesh's addresses, IPv4. */
  readonly pool: string
}

/** What one attached container adds. `place`: its namespace; `address`: its IPv4 address in the mesh. */
export function planAttachment(
  attachment: Attachment,
  place: Place,
  address: string,
  { sandbox, mtu, stacks, vips, pool }: Surroundings,
): KernelObject[] {
  const name = attachmentLink(attachment.id)
  return [
    { kind: 'link', place: 'mesh', name, peerPlace: place, peerName: meshLink, mtu },
    ...stacks.flatMap(stack =>
      joined(attachment, place, stack.address(address), stack.address(sandbox), stack),
    ),
    ...vips.flatMap(range =>
      asCaller(place, range.stack.address(address), range.stack.address(sandbox), range, pool),
    ),
  ]
}

function joined(
  attachment: Attachment,
  place: Place,
  address: string,
  sandbox: string,
  stack: Stack,
): KernelObject[] {
  const { sets } = stack
  const name = attachmentLink(attachment.id)
  const gateway = stack.gateway(sandbox)
  const neighbours = attachment.udpPorts.length > 0 ? ofFamily(stack, attachment.networks) : []
  return [
    ...allowIpv6(place, stack),
    ...(gateway === sandbox
      ? []
      : [{ kind: 'address', place: 'mesh', link: name, address: `${gateway}${stack.whole}` } as const]),
    { kind: 'address', place, link: meshLink, address: `${address}${stack.whole}` },
    route('mesh', `${address}${stack.whole}`, name),
    ...replyPath(place, address, gateway, stack),
    ...datagramPath(place, attachment.udpPorts, stack),
    ...neighbours.map(network => entry('mesh', sets.neighbour, `${network},${address}`)),
    ...ofFamily(stack, attachment.addresses).map(own => entry('mesh', sets.hairpin, `${own},${address}`)),
  ]
}

/** It calls VIPs, and endpoints, by its link to the mesh, even if it has no other; and one whose endpoint is itself. */
function asCaller(
  place: Place,
  address: string,
  sandbox: string,
  range: VipRange,
  pool: string,
): KernelObject[] {
  const { stack } = range
  const gateway = stack.gateway(sandbox)
  return [
    wayToVips(place, range, gateway, address),
    route(place, stack.subnet(pool), meshLink, { gateway, source: address }),
    entry('mesh', stack.sets.hairpin, `${address},${address}`),
  ]
}

/** Docker turns IPv6 off in containers without a network that has it: on the mesh's link it is on. */
export function allowIpv6(place: Place, { family }: Stack): KernelObject[] {
  return family === 'inet6' ? [sysctl(place, ipv6Switch, '0')] : []
}

/** Sets whose elements end in the mesh address of an attachment. */
const pairSets: ReadonlySet<string> = new Set(
  Object.values(addressSets).flatMap(({ hairpin, neighbour }) => [hairpin, neighbour]),
)

const linkForm = /^p([0-9a-f]{12})$/

/** Name of the sandbox's end of the veth of this object's attachment, or null: `p1a2b3c4d5e6f`. */
export function linkOf(object: KernelObject, linkByAddress: ReadonlyMap<string, string>): string | null {
  if ('place' in object && object.place.startsWith('container:'))
    return attachmentLink(object.place.slice('container:'.length))
  if (object.kind === 'link' && linkForm.test(object.name)) return object.name
  if ((object.kind === 'route' || object.kind === 'address') && linkForm.test(object.link)) return object.link
  if (object.kind === 'entry' && pairSets.has(object.set))
    return linkByAddress.get(object.element.slice(object.element.indexOf(',') + 1)) ?? null
  return null
}

/** Mesh address, of either family, → the link it is reached by, read from the sandbox's routes. */
export function linksByAddress(objects: Iterable<KernelObject>): Map<string, string> {
  const links = new Map<string, string>()
  for (const object of objects)
    if (object.kind === 'route' && object.place === 'mesh' && linkForm.test(object.link))
      links.set(object.destination.replace(/\/(?:32|128)$/, ''), object.link)
  return links
}
