/**
 * What publishing once more means for a service that is there: ports and endpoints
 * are added, settings change only where they were given. Pure.
 */
import { formatRange, type PortSpec } from '../model/ports.js'
import type { Publication } from '../model/publication.js'
import type { FixedEndpoint, Service } from '../model/service.js'
import type { GivenField } from '../status/agent.js'

function samePublished(a: PortSpec, b: PortSpec): boolean {
  return (
    a.protocol === b.protocol &&
    a.published !== null &&
    b.published !== null &&
    formatRange(a.published) === formatRange(b.published)
  )
}

function sameEndpoint(a: FixedEndpoint, b: FixedEndpoint): boolean {
  return a.address === b.address && a.port === b.port
}

/** `publication` added to `former`; a port that is published again takes its new target. */
export function mergePublication(
  publication: Publication,
  former: Service | undefined,
  given: ReadonlySet<GivenField>,
): Publication {
  if (!former) return publication
  const added = publication.ports.filter(port => !former.ports.some(each => samePublished(each, port)))
  const kept = former.ports.map(
    (port): PortSpec => publication.ports.find(each => samePublished(each, port)) ?? port,
  )
  const endpoints = publication.endpoints.filter(
    endpoint => !former.endpoints.some(each => sameEndpoint(each, endpoint)),
  )
  return {
    name: former.name,
    ports: [...kept, ...added],
    selector: given.has('selector') ? publication.selector : former.selector,
    endpoints: [...former.endpoints, ...endpoints],
    scheduler: given.has('scheduler') ? publication.scheduler : former.scheduler,
    drain: given.has('drain') ? publication.drain : former.drain,
  }
}
