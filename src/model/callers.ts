/**
 * Who may call services that have scopes: containers that share one of them, by their own
 * label or by a service that they answer for. Pure.
 */
import type { Container } from './container.js'
import type { Service } from './service.js'

/** Label of a calling container: its scopes, separated by commas. */
const scopeLabel = 'mesh.scope'

/** A container of this node, as a caller. */
export interface Caller {
  /** Id of the container whose network namespace it uses. */
  readonly id: string
  /** IPv4 addresses of its own, that in the mesh left out. */
  readonly addresses: readonly string[]
  /** Whether it has an address in the mesh besides. */
  readonly attached: boolean
}

/** A service with those that answer for it, by id. */
interface Answered {
  readonly service: Pick<Service, 'scopes'>
  readonly endpoints: readonly { readonly id: string }[]
}

/** A function from a container to its scopes as a caller, each once. */
export function createScopes(services: Iterable<Answered>): (container: Container) => readonly string[] {
  const byEndpoint = new Map<string, string[]>()
  for (const { service, endpoints } of services) {
    if (service.scopes.length === 0) continue
    for (const { id } of endpoints) {
      const scopes = byEndpoint.get(id) ?? []
      scopes.push(...service.scopes)
      byEndpoint.set(id, scopes)
    }
  }
  return ({ id, labels }) => {
    const own = (labels[scopeLabel] ?? '').split(',').flatMap(scope => scope.trim() || [])
    return [...new Set([...own, ...(byEndpoint.get(id) ?? [])])]
  }
}

/** Callers by scope. Those that use the node's own network are nobody in particular, and have none. */
export function callersByScope(
  containers: readonly Container[],
  scopesOf: (container: Container) => readonly string[],
  ownerOf: (container: Container) => Container | null,
  isAttached: (id: string) => boolean,
): ReadonlyMap<string, ReadonlyMap<string, Caller>> {
  const byScope = new Map<string, Map<string, Caller>>()
  for (const container of containers) {
    const scopes = scopesOf(container)
    const owner = scopes.length === 0 ? null : ownerOf(container)
    if (!owner || owner.network === 'host') continue
    const { id, addresses } = owner
    for (const scope of scopes) {
      const callers = byScope.get(scope) ?? new Map<string, Caller>()
      byScope.set(scope, callers.set(id, { id, addresses, attached: isAttached(id) }))
    }
  }
  return byScope
}

/** Those that share one of the scopes, each once. */
export function callersIn(
  scopes: readonly string[],
  byScope: ReadonlyMap<string, ReadonlyMap<string, Caller>>,
): Caller[] {
  const callers = new Map<string, Caller>()
  for (const scope of scopes) for (const [id, caller] of byScope.get(scope) ?? []) callers.set(id, caller)
  return [...callers.values()]
}
