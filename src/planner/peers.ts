/**
 * What a node of a cluster adds: a VXLAN device in the sandbox, and for every other
 * node the way to it and the way back to it. Pure.
 *
 * An endpoint's replies must leave through the node by which the connection came in,
 * since only that node's IPVS knows it. The entry node writes its number into the mark
 * of every packet it sends into the tunnel; VXLAN's group policy field carries the mark
 * over. The endpoint's node saves it with the connection and gives replies that mark
 * again, and a rule per node leads marked packets to the sandbox of that number (way-back.ts).
 * By what addresses a node calls the endpoints of others is in passage.ts.
 */
import { familyOf, type KernelObject } from '../kernel/objects.js'
import { overlayLink } from '../kernel/ownership.js'
import type { NodeRecord } from '../model/cluster.js'
import { offsetIn } from '../model/ipv4.js'
import type { Membership } from '../model/snapshot.js'
import { sandboxAddress } from './addresses.js'
import { addressSets } from './names.js'
import { entry, route, set, sysctl } from './objects.js'
import type { Passage } from './passage.js'
import { ofFamily, type Stack, type Stacks } from './stack.js'
import { inFamily, wayBackFrame, wayBackRule, wayBackTable } from './way-back.js'

/** Where the mesh's addresses are in IPv6. */
interface Ipv6Place {
  readonly pool: string
}

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
  const underlay = familyOf(address)
  return [
    set('host', addressSets[underlay].nodes, 'hash:ip', false, underlay),
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
    // What comes out of it has sources from anywhere (see sysctls in base.ts).
    sysctl('mesh', `net.ipv4.conf.${overlayLink}.rp_filter`, '0'),
    ...stacks.flatMap(stack => [
      set('mesh', stack.sets.private, 'hash:net', false, stack.family),
      ...ofFamily(stack, privateNetworks).map(network => entry('mesh', stack.sets.private, network)),
      ...inFamily(wayBackFrame(), stack),
    ]),
  ]
}

/** `ipv6`: where this node has its addresses of IPv6. */
function sharesIpv6(peer: NodeRecord, ipv6: Ipv6Place | null): boolean {
  return peer.ipv6?.pool === ipv6?.pool
}

/** The families in which a node is reached: not in IPv6 where it has none, or has it elsewhere than this one. */
export function stacksOfPeer(peer: NodeRecord, stacks: Stacks, ipv6: Ipv6Place | null): Stacks {
  return sharesIpv6(peer, ipv6) ? stacks : stacks.filter(({ family }) => family === 'inet')
}

/** Subnets, IPv4, of the nodes that this one, which has IPv6, does not reach in it. */
export function subnetsWithoutIpv6(peers: readonly NodeRecord[], ipv6: Ipv6Place | null): readonly string[] {
  if (ipv6 === null) return []
  return peers.flatMap(peer => (sharesIpv6(peer, ipv6) ? [] : [peer.subnet]))
}

/**
 * Whether what has this IPv4 address in the mesh is reached in a family: all is in each,
 * unless it is in one of the subnets `without6`, those of nodes that are not reached in IPv6.
 */
export function isReachedIn({ family }: Stack, address: string, without6: readonly string[]): boolean {
  return family === 'inet' || !without6.some(subnet => offsetIn(subnet, address) !== null)
}

/** What a node at this address may do: send into the tunnel. Several records may have one address. */
export function planSender(address: string): KernelObject[] {
  return [entry('host', addressSets[familyOf(address)].nodes, address)]
}

/** The way to one other node, and back to it, in the families in which it is reached. */
export function planPeer(
  peer: NodeRecord,
  stacks: Stacks,
  passages: ReadonlyMap<Stack, Passage>,
): KernelObject[] {
  const mac = tunnelMac(peer.number)
  return [
    { kind: 'forwarding', place: 'mesh', link: overlayLink, mac, destination: peer.address },
    ...stacks.flatMap(stack => ways(peer, mac, stack, passages.get(stack)!)),
  ]
}

function ways({ subnet, number }: NodeRecord, mac: string, stack: Stack, passage: Passage): KernelObject[] {
  const gateway = stack.address(sandboxAddress(subnet))
  return [
    { kind: 'neighbour', place: 'mesh', link: overlayLink, address: gateway, mac },
    route('mesh', stack.subnet(subnet), overlayLink, { gateway }),
    route('mesh', passage.subnet(subnet), overlayLink, { gateway }),
    route('mesh', stack.everywhere, overlayLink, { table: wayBackTable(number), gateway }),
    ...inFamily([wayBackRule(number)], stack),
  ]
}
