/**
 * From containers and given addresses to endpoints. Pure.
 */
import type { HostNode, RemoteContainer } from './cluster.js'
import type { Container, Selectable } from './container.js'
import { formatEndpoint } from './endpoint.js'
import type { CandidateState, Endpoint } from './mesh.js'
import type { FixedEndpoint, Service } from './service.js'
import { weightsOf } from './shares.js'
import type { Node } from './snapshot.js'

/** An endpoint before it is known which others there are. */
export type Candidate = Omit<Endpoint, 'state'> & { readonly state: CandidateState }

export function stateOfContainer(container: Container): CandidateState | null {
  if (container.state === 'paused') return 'paused'
  if (container.pid === 0) return null
  if (container.state === 'created') return 'starting'
  if (container.state !== 'running') return null
  if (container.leaving) return 'leaving'
  if (container.health === 'starting' || container.health === 'unhealthy') return container.health
  return container.ending ? 'ending' : 'ready'
}

/** The container whose network namespace `container` uses, following `--network container:…`. */
export function networkOwner(container: Container, byId: ReadonlyMap<string, Container>): Container | null {
  let owner: Container | undefined = container
  for (let hops = 0; owner && hops < 8; hops++) {
    if (!owner.network.startsWith('container:')) return owner.pid === 0 ? null : owner
    owner = byId.get(owner.network.slice('container:'.length))
  }
  return null
}

export function endpointOf(container: Container, byId: ReadonlyMap<string, Container>): Candidate | null {
  const state = stateOfContainer(container)
  const owner = networkOwner(container, byId)
  if (!state || !owner) return null
  const kind = owner.network === 'host' ? 'node' : 'container'
  return {
    id: container.id,
    name: container.name,
    kind,
    attachment: kind === 'container' ? owner.id : null,
    address: null,
    port: null,
    state,
    weight: 1,
  }
}

/** null: at a node where nothing can be reached. */
export function fixedEndpoint(fixed: FixedEndpoint, node: Node, hosts: readonly HostNode[]): Endpoint | null {
  const own = fixed.address.startsWith('127.') || node.addresses.includes(fixed.address)
  const host = hosts.find(each => (own ? each.name === node.name : each.address === fixed.address))
  if (host?.state === null) return null
  const id = formatEndpoint(fixed)
  return {
    id,
    name: id,
    kind: own ? 'node' : host ? 'remote' : 'external',
    attachment: null,
    address: own ? null : (host?.meshAddress ?? fixed.address),
    port: fixed.port,
    state: host?.state ?? 'ready',
    weight: 1,
  }
}

export function remoteEndpoint({ id, name, address, state }: RemoteContainer): Candidate {
  return { id, name, kind: 'remote', attachment: null, address, port: null, state, weight: 1 }
}

/** All endpoints of a service, with what becomes of those that Swarm is about to stop. */
export function settled(candidates: readonly Candidate[]): readonly Endpoint[] {
  const state = candidates.some(each => each.state === 'ready') ? 'leaving' : 'ready'
  return candidates.map(each => (each.state === 'ending' ? { ...each, state } : (each as Endpoint)))
}

/** Endpoints with their weights; `carriers`: whose labels count, null where there are none. */
export function weighed(
  service: Service,
  endpoints: readonly Endpoint[],
  carriers: readonly (Selectable | null)[],
): Endpoint[] {
  const weights = weightsOf(
    service.weights,
    endpoints.map(({ state }, i) => ({ carrier: carriers[i] ?? null, counts: state === 'ready' })),
  )
  return endpoints.map((endpoint, i) => ({ ...endpoint, weight: weights[i]! }))
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.id === b.id &&
    a.state === b.state &&
    a.attachment === b.attachment &&
    a.kind === b.kind &&
    a.address === b.address &&
    a.name === b.name &&
    a.weight === b.weight
  )
}

export function sameEndpoints(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  if (some === others) return true
  return some.length === others.length && some.every((each, i) => sameEndpoint(each, others[i]!))
}
