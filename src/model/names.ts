/**
 * Names of services: what a person may write, and which containers a name stands
 * for — a Swarm service, a compose service, a container, in this order. Pure.
 */
import { InputError } from '../errors.js'
import type { Container, Selectable } from './container.js'
import { isOneOff } from './selector.js'
import {
  composeProjectLabel,
  composeServiceLabel,
  containerNameLabel,
  type Selector,
  swarmServiceLabel,
} from './service.js'
import type { ContainerSnapshot } from './snapshot.js'

const longestName = 128

/** Checks a service's name: `web`, `shop_web.1`, or `project/service`. Throws InputError. */
export function parseServiceName(text: string, field = 'service'): string {
  const part = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/
  const parts = text.split('/')
  const form = 'use letters, digits, "_", "." and "-", as in web or project/web'
  if (parts.length > 2) throw new InputError(field, text, 'a name has at most one "/"', form)
  if (!parts.every(each => part.test(each))) throw new InputError(field, text, 'this is not a name', form)
  if (text.length > longestName)
    throw new InputError(field, text, `a name has at most ${longestName} characters`, 'choose a shorter one')
  return text
}

/**
 * The selector a service's name stands for, or null if nothing on this node bears
 * it (the service is then kept by name alone, see `matchesByName`). Throws
 * InputError if two compose projects have a service of that name.
 */
export function resolveName(name: string, snapshot: ContainerSnapshot): Selector | null {
  const { containers, swarmServices } = snapshot
  if (swarmServices.includes(name) || containers.some(each => each.labels[swarmServiceLabel] === name))
    return { [swarmServiceLabel]: name }

  const projects = projectsOf(name, containers)
  if (projects.length > 1) {
    const names = projects.map(project => `${project}/${name}`)
    throw new InputError(
      'service',
      name,
      `${projects.length} compose projects have a service of this name`,
      `write one of ${names.join(', ')}`,
    )
  }
  if (projects[0] !== undefined)
    return { [composeProjectLabel]: projects[0], [composeServiceLabel]: name.slice(name.indexOf('/') + 1) }

  if (containers.some(each => each.name === name)) return { [containerNameLabel]: name }
  return null
}

/** Whether the selector is one that the name stands for, whatever there is of that name now. */
export function standsFor(name: string, selector: Selector): boolean {
  const labels = Object.keys(selector)
  if (labels.length === 1)
    return selector[swarmServiceLabel] === name || selector[containerNameLabel] === name
  const { [composeProjectLabel]: project, [composeServiceLabel]: service } = selector
  return labels.length === 2 && (name === service || name === `${project}/${service}`)
}

/** Compose projects that have a service `name`, sorted; at most one if `name` is `project/service`. */
function projectsOf(name: string, containers: readonly Container[]): string[] {
  const slash = name.indexOf('/')
  const service = name.slice(slash + 1)
  const projects = new Set<string>()
  for (const container of containers) {
    const project = container.labels[composeProjectLabel]
    if (project === undefined || container.labels[composeServiceLabel] !== service || isOneOff(container))
      continue
    if (slash < 0 || project === name.slice(0, slash)) projects.add(project)
  }
  return [...projects].sort()
}

/**
 * Whether a container bears the name of a service that was published before
 * anything of that name existed, and is therefore kept by name alone.
 */
export function matchesByName(container: Selectable, name: string): boolean {
  const { labels } = container
  if (labels[swarmServiceLabel] === name || container.name === name) return true
  const service = labels[composeServiceLabel]
  if (service === undefined || isOneOff(container)) return false
  return name === service || name === `${labels[composeProjectLabel]}/${service}`
}
