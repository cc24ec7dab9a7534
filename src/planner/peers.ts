/**
 * What a node of a cluster adds: a VXLAN device in the sandbox, and for every other
 * node the way to it and the way back to it. Pure.
 *
 * An endpoint's replies must leave through the node by which the connection came in,
 * since only that node's IPVS knows it. The entry node writes its number into the mark
 * of every packet it sends into the tunnel; VXLAN's group policy field carries the mark
 * over. The endpoint's node saves it with the connection and gives replies that mark
 * again, and a rule per node leads marked packets to the sandbox of that number (way-back.ts).
 */
import type { KernelObject } from '../kernel/objects.js'
import { overlayLink } from '../kernel/ownership.js'
import type { NodeRecord } from '../model/cluster.js'
import type { Membership } from '../model/snapshot.js'
import { sandboxAddress } from './addresses.js'
import { nodeSet } from './names.js'
import { entry, route, set } from './objects.js'
import { ofFamily, type Stack, type Stacks } from './stack.js'
import { inFamily, wayBackFrame, wayBackRule, wayBackTable } from './way-back.js'

const macPrefix = '02:6d:65:00:'

/** Locally administered MAC of a node's end of the tunnel: 02:6d:65:00 and the node's number. */
export function tunnelMac(number: number): string {
  const hex = number.toString(16).padStart(4, '0')
  return `${macPrefix}${hex.slice(0, 2)}:${hex.slice(2)}`
}

/** The number that this node has according to the kernel, from the MAC of its tunnel; null: none. */
export function formerNumber(objects: Iterable<KernelObject>): number | null {
  for (const object of objects)
    if (object.kind === 'vxlan' && object.place === 'mesh' && object.mac.startsWith(macPrefix))
      return Number.parseInt(object.mac.slice(macPrefix.length).replace(':', ''), 16)
  return null
}

/** The device itself, and the sources that must not be seen by other nodes' containers. */
export function planTunnel(membership: Membership, stacks: Stacks): KernelObject[] {
  const { number, address, vni, port, mtu, privateNetworks } = membership
  return [
    set('host', nodeSet, 'hash:ip'),
    {
      kind: 'vxlan',
      place: 'mesh',
      name: overlayLink,
      vni,
      port,
      local: address,
      mac: tunnelMac(number),
      mtu,
    },
    ...stacks.flatMap(stack => [
      set('mesh', stack.sets.private, 'hash:net', false, stack.family),
      ...ofFamily(stack, privateNetworks).map(network => entry('mesh', stack.sets.private, network)),
      ...inFamily(wayBackFrame(), stack),
    ]),
  ]
}

/** The way to one other node, and back to it. */
export function planPeer(peer: NodeRecord, stacks: Stacks): KernelObject[] {
  const mac = tunnelMac(peer.number)
  return [
    entry('host', nodeSet, peer.address),
    { kind: 'forwarding', place: 'mesh', link: overlayLink, mac, destination: peer.address },
    ...stacks.flatMap(stack => ways(peer, mac, stack)),
  ]
}

function ways({ subnet, number }: NodeRecord, mac: string, stack: Stack): KernelObject[] {
  const gateway = stack.address(sandboxAddress(subnet))
  return [
    { kind: 'neighbour', place: 'mesh', link: overlayLink, address: gateway, mac },
    route('mesh', stack.subnet(subnet), overlayLink, { gateway }),
    route('mesh', stack.everywhere, overlayLink, { table: wayBackTable(number), gateway }),
    ...inFamily([wayBackRule(number)], stack),
  ]
}
