/**
 * What differs between the IPv4 and the IPv6 of a mesh, so that everything else is
 * planned once for both. Pure.
 *
 * Addresses are handed out, stored and told to other nodes as IPv4; that of IPv6 has the
 * same offset in its own pool. 10.254.1.3 of 10.254.0.0/16 is fd4d:6573:68::103 of
 * fd4d:6573:68::/96, and the node's share 10.254.1.0/24 is fd4d:6573:68::100/120.
 */
import { Address4, Address6 } from 'ip-address'
import { type Family, familyOf } from '../kernel/objects.js'
import { linkGateway } from '../kernel/ownership.js'
import { type AddressSets, addressSets } from './names.js'

export interface Stack {
  readonly family: Family
  /** All addresses: `0.0.0.0/0`. */
  readonly everywhere: string
  /** The same in two halves, for sets, which know no prefix of length 0. */
  readonly halves: readonly [string, string]
  /** Behind an address, to make it a prefix: `/32`. */
  readonly whole: string
  /** Addresses that never leave the machine: `127.0.0.0/8`. */
  readonly loopback: string
  readonly sets: AddressSets
  /** What REJECT answers with, but to who opens a connection. */
  readonly refusal: string
  /** An IPv4 address of the mesh in this family. */
  address(ipv4: string): string
  /** The IPv4 address that a mesh address of this family stands for; null for one outside of the pool. */
  ipv4(address: string): string | null
  /** By what address a container reaches the sandbox, whose own one is given. */
  gateway(sandbox: string): string
  /** A subnet of the mesh in this family. */
  subnet(ipv4: string): string
  /** An address with a port behind it. */
  at(address: string, port: number): string
}

export const ipv4: Stack = {
  family: 'inet',
  everywhere: '0.0.0.0/0',
  halves: ['0.0.0.0/1', '128.0.0.0/1'],
  whole: '/32',
  loopback: '127.0.0.0/8',
  sets: addressSets.inet,
  refusal: 'icmp-port-unreachable',
  address: address => address,
  ipv4: address => address,
  gateway: sandbox => sandbox,
  subnet: subnet => subnet,
  at: (address, port) => `${address}:${port}`,
}

/** `pool`: that of IPv4, as `10.254.0.0/16`; `pool6`: where its IPv6 begins, as `fd4d:6573:68::/96`. */
export function ipv6(pool: string, pool6: string): Stack {
  const from = new Address4(pool)
  const first = from.startAddress().bigInt()
  const last = from.endAddress().bigInt()
  const shift = new Address6(pool6).startAddress().bigInt() - first
  const address = (ipv4: string) => Address6.fromBigInt(new Address4(ipv4).bigInt() + shift).correctForm()
  return {
    family: 'inet6',
    everywhere: '::/0',
    halves: ['::/1', '8000::/1'],
    whole: '/128',
    loopback: '::1/128',
    sets: addressSets.inet6,
    refusal: 'icmp6-port-unreachable',
    address,
    ipv4(six) {
      const four = new Address6(six).bigInt() - shift
      return four < first || four > last ? null : Address4.fromBigInt(four).correctForm()
    },
    gateway: () => linkGateway,
    subnet(subnet) {
      const [start = '', length] = subnet.split('/')
      return `${address(start)}/${96 + Number(length)}`
    },
    at: (six, port) => `[${six}]:${port}`,
  }
}

/** IPv4, and IPv6 where it is on. */
export type Stacks = readonly Stack[]

/** `pool6` null: IPv6 is off. */
export function stacksOf(pool: string, pool6: string | null): Stacks {
  return pool6 === null ? [ipv4] : [ipv4, ipv6(pool, pool6)]
}

/** The IPv4 address that an address stands for, in the first of these where it is one; null: in none. */
export function ipv4Of(address: string, stacks: readonly Pick<Stack, 'family' | 'ipv4'>[]): string | null {
  const family = familyOf(address)
  for (const stack of stacks) {
    const four = stack.family === family ? stack.ipv4(address) : null
    if (four !== null) return four
  }
  return null
}

/** Those of a list that are of the stack's family. */
export function ofFamily<Text extends string>(stack: Stack, texts: readonly Text[]): Text[] {
  return texts.filter(text => familyOf(text) === stack.family)
}

/**
 * Rules that refuse at once what `match` selects. A reset, which a caller on this machine
 * hears even while it still sends its first packet: an ICMP error of IPv6 that comes so early
 * is forgotten, and the next one is a second away. Only for a connection that begins: one that
 * connection tracking has lost is found again by the client's next packet.
 */
export function refusals(match: string, { refusal }: Stack): string[] {
  const rule = (...parts: string[]) => parts.filter(part => part !== '').join(' ')
  return [
    rule('-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN', match, '-j REJECT --reject-with tcp-reset'),
    rule(match, `-j REJECT --reject-with ${refusal}`),
  ]
}
