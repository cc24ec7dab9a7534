/**
 * Names of the sets and chains the plan uses.
 */
import { setPrefix } from '../kernel/ownership.js'
import type { Protocol } from '../model/ports.js'

/** Published ports in the host; in the sandbox, published port → fwmark. */
export const portSet: Readonly<Record<Protocol, string>> = {
  tcp: `${setPrefix}tcp`,
  udp: `${setPrefix}udp`,
  sctp: `${setPrefix}sctp`,
}
/** Ports published on one address only, host. */
export const boundSet = `${setPrefix}bound`
/** Pairs (own address, mesh address) of one endpoint that need translation, sandbox. */
export const hairpinSet = `${setPrefix}hairpin`
/** Pairs (network, mesh address) whose datagrams need translation, sandbox. */
export const neighbourSet = `${setPrefix}neighbour`
/** Addresses of endpoints that the mesh does not own, sandbox. */
export const externalSet = `${setPrefix}external`

/** Underlay addresses of the other nodes, host. */
export const nodeSet = `${setPrefix}nodes`
/** Networks of the node's containers that other nodes may use too, sandbox. */
export const privateSet = `${setPrefix}private`

export const chains = {
  dnat: 'MESH-DNAT',
  snat: 'MESH-SNAT',
  forward: 'MESH-FORWARD',
  input: 'MESH-INPUT',
  mark: 'MESH-MARK',
  stamp: 'MESH-STAMP',
} as const
