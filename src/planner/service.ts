/**
 * What one service adds: virtual services with their destinations, and what leads
 * packets to them. Pure.
 */
import { familyOf, type KernelObject, type ServiceMatch } from '../kernel/objects.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import type { Node } from '../model/snapshot.js'
import { nodeAddress } from './addresses.js'
import { portSet } from './names.js'
import { entry } from './objects.js'
import type { Passage } from './passage.js'
import { isReachedIn } from './peers.js'
import { ofFamily, type Stack, type Stacks } from './stack.js'
import { matchOf, type Unit, unitsOf } from './units.js'
import { matchOfVip, planScope, refusedPorts, type VipRange, vipMarks, vipUnitsOf } from './vips.js'

export interface ServiceSurroundings {
  readonly node: Node
  /** IPv4 address of the sandbox. */
  readonly sandbox: string
  /** Mesh address of an attachment; null: the subnet is exhausted. */
  readonly addresses: (attachmentId: string) => string | null
  readonly stacks: Stacks
  /** How this node calls endpoints of others. */
  readonly passages: ReadonlyMap<Stack, Passage>
  readonly vips: readonly VipRange[]
  /** Subnets, IPv4, of the nodes that are not reached in IPv6. */
  readonly without6: readonly string[]
}

/** The IPv4 address of an endpoint on the mesh; null: it has none yet. */
export function meshAddressOf(
  { kind, address, attachment }: Endpoint,
  { node, addresses }: Pick<ServiceSurroundings, 'node' | 'addresses'>,
): string | null {
  if (kind === 'node') return nodeAddress(node.subnet)
  return kind === 'container' ? addresses(attachment!) : address
}

/** Where an endpoint is reached in this family; null: nowhere. */
function addressOf(endpoint: Endpoint, stack: Stack, surroundings: ServiceSurroundings): string | null {
  if (endpoint.kind === 'external') return ofFamily(stack, [endpoint.address!])[0] ?? null
  const four = meshAddressOf(endpoint, surroundings)
  if (four === null || !isReachedIn(stack, four, surroundings.without6)) return null
  const passage = endpoint.kind === 'remote' ? surroundings.passages.get(stack) : undefined
  return (passage ?? stack).address(four)
}

/** A published port in the host's sets; none where it is bound to an address of a family that the mesh has not. */
function hostEntry({ protocol }: Unit, port: number, address: string | null, stacks: Stacks): KernelObject[] {
  // Those of SCTP are the node's own slice's, which knows its addresses.
  if (address === null) return protocol === 'sctp' ? [] : [entry('host', portSet[protocol], String(port))]
  return stacks
    .filter(({ family }) => family === familyOf(address))
    .map(({ sets }) => entry('host', sets.bound, `${address},${protocol}:${port}`))
}

function marks({ protocol, fwmark }: Unit, ports: readonly number[]): KernelObject[] {
  return protocol === 'sctp' ? [] : ports.map(port => entry('mesh', portSet[protocol], String(port), fwmark))
}

/** A virtual service with its destinations, the ready endpoints. */
interface Served {
  readonly objects: readonly KernelObject[]
  /** Whether any destination takes new connections. */
  readonly takes: boolean
}

/**
 * An endpoint that is not ready is no part of the plan; what becomes of its connections
 * is for `retire`.
 */
function served(
  match: ServiceMatch,
  targetPort: number,
  { service, endpoints }: MeshService,
  stack: Stack,
  surroundings: ServiceSurroundings,
): Served {
  const { scheduler, persistence } = service
  const byTarget = new Map<string, KernelObject>()
  let takes = false
  for (const endpoint of endpoints) {
    if (endpoint.state !== 'ready') continue
    const address = addressOf(endpoint, stack, surroundings)
    if (address === null) continue
    const port = endpoint.port ?? targetPort
    const { weight } = endpoint
    takes ||= weight > 0
    // Two containers may share one network namespace: one destination.
    byTarget.set(`${address}:${port}`, {
      kind: 'destination',
      service: match,
      address,
      port,
      weight,
      drainingSince: 0,
    })
  }
  return {
    objects: [{ kind: 'virtualService', match, scheduler, persistence }, ...byTarget.values()],
    takes,
  }
}

/**
 * A published port. Without an endpoint that takes connections it is left out of the
 * sandbox's map, or has no virtual service of its address: such packets meet the sandbox's
 * own stack, which refuses the connection at once.
 */
function planUnit(unit: Unit, service: MeshService, surroundings: ServiceSurroundings): KernelObject[] {
  const { stacks, sandbox } = surroundings
  const each = stacks.map(stack =>
    served(
      matchOf(unit, stack.address(sandbox), stack.family),
      unit.targetPort,
      service,
      stack,
      surroundings,
    ),
  )
  const isTaken = each.some(({ takes }) => takes)
  const marked = !unit.byAddress && isTaken ? unit.ports : []
  // The map is for both families: one in which nobody takes connections has no virtual service beside it.
  const isHeld = (takes: boolean) => takes || !(unit.byAddress || isTaken)
  return [
    ...each.flatMap(({ objects, takes }) => (isHeld(takes) ? objects : [])),
    ...marks(unit, marked),
    ...unit.ports.flatMap(port => hostEntry(unit, port, unit.address, stacks)),
    ...unit.aliases.flatMap(alias => hostEntry(unit, alias.port, alias.address, stacks)),
  ]
}

/** The service's VIP in one family. */
function planVip(
  vip: string,
  range: VipRange,
  service: MeshService,
  surroundings: ServiceSurroundings,
): KernelObject[] {
  return [
    ...vipUnitsOf(service.service).flatMap(unit => {
      const match = matchOfVip(unit, vip, range)
      const { objects, takes } = served(match, unit.targetPort, service, range.stack, surroundings)
      return takes ? [...objects, ...vipMarks(unit, vip, range)] : refusedPorts(unit, vip, range)
    }),
    ...planScope(service, vip, range, surroundings.addresses),
  ]
}

export function planService(service: MeshService, surroundings: ServiceSurroundings): KernelObject[] {
  const { vip } = service.service
  return [
    ...unitsOf(service.service).flatMap(unit => planUnit(unit, service, surroundings)),
    ...(vip === null ? [] : surroundings.vips.flatMap(range => planVip(vip, range, service, surroundings))),
  ]
}
