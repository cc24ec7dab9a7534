/**
 * A service with its endpoints as the API tells of it. Pure.
 */
import { keyOf } from '../kernel/objects.js'
import type { Endpoint } from '../model/mesh.js'
import { formatPort, formatRange, type PublishedPort } from '../model/ports.js'
import { matchOf, type Unit, unitsOf } from '../planner/units.js'
import type { EndpointView, PortView, ServiceView } from '../status/views.js'
import { endpointPart, type ViewInput } from './endpoint-view.js'
import { vipPart } from './vip-view.js'

function hex(fwmark: number): string {
  return `0x${fwmark.toString(16)}`
}

function unitOf(units: readonly Unit[], port: PublishedPort): Unit | undefined {
  return units.find(
    unit =>
      unit.protocol === port.protocol &&
      (unit.ports.includes(port.published.first) ||
        unit.aliases.some(alias => alias.port === port.published.first)),
  )
}

function portView(port: PublishedPort, unit: Unit | undefined): PortView {
  return {
    spec: formatPort(port),
    protocol: port.protocol,
    published: formatRange(port.published),
    target: formatRange(port.target),
    address: port.address,
    fwmark: unit ? hex(unit.fwmark) : hex(0),
  }
}

function endpointView(endpoint: Endpoint, port: PublishedPort, unit: Unit, input: ViewInput): EndpointView {
  const part = endpointPart(endpoint, input)
  const targetPort = endpoint.port ?? unit.targetPort
  const reading = input.readings.get(
    keyOf({
      kind: 'destination',
      service: matchOf(unit, input.sandbox, 'inet'),
      address: part.address ?? '',
      port: targetPort,
      weight: 0,
      drainingSince: 0,
    }),
  )
  return {
    ...part,
    port: targetPort,
    published: `${formatRange(port.published)}/${port.protocol}`,
    active: reading?.active ?? 0,
    inactive: reading?.inactive ?? 0,
  }
}

export function serviceView(input: ViewInput): ServiceView {
  const { service, endpoints } = input.service
  const units = unitsOf(service)
  return {
    name: service.name,
    ports: service.ports.map(port => portView(port, unitOf(units, port))),
    scheduler: service.scheduler,
    drain: service.drain,
    selector: service.selector,
    origin: input.origin,
    problems: service.problems,
    endpoints: service.ports.flatMap(port => {
      const unit = unitOf(units, port)
      return unit ? endpoints.map(endpoint => endpointView(endpoint, port, unit, input)) : []
    }),
    ...vipPart(input),
  }
}
