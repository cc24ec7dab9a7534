/**
 * From the published ports of a service to the virtual services they need. Pure.
 *
 * A range whose published and target ports are the same is one virtual service: the
 * destination keeps the port. A shifted range needs one for each port, as IPVS can
 * set a port but not add to it. Ports of one service with the same target share a
 * virtual service: the first is its canonical port, the others are aliases, which the
 * host translates to the canonical port before the sandbox sees them. Without that,
 * two connections from one client address and port, one to each, would be the same
 * connection to the endpoint.
 */
import { byFwmark, type Family, type ServiceMatch } from '../kernel/objects.js'
import { fwmarkOf, protocolNumbers } from '../kernel/ownership.js'
import { lengthOf, type Protocol, type PublishedPort } from '../model/ports.js'
import type { Service } from '../model/service.js'
import { keepsPorts } from './vips.js'

/** A published port (never a range) that stands for another one. */
export interface Alias {
  readonly port: number
  readonly address: string | null
  /** The one it stands for. */
  readonly canonical: number
}

export interface Unit {
  readonly fwmark: number
  readonly protocol: Protocol
  /** Published ports that reach the sandbox as they are. */
  readonly ports: readonly number[]
  readonly address: string | null
  /** Port of the destinations; 0 keeps the one the packet came with. */
  readonly targetPort: number
  readonly aliases: readonly Alias[]
  /**
   * Whether it is matched by the sandbox's address and the port rather than the fwmark, which
   * is then no more than its name: with persistence a virtual service by fwmark does not
   * translate ports (see vips.ts), and no port of SCTP is given a mark (see names.ts).
   */
  readonly byAddress: boolean
}

function* portsOf(port: PublishedPort): Generator<{ published: number; target: number }> {
  for (let i = 0; i < lengthOf(port.published); i++)
    yield { published: port.published.first + i, target: port.target.first + i }
}

const known = new WeakMap<Service, readonly Unit[]>()

/** The virtual services of a service, ranges first, else in the order of its ports. A service never changes, so they are found once. */
export function unitsOf(service: Service): readonly Unit[] {
  const units = known.get(service) ?? findUnits(service)
  known.set(service, units)
  return units
}

type Growing = Unit & { readonly ports: number[]; readonly aliases: Alias[] }

function findUnits(service: Service): Unit[] {
  const units: Growing[] = []
  const byTarget = new Map<string, { readonly unit: Growing; readonly canonical: number }>()
  const add = (unit: Omit<Growing, 'aliases' | 'byAddress'>): Growing => {
    const byAddress = unit.protocol === 'sctp' || (service.persistence > 0 && unit.targetPort !== 0)
    const added = { ...unit, aliases: [], byAddress }
    units.push(added)
    return added
  }
  /** Ports that keep their numbers, of a service whose clients stay with an endpoint for all of them. */
  const together = new Map<string, Growing>()
  const staysTogether = service.persistence > 0 && keepsPorts(service)

  /** Those that keep their numbers, each as one; other ports may have the same targets, whichever comes first. */
  const ranges = new Map<PublishedPort, Growing>()
  const keepsNumbers = ({ protocol, published, target }: PublishedPort) =>
    published.first === target.first && protocol !== 'sctp'
  for (const port of service.ports) {
    if (!keepsNumbers(port) || lengthOf(port.published) === 1 || staysTogether) continue
    const { protocol, address } = port
    const ports = [...portsOf(port)].map(each => each.published)
    const fwmark = fwmarkOf(protocol, port.published.first)
    ranges.set(port, add({ fwmark, protocol, ports, address, targetPort: 0 }))
  }
  const inRange = (protocol: Protocol, target: number) => {
    for (const [port, unit] of ranges)
      if (port.protocol === protocol && port.target.first <= target && target <= port.target.last)
        return { unit, canonical: target }
    return undefined
  }

  for (const port of service.ports) {
    if (ranges.has(port)) continue
    const { protocol, address } = port
    const keeps = keepsNumbers(port)
    for (const { published, target } of portsOf(port)) {
      const key = `${protocol} ${target}`
      const other = byTarget.get(key) ?? inRange(protocol, target)
      if (other) {
        other.unit.aliases.push({ port: published, address, canonical: other.canonical })
        continue
      }
      const fwmark = fwmarkOf(protocol, published)
      const group = `${protocol} ${address ?? ''}`
      let unit = keeps && staysTogether ? together.get(group) : undefined
      if (unit) unit.ports.push(published)
      else {
        const targetPort = keeps && staysTogether ? 0 : target
        unit = add({ fwmark, protocol, ports: [published], address, targetPort })
        if (targetPort === 0) together.set(group, unit)
      }
      byTarget.set(key, { unit, canonical: published })
    }
  }
  return units
}

/** How packets that come to the sandbox are matched to a published port; `sandbox`: its address in the family. */
export function matchOf(unit: Unit, sandbox: string, family: Family): ServiceMatch {
  if (!unit.byAddress) return byFwmark(unit.fwmark, family)
  return { protocol: protocolNumbers[unit.protocol], address: sandbox, port: unit.ports[0]! }
}
