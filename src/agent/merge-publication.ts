/**
 * What publishing once more means for a service that is there: from the command line
 * ports and endpoints are added and settings change only where they were given; a
 * file says all of it anew, but for the ports it leaves to the mesh. Pure.
 */
import { formatRange, overlaps, type PortSpec } from '../model/ports.js'
import type { Publication } from '../model/publication.js'
import { defaultWeightedScheduler, type FixedEndpoint, isServed, type Service } from '../model/service.js'
import type { GivenField, ServiceFields } from '../model/service-fields.js'
import { knowsWeights } from '../model/weights.js'

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

/** What was stored by that name; labels that only scope the containers of a Swarm service leave it to whoever wants it. */
export function formerOf(services: readonly Service[], name: string): Service | undefined {
  const former = services.find(each => each.name === name)
  const isLeft = former?.declaredBy === 'swarm' && former.problems.length === 0 && !isServed(former)
  return isLeft ? undefined : former
}

/** `publication` added to `former`; a port that is published again takes its new target. */
export function mergePublication(
  publication: Publication,
  former: Service | undefined,
  given: ReadonlySet<GivenField>,
): Publication {
  if (!former) return publication
  const kept = former.ports.map(
    (port): PortSpec => publication.ports.find(each => samePublished(each, port)) ?? port,
  )
  const added = publication.ports.filter(port => !kept.includes(port))
  const endpoints = publication.endpoints.filter(
    endpoint => !former.endpoints.some(each => sameEndpoint(each, endpoint)),
  )
  const fields = Object.fromEntries([...given].map(field => [field, publication[field]]))
  return {
    ...withFields(former, fields),
    ports: [...kept, ...added],
    endpoints: [...former.endpoints, ...endpoints],
  }
}

/**
 * What there is with these fields in place of its own. The VIP stays as it is, or stays
 * away, unless one is asked for or the name stands for a VIP from now on; weights bring a
 * scheduler that takes account of them.
 */
export function withFields(former: Service, fields: ServiceFields): Publication {
  const { declaredBy, problems, ...standing } = former
  const hasOne = former.vip !== null || former.endpointMode === 'dnsrr'
  const needsWeights = (fields.weights ?? []).length > 0 && !knowsWeights(former.scheduler)
  return {
    ...standing,
    vip: hasOne ? 'auto' : 'none',
    ...(needsWeights && { scheduler: defaultWeightedScheduler }),
    ...fields,
  }
}

/**
 * The ports of a file, those it leaves open as they were chosen the first time. A
 * former port that the file names itself by now is no longer one that was chosen.
 */
export function keepChosen(ports: readonly PortSpec[], former: Service | undefined): PortSpec[] {
  const isNamed = (each: PortSpec) =>
    ports.some(
      ({ published, protocol }) =>
        published !== null &&
        each.published !== null &&
        protocol === each.protocol &&
        overlaps(published, each.published),
    )
  const chosen = (former?.ports ?? []).filter(each => !isNamed(each))
  return ports.map(port => {
    if (port.published) return port
    const index = chosen.findIndex(
      each => each.protocol === port.protocol && each.target.first === port.target.first,
    )
    return index < 0 ? port : { ...port, published: chosen.splice(index, 1)[0]!.published }
  })
}
