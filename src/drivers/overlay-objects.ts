/**
 * VXLAN devices and what was read of their neighbours and forwarding databases,
 * turned into objects, with all that a hand may have done to them. Pure.
 */
import type { ForwardingObject, KernelObject, Place, VxlanObject } from '../kernel/objects.js'
import { overlayLink } from '../kernel/ownership.js'
import type { LinkReading } from '../netlink/link.js'
import type { ForwardingDetour, ForwardingReading, NeighbourReading } from '../netlink/neighbour.js'

/** What was read on the VXLAN devices of a place. */
export interface OverlayReading {
  readonly neighbours: readonly NeighbourReading[]
  readonly forwarding: readonly (ForwardingReading & ForwardingDetour)[]
}

/** VXLAN devices of ours: all in the sandbox; in the host one that bears our name. */
export function ownVxlans(place: Place, links: readonly LinkReading[]): LinkReading[] {
  if (place !== 'mesh' && place !== 'host') return []
  return links.filter(link => link.kind === 'vxlan' && (place === 'mesh' || link.name === overlayLink))
}

/** Options that cannot be changed in place, or only in part, are those of the wanted device. */
function isUsable({ vxlan, peerNamespaceId }: LinkReading): boolean {
  if (vxlan === null || peerNamespaceId === null) return false // a socket in the sandbox reaches no other node
  return vxlan.groupPolicy && !vxlan.learning && vxlan.byEntriesOnly
}

function vxlanObject(place: Place, link: LinkReading): VxlanObject {
  return {
    kind: 'vxlan',
    place,
    name: link.name,
    vni: link.vxlan?.vni ?? 0,
    port: isUsable(link) ? (link.vxlan?.port ?? 0) : 0,
    local: link.vxlan?.local ?? '0.0.0.0',
    mac: link.hardwareAddress ?? '',
    mtu: link.up ? link.mtu : 0,
  }
}

/** VXLAN devices of ours in a place, and what is on those in the sandbox. */
export function overlayObjects(
  place: Place,
  reading: OverlayReading & { readonly links: readonly LinkReading[] },
): KernelObject[] {
  const devices = ownVxlans(place, reading.links)
  const objects: KernelObject[] = devices.map(link => vxlanObject(place, link))
  const names = new Map(devices.map(({ index, name }) => [index, name]))
  for (const { linkIndex, address, mac } of reading.neighbours) {
    const link = names.get(linkIndex)
    if (link !== undefined) objects.push({ kind: 'neighbour', place, link, address, mac })
  }
  const entries = new Map<string, ForwardingObject>()
  for (const { linkIndex, mac, destination, detour } of reading.forwarding) {
    const link = names.get(linkIndex)
    if (link === undefined) continue
    const key = `${linkIndex} ${mac}`
    const text = detour === '' ? destination : `${destination} ${detour}`
    // The MAC of all zeros, for packets to any other, may have several; nobody wants it.
    const all = [entries.get(key)?.destination ?? [], text].flat().sort().join(', ')
    entries.set(key, { kind: 'forwarding', place, link, mac, destination: all })
  }
  objects.push(...entries.values())
  return objects
}
