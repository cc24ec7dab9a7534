/**
 * Further names of a service, and scopes: what a person may write. Pure.
 */
import { InputError } from '../errors.js'

/** RFC 1035, 2.3.4, with room for a domain behind it. */
const longestAlias = 200

/**
 * An alias in lower case: labels of letters, digits, `-` and `_`, joined by dots, as in
 * `db` or `db.shop`; one that ends in `.local` is a whole name. Throws InputError.
 */
export function parseAlias(text: string, field = 'alias'): string {
  const alias = text.trim().toLowerCase().replace(/\.$/, '')
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/
  if (alias === 'none' || alias.length > longestAlias || !alias.split('.').every(each => label.test(each)))
    throw new InputError(
      field,
      text,
      'this is no name in DNS',
      `use letters, digits, "-" and "_", parts of at most 63 joined by ".", ${longestAlias} in all`,
    )
  return alias
}

/** A scope's name. Throws InputError. */
export function parseScope(text: string, field = 'scope'): string {
  const scope = text.trim()
  if (scope === 'none' || !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(scope))
    throw new InputError(
      field,
      text,
      'this is no name of a scope',
      'use letters, digits, "_", "." and "-", at most 63, as in team-a',
    )
  return scope
}
