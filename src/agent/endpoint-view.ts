/**
 * What the API tells of an endpoint, whatever leads to it. Pure.
 */
import { type DestinationReading, familyOf, keyOf, type ServiceMatch } from '../kernel/objects.js'
import { shortId } from '../model/container.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import type { Passage } from '../planner/passage.js'
import type { Stack, Stacks } from '../planner/stack.js'
import type { VipRange } from '../planner/vips.js'
import type { EndpointState, EndpointView } from '../status/views.js'

export interface ViewInput {
  readonly service: MeshService
  readonly origin: string
  /** Domain of the mesh's names, `mesh`; null: there are none. */
  readonly domain: string | null
  /** Mesh address (or given address) of an endpoint; null: none could be had. */
  readonly addressOf: (endpoint: Endpoint) => string | null
  readonly readings: ReadonlyMap<string, DestinationReading>
  /** IPv4 address of the sandbox. */
  readonly sandbox: string
  /** The families of the mesh, and where VIPs are in each. */
  readonly stacks: Stacks
  /** How this node calls endpoints of others, in each of these families. */
  readonly passages: ReadonlyMap<Stack, Passage>
  readonly vips: readonly VipRange[]
  /** What failed for the endpoint in the last pass, or null. */
  readonly failureOf: (endpoint: Endpoint) => string | null
}

export type EndpointPart = Pick<EndpointView, 'container' | 'id' | 'address' | 'state' | 'weight' | 'reason'>

const reasons: Readonly<Record<Exclude<EndpointState, 'ready' | 'failed'>, string>> = {
  starting: 'its health check has not passed yet',
  unhealthy: 'its health check fails',
  paused: 'the container is paused',
  leaving: 'it was told to stop or is about to be, or its node is draining; connections it has may end',
}

export function endpointPart(endpoint: Endpoint, input: ViewInput): EndpointPart {
  const address = input.addressOf(endpoint)
  const failure =
    address === null ? 'no address left in the node’s subnet of the pool' : input.failureOf(endpoint)
  const state: EndpointState = failure ? 'failed' : endpoint.state
  return {
    container: endpoint.id === endpoint.name ? null : endpoint.name,
    id: endpoint.id === endpoint.name ? null : shortId(endpoint.id),
    address,
    state,
    weight: state === 'ready' ? endpoint.weight : 0,
    reason: failure ?? (endpoint.state === 'ready' ? null : reasons[endpoint.state]),
  }
}

export interface Count {
  readonly active: number
  readonly inactive: number
}

/** One of an endpoint's destinations: in which family, and of which virtual service. */
export interface Share {
  readonly stack: Stack
  readonly match: ServiceMatch
  readonly port: number
}

/** Connections of all its destinations; `address` as the view has it, of IPv4 where it is on the mesh. */
export function countOf(
  { kind }: Endpoint,
  address: string | null,
  shares: readonly Share[],
  { readings, passages }: ViewInput,
): Count {
  let active = 0
  let inactive = 0
  for (const { stack, match, port } of address === null ? [] : shares) {
    if (kind === 'external' && familyOf(address!) !== stack.family) continue
    const passage = kind === 'remote' ? passages.get(stack) : undefined
    const own = kind === 'external' ? address! : (passage ?? stack).address(address!)
    const key = {
      kind: 'destination',
      service: match,
      address: own,
      port,
      weight: 0,
      drainingSince: 0,
    } as const
    const reading = readings.get(keyOf(key))
    active += reading?.active ?? 0
    inactive += reading?.inactive ?? 0
  }
  return { active, inactive }
}
