/**
 * A service with its endpoints as the API tells of it. Pure.
 */
import type { Endpoint } from '../model/mesh.js'
import { formatPort, formatRange, lengthOf, type PublishedPort } from '../model/ports.js'
import { matchOf, type Unit, unitsOf } from '../planner/units.js'
import type { PortKey } from '../status/agent.js'
import { hex } from '../status/describe.js'
import { formatPortKey } from '../status/find.js'
import type { EndpointView, PortView, ServiceView } from '../status/views.js'
import { countOf, endpointPart, type ViewInput } from './endpoint-view.js'
import { problemsOf } from './service-problems.js'
import { vipPart } from './vip-view.js'

/** Of a range it is the fwmark of its first port. */
function portView(port: PublishedPort, units: readonly Unit[]): PortView {
  const { first } = port.published
  const [unit] = unitsAt(units, { ...port, published: { first, last: first } })
  return {
    spec: formatPort(port),
    protocol: port.protocol,
    published: formatRange(port.published),
    target: formatRange(port.target),
    address: port.address,
    fwmark: hex(unit?.fwmark ?? 0),
  }
}

/** All that a published port leads to: a range whose target is another one has a virtual service for each port. */
function unitsAt(units: readonly Unit[], { protocol, published }: PortKey): Unit[] {
  const isOfPort = (port: number) => port >= published.first && port <= published.last
  return units.filter(
    unit =>
      unit.protocol === protocol &&
      (unit.ports.some(isOfPort) || unit.aliases.some(({ port }) => isOfPort(port))),
  )
}

function endpointView(
  endpoint: Endpoint,
  port: PublishedPort,
  units: readonly Unit[],
  input: ViewInput,
): EndpointView {
  const part = endpointPart(endpoint, input)
  const shares = units.flatMap(unit =>
    input.stacks.map(stack => ({
      stack,
      match: matchOf(unit, stack.address(input.sandbox), stack.family),
      port: endpoint.port ?? unit.targetPort,
    })),
  )
  return {
    ...part,
    port: endpoint.port ?? (lengthOf(port.target) === 1 ? port.target.first : 0),
    published: formatPortKey(port),
    ...countOf(endpoint, part.address, shares, input),
  }
}

export function serviceView(input: ViewInput): ServiceView {
  const { service, endpoints } = input.service
  const units = unitsOf(service)
  return {
    name: service.name,
    ports: service.ports.map(port => portView(port, units)),
    scheduler: service.scheduler,
    drain: service.drain,
    selector: service.selector,
    origin: input.origin,
    problems: problemsOf(service, input.domain),
    endpoints: service.ports.flatMap(port => {
      const ofPort = unitsAt(units, port)
      return endpoints.map(endpoint => endpointView(endpoint, port, ofPort, input))
    }),
    ...vipPart(input),
  }
}
