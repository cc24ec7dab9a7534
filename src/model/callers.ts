/**
 * Who may call services that have scopes: containers that share one of them. Pure.
 */
import type { Container } from './container.js'

/** Label of a calling container: its scopes, separated by commas. */
export const scopeLabel = 'mesh.scope'

/** A container of this node, as a caller. */
export interface Caller {
  /** Id of the container whose network namespace it uses. */
  readonly id: string
  /** IPv4 addresses of its own, that in the mesh left out. */
  readonly addresses: readonly string[]
  /** Whether it has an address in the mesh besides. */
  readonly attached: boolean
}

export function scopesOf(labels: Readonly<Record<string, string>>): string[] {
  return (labels[scopeLabel] ?? '').split(',').flatMap(scope => scope.trim() || [])
}

/** Callers by scope. Those that use the node's own network are nobody in particular, and have none. */
export function callersByScope(
  containers: readonly Container[],
  ownerOf: (container: Container) => Container | null,
  isAttached: (id: string) => boolean,
): ReadonlyMap<string, ReadonlyMap<string, Caller>> {
  const byScope = new Map<string, Map<string, Caller>>()
  for (const container of containers) {
    const scopes = scopesOf(container.labels)
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
