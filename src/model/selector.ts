/**
 * Selectors: which containers answer for a service. Pure.
 */
import { InputError } from '../errors.js'
import type { Selectable } from './container.js'
import { composeServiceLabel, containerNameLabel, type Selector } from './service.js'

/** `True` on the container of a `docker compose run`, which is no endpoint of the service it was cut from. */
export const composeOneOffLabel = 'com.docker.compose.oneoff'

const form = 'write label=value, several separated by commas, for example app=web,tier=front'

/** Parses `k=v,k2=v2`. A value may hold `=` and may be empty; a comma always ends it. Throws InputError. */
export function parseSelector(text: string, field = 'selector'): Selector {
  const selector: Record<string, string> = {}
  for (const term of text.split(',')) {
    const equals = term.indexOf('=')
    const key = (equals < 0 ? term : term.slice(0, equals)).trim()
    if (key === '') throw new InputError(field, text, 'a label has no name', form)
    if (equals < 0) throw new InputError(field, text, `"${key}" has no value`, form)
    if (/\s|^__proto__$/.test(key)) throw new InputError(field, text, `"${key}" is not a label's name`, form)
    if (Object.hasOwn(selector, key))
      throw new InputError(field, text, `"${key}" is given twice`, 'name each label once')
    selector[key] = term.slice(equals + 1).trim()
  }
  return selector
}

/** The text `parseSelector` reads, labels in alphabetical order. */
export function formatSelector(selector: Selector): string {
  return Object.keys(selector)
    .sort()
    .map(key => `${key}=${selector[key]}`)
    .join(',')
}

/**
 * Whether a container carries every label of the selector. The empty selector
 * matches nothing: everything on the node is never what somebody meant.
 */
export function matches(container: Selectable, selector: Selector): boolean {
  let some = false
  for (const key in selector) {
    some = true
    const value =
      key === containerNameLabel
        ? container.name
        : Object.hasOwn(container.labels, key)
          ? container.labels[key]
          : undefined
    if (value !== selector[key]) return false
  }
  if (composeServiceLabel in selector && !(composeOneOffLabel in selector) && isOneOff(container))
    return false
  return some
}

/** Whether the container belongs to a `docker compose run`. */
export function isOneOff(container: Selectable): boolean {
  return container.labels[composeOneOffLabel] === 'True'
}
