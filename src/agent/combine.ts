/**
 * Services of the store and of watched files as one list, and who has what several of them
 * want. Pure.
 */
import type { Service } from '../model/service.js'
import type { ServiceSnapshot } from '../model/snapshot.js'

/** A service that was left out because another one has its name, port or VIP. */
export interface Clash {
  readonly origin: string
  readonly reason: string
}

export interface Combined {
  readonly services: readonly Service[]
  /** Service → the store or file it came from. */
  readonly origins: ReadonlyMap<string, string>
  readonly clashes: readonly Clash[]
}

/**
 * Services of several origins as one list. Where two want one name, one published
 * port or one VIP the earlier origin has it, and the other is told about.
 */
export function combine(snapshots: ReadonlyMap<string, ServiceSnapshot>): Combined {
  const services: Service[] = []
  const origins = new Map<string, string>()
  const clashes: Clash[] = []
  const holders = new Map<string, string>()
  for (const [origin, { services: more }] of snapshots) {
    for (const service of more) {
      const wants = [`service ${service.name}`, ...holdingsOf(service)]
      const clash = wants.find(want => holders.has(want))
      if (clash === undefined) {
        services.push(service)
        origins.set(service.name, origin)
        for (const want of wants) holders.set(want, service.name)
        continue
      }
      const holder = holders.get(clash) ?? ''
      const who = `${origins.get(holder)}${holder === service.name ? '' : ` for service ${holder}`}`
      clashes.push({
        origin,
        reason: `service ${service.name} is left out: ${who} has ${clash} already`,
      })
    }
  }
  return { services, origins, clashes }
}

/** What only one service may have: published ports, and a VIP. */
function* holdingsOf(service: Service): Generator<string> {
  if (service.vip !== null) yield `VIP ${service.vip}`
  for (const { protocol, published } of service.ports)
    for (let port = published.first; port <= published.last; port++) yield `port ${port}/${protocol}`
}
