/**
 * A service with its endpoints as the API tells of it. Pure.
 */
import { byFwmark, type DestinationReading, keyOf } from '../kernel/objects.js'
import { shortId } from '../model/container.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import { formatPort, formatRange, type PublishedPort } from '../model/ports.js'
import { type Unit, unitsOf } from '../planner/units.js'
import type { EndpointState, EndpointView, PortView, ServiceView } from '../status/views.js'

export interface ViewInput {
  readonly service: MeshService
  readonly origin: string
  /** Mesh address (or given address) of an endpoint; null: none could be had. */
  readonly addressOf: (endpoint: Endpoint) => string | null
  readonly readings: ReadonlyMap<string, DestinationReading>
  /** What failed for the endpoint in the last pass, or null. */
  readonly failureOf: (endpoint: Endpoint) => string | null
}

const reasons: Readonly<Record<Exclude<EndpointState, 'ready' | 'failed'>, string>> = {
  starting: 'its health check has not passed yet',
  unhealthy: 'its health check fails',
  paused: 'the container is paused',
  leaving: 'it was told to stop, or its node is draining; connections it has may end',
}

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
  const address = input.addressOf(endpoint)
  const targetPort = endpoint.port ?? unit.targetPort
  const failure =
    address === null ? 'no address left in the node’s subnet of the pool' : input.failureOf(endpoint)
  const state: EndpointState = failure ? 'failed' : endpoint.state
  const reading = input.readings.get(
    keyOf({
      kind: 'destination',
      service: byFwmark(unit.fwmark),
      address: address ?? '',
      port: targetPort,
      weight: 0,
      drainingSince: 0,
    }),
  )
  return {
    container: endpoint.id === endpoint.name ? null : endpoint.name,
    id: endpoint.id === endpoint.name ? null : shortId(endpoint.id),
    address,
    port: targetPort,
    published: `${formatRange(port.published)}/${port.protocol}`,
    state,
    weight: state === 'ready' ? endpoint.weight : 0,
    active: reading?.active ?? 0,
    inactive: reading?.inactive ?? 0,
    reason: failure ?? (endpoint.state === 'ready' ? null : reasons[endpoint.state]),
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
  }
}
