/**
 * What joins a container, or the host itself, to the mesh: its link, its address, the
 * way of its replies; and how to tell from an object which attachment it belongs to. Pure.
 */
import type { KernelObject, Place } from '../kernel/objects.js'
import { attachmentLink, meshLink, replyTable, rulePriority } from '../kernel/ownership.js'
import type { Attachment } from '../model/mesh.js'
import { formatRange, type PortRange } from '../model/ports.js'
import { hairpinSet, neighbourSet } from './names.js'
import { entry, everywhere, mainTable, route } from './objects.js'

/** Replies from a mesh address go back into the sandbox, whatever the main table says. */
export function replyPath(place: Place, address: string, sandbox: string): KernelObject[] {
  return [
    route(place, everywhere, meshLink, { table: replyTable, gateway: sandbox, source: address }),
    { kind: 'rule', place, priority: rulePriority, source: `${address}/32`, table: replyTable },
  ]
}

/**
 * A datagram socket bound to no address chooses its reply's source by the route, and
 * that would be the container's own network. So replies from a published UDP port take
 * the mesh's route, and with it the mesh address; those to the container's own
 * networks, where its neighbours ask it directly, do not.
 */
function datagramPath(place: Place, ports: readonly PortRange[]): KernelObject[] {
  return ports.flatMap((range): KernelObject[] => {
    const rule = { kind: 'rule', place, source: everywhere, udpPorts: formatRange(range) } as const
    return [
      { ...rule, priority: rulePriority + 1, table: mainTable, exceptDefault: true },
      { ...rule, priority: rulePriority + 2, table: replyTable },
    ]
  })
}

/** What one attached container adds. `place`: its namespace; `sandbox`: the sandbox's address. */
export function planAttachment(
  attachment: Attachment,
  place: Place,
  address: string,
  sandbox: string,
  mtu: number,
): KernelObject[] {
  const name = attachmentLink(attachment.id)
  const neighbours = attachment.udpPorts.length > 0 ? attachment.networks : []
  return [
    { kind: 'link', place: 'mesh', name, peerPlace: place, peerName: meshLink, mtu },
    { kind: 'address', place, link: meshLink, address: `${address}/32` },
    route('mesh', `${address}/32`, name),
    ...replyPath(place, address, sandbox),
    ...datagramPath(place, attachment.udpPorts),
    ...neighbours.map(network => entry('mesh', neighbourSet, `${network},${address}`)),
    ...attachment.addresses.map(own => entry('mesh', hairpinSet, `${own},${address}`)),
  ]
}

const linkForm = /^p([0-9a-f]{12})$/

/** Name of the sandbox's end of the veth of this object's attachment, or null: `p1a2b3c4d5e6f`. */
export function linkOf(object: KernelObject, linkByAddress: ReadonlyMap<string, string>): string | null {
  if ('place' in object && object.place.startsWith('container:'))
    return attachmentLink(object.place.slice('container:'.length))
  if (object.kind === 'link' && linkForm.test(object.name)) return object.name
  if (object.kind === 'route' && linkForm.test(object.link)) return object.link
  if (object.kind === 'entry' && (object.set === hairpinSet || object.set === neighbourSet))
    return linkByAddress.get(object.element.slice(object.element.indexOf(',') + 1)) ?? null
  return null
}

/** Mesh address → the link it is reached by, read from the sandbox's routes. */
export function linksByAddress(objects: Iterable<KernelObject>): Map<string, string> {
  const links = new Map<string, string>()
  for (const object of objects)
    if (object.kind === 'route' && object.place === 'mesh' && linkForm.test(object.link))
      links.set(object.destination.replace('/32', ''), object.link)
  return links
}
