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
import { fwmarkOf } from '../kernel/ownership.js'
import { lengthOf, type Protocol, type PublishedPort } from '../model/ports.js'
import type { Service } from '../model/service.js'

/** A published port (never a range) that stands for another one. */
export interface Alias {
  readonly port: number
  readonly address: string | null
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
}

function* portsOf(port: PublishedPort): Generator<{ published: number; target: number }> {
  for (let i = 0; i < lengthOf(port.published); i++)
    yield { published: port.published.first + i, target: port.target.first + i }
}

const known = new WeakMap<Service, readonly Unit[]>()

/** The virtual services of a service, in the order of its ports. A service never changes, so they are found once. */
export function unitsOf(service: Service): readonly Unit[] {
  const units = known.get(service) ?? findUnits(service)
  known.set(service, units)
  return units
}

function findUnits(service: Service): Unit[] {
  const units: (Unit & { aliases: Alias[] })[] = []
  const byTarget = new Map<string, Unit & { aliases: Alias[] }>()
  for (const port of service.ports) {
    const { protocol, address } = port
    const kept = lengthOf(port.published) > 1 && port.published.first === port.target.first
    if (kept) {
      const ports = [...portsOf(port)].map(each => each.published)
      units.push({
        fwmark: fwmarkOf(protocol, port.published.first),
        protocol,
        ports,
        address,
        targetPort: 0,
        aliases: [],
      })
      continue
    }
    for (const { published, target } of portsOf(port)) {
      const key = `${protocol} ${target}`
      const canonical = byTarget.get(key)
      if (canonical) {
        canonical.aliases.push({ port: published, address })
        continue
      }
      const unit = {
        fwmark: fwmarkOf(protocol, published),
        protocol,
        ports: [published],
        address,
        targetPort: target,
        aliases: [],
      }
      units.push(unit)
      byTarget.set(key, unit)
    }
  }
  return units
}
