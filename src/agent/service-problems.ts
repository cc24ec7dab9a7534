/**
 * What is wrong with a service though it is served, a sentence each: labels that were left
 * aside, ports that this node leaves to others, and names that DNS cannot carry. Pure.
 */
import { dottedName, isUsableName, shortName } from '../dns/names.js'
import { isServed, type Service } from '../model/service.js'

/** `domain`: that of the mesh's names, `mesh`; null: there are none. */
export function problemsOf(service: Service, domain: string | null): readonly string[] {
  if (domain === null || !isServed(service)) return service.problems
  return [...service.problems, ...nameProblems(service, domain)]
}

const reason = `a part of a name in DNS has 1 to 63 characters, and all of it, with the domain, about 250`

function nameProblems({ name, aliases }: Service, domain: string): string[] {
  const isUsable = (text: string) => isUsableName(text, domain)
  const wrong = aliases
    .filter(alias => !alias.endsWith('.local') && !isUsable(alias))
    .map(alias => `nobody finds it by its alias ${alias}: ${reason}`)
  const isFound = [dottedName(name), shortName(name), ...aliases].some(isUsable)
  if (isFound) return wrong
  return [
    `nobody finds it by its name: ${reason}; a name to find it by: meshctl service set ${name} --alias NAME`,
    ...wrong,
  ]
}
