/**
 * Addresses by which a node calls endpoints of other nodes. Pure.
 *
 * One client may use one port through several nodes at once, and IPVS at each of them
 * leaves client and endpoint as they are: at the endpoint all would be one connection. So
 * each node sends to an address of its own, made of its number and of the endpoint's
 * offset in the pool, and the endpoint's node translates that to the endpoint's; where two
 * connections are then alike, its nat gives the later one another source port. Node 3
 * calls 10.254.1.5 by 240.3.1.5. No packet outside of the tunnel has such an address.
 *
 * A translated connection's replies get their address again after IPVS has seen them, which
 * takes them for those of a connection of its own if the client has such a one to the
 * same endpoint (ip_vs_out, net/netfilter/ipvs/ip_vs_core.c).
 */
import type { Family } from '../kernel/objects.js'
import { addressOf, numberOf, offsetIn, spanOf } from '../model/ipv4.js'
import type { Node } from '../model/snapshot.js'
import { ipv6, type Stack, type Stacks } from './stack.js'

/** What no network uses, all of it (RFC 1112, section 4); what is left of it besides an offset tells nodes apart. */
const reserved = '240.0.0.0/4'

/** Unique local addresses, like the pool's, with the node's number behind. */
const reserved6 = 'fd4d:6573:68:ffff'

/** The addresses that one node uses, of one family. */
export interface Passage {
  readonly family: Family
  /** All that any node may use. */
  readonly range: string
  /** From an IPv4 address of the pool. */
  address(ipv4: string): string
  /** Back to it; null for one that is none of these. */
  ipv4(address: string): string | null
  /** From a subnet of the pool, IPv4. */
  subnet(ipv4: string): string
}

/** `number`: the node's, 1–65535. Where the pool leaves no room for it, as a /16 from 4096 on, several nodes share. */
export function passageOf(number: number, pool: string, { family }: Stack): Passage {
  if (family === 'inet6') {
    const six = ipv6(pool, `${reserved6}:${number.toString(16)}::/96`)
    return { ...six, range: `${reserved6}::/64` }
  }
  const { first, size } = spanOf(pool)
  const all = spanOf(reserved)
  const from = all.first + (number % (all.size / size)) * size
  const own = `${addressOf(from)}/${pool.split('/')[1]}`
  const address = (four: string) => addressOf(numberOf(four) - first + from)
  return {
    family,
    range: reserved,
    address,
    ipv4(text) {
      const offset = offsetIn(own, text)
      return offset === null ? null : addressOf(first + offset)
    },
    subnet(subnet) {
      const [start = '', length] = subnet.split('/')
      return `${address(start)}/${length}`
    },
  }
}

/** Those of a node of a cluster, in the families of its mesh; a node that is alone has none. */
export function passagesOf({ pool, membership }: Node, stacks: Stacks): ReadonlyMap<Stack, Passage> {
  if (!membership) return new Map()
  return new Map(stacks.map(stack => [stack, passageOf(membership.number, pool, stack)]))
}
