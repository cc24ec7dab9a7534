/**
 * Names of the sets and chains the plan uses.
 */
import type { Family } from '../kernel/objects.js'
import { scopeSets, setPrefix } from '../kernel/ownership.js'

/**
 * Published ports in the host; in the sandbox, published port → fwmark. Sets of ports alone
 * match no SCTP (ip_set_get_ip_port, net/netfilter/ipset/ip_set_getport.c): of its ports the host
 * has each with each of its addresses, and the sandbox's virtual services are by address.
 */
export const portSet = { tcp: `${setPrefix}tcp`, udp: `${setPrefix}udp` } as const

/** Protocols whose published ports are in sets of ports alone. */
export const mappedProtocols = ['tcp', 'udp'] as const
/** Sets that hold addresses: each family has its own. Sets of ports alone serve both. */
export interface AddressSets {
  /** Ports published on one address only, and those of SCTP on each, host. */
  readonly bound: string
  /** Pairs (own address, mesh address) of one endpoint that need translation, sandbox. */
  readonly hairpin: string
  /** Pairs (network, mesh address) whose datagrams need translation, sandbox. */
  readonly neighbour: string
  /** Addresses of endpoints that the mesh does not own, sandbox. */
  readonly external: string
  /** Addresses at which the other nodes are reached outside the mesh, host. */
  readonly nodes: string
  /** Networks of the node's containers that other nodes may use too, sandbox. */
  readonly private: string
  /** Ports of VIPs that lead to one virtual service together → its fwmark, sandbox. */
  readonly vip: string
  /** Ports of VIPs where nobody takes connections, sandbox. */
  readonly refused: string
  /** Ports of endpoints that are called at their own mesh addresses, sandbox. */
  readonly direct: string
  /** VIPs, and addresses of such endpoints, that only some may call, sandbox. */
  readonly scoped: string
  /** Pairs (caller's address, called address) of those who may, sandbox. */
  readonly allowed: string
}

function setsOf(suffix: '' | '6'): AddressSets {
  return {
    bound: `${setPrefix}bound${suffix}`,
    hairpin: `${setPrefix}hairpin${suffix}`,
    neighbour: `${setPrefix}neighbour${suffix}`,
    external: `${setPrefix}external${suffix}`,
    nodes: `${setPrefix}nodes${suffix}`,
    private: `${setPrefix}private${suffix}`,
    vip: `${setPrefix}vip${suffix}`,
    refused: `${setPrefix}refused${suffix}`,
    direct: `${setPrefix}direct${suffix}`,
    scoped: `${scopeSets.scoped}${suffix}`,
    allowed: `${scopeSets.allowed}${suffix}`,
  }
}

export const addressSets: Readonly<Record<Family, AddressSets>> = { inet: setsOf(''), inet6: setsOf('6') }

export const chains = {
  dnat: 'MESH-DNAT',
  snat: 'MESH-SNAT',
  forward: 'MESH-FORWARD',
  input: 'MESH-INPUT',
  output: 'MESH-OUTPUT',
  mark: 'MESH-MARK',
  stamp: 'MESH-STAMP',
  tunnel: 'MESH-TUNNEL',
} as const
