/**
 * All names of the mesh, and what each stands for to a caller. Changes are applied one
 * after the other, so that a mesh of many services costs no more than what is new.
 * Knows neither messages nor sockets; no effects but on itself.
 *
 *   web.mesh  web.shop.mesh (shop/web)     the VIP, or the endpoints where there is none
 *   tasks.web.mesh                         the endpoints
 *   10-254-0-3.web.mesh                    one of them
 *   _http._tcp.web.mesh  _8080._tcp…       at which port
 */
import type { Protocol } from '../model/ports.js'
import type { VipPort } from '../model/service.js'
import type { Caller, NamedEndpoint, NamedService, ZoneChange, ZoneSettings } from './named.js'
import {
  dottedName,
  isIPv6,
  isName,
  isWholeReverse,
  labelOf,
  projectOf,
  reverseName,
  reverseZones,
} from './names.js'
import type { Finding, ZoneRecord } from './records.js'
import { portOfLabel } from './well-known.js'
import { type Entry, ranks, ZoneIndex } from './zone-index.js'

/** What a name without domain stands for. */
interface Subject {
  readonly services: readonly NamedService[]
  /** `service`: VIP or endpoints; `tasks`: the endpoints; else the endpoint of that label. */
  readonly part: 'service' | 'tasks' | { readonly label: string }
  /** Name, without domain, below which its endpoints have theirs. */
  readonly base: string
}

const stranger: Caller = { scopes: [], project: null }
const localSuffix = '.local'

export class Zone {
  readonly settings: ZoneSettings
  /** Whether anybody has said yet what there is. */
  isKnown = false
  private readonly random: () => number
  private readonly index: ZoneIndex
  private readonly callers = new Map<string, Caller>()
  private readonly reverseZones: ReadonlySet<string>
  /** The resolver's own addresses, as names. */
  private readonly ownReverse: ReadonlySet<string>
  private serial = 1

  /** `random`: 0 ≤ number < 1, for the order of answers. */
  constructor(settings: ZoneSettings, random: () => number = Math.random) {
    this.settings = settings
    this.random = random
    this.index = new ZoneIndex(settings)
    this.reverseZones = new Set(settings.pools.flatMap(reverseZones))
    this.ownReverse = new Set(settings.resolver.map(reverseName))
  }

  apply(change: ZoneChange): void {
    this.index.apply(change)
    for (const [address, caller] of change.callers)
      if (caller) this.callers.set(address, caller)
      else this.callers.delete(address)
    this.serial = (this.serial % 0xffff_ffff) + 1
    this.isKnown = true
  }

  /** Whether names like this are answered here, and nowhere else. */
  covers(name: string): boolean {
    const { domain } = this.settings
    return (
      name === domain ||
      name.endsWith(`.${domain}`) ||
      this.index.withLocalName(name).length > 0 ||
      (!this.isKnown && name.endsWith(localSuffix)) ||
      this.reverseZoneOf(name) !== null
    )
  }

  /** What `name`, in lower case, stands for to who calls from `address`; null: it is none of the mesh's. */
  find(name: string, type: string, address: string): Finding | null {
    const { domain } = this.settings
    const caller = this.callers.get(address)
    if (name === domain) return this.apexFinding(domain, type)
    if (name.endsWith(`.${domain}`))
      return this.ownFinding(name.slice(0, -domain.length - 1), type, caller ?? stranger)
    const local = this.index.withLocalName(name)
    if (local.length > 0) return this.localFinding(name, local, type, caller)
    const zone = this.reverseZoneOf(name)
    return zone === null ? null : this.reverseFinding(name, zone, type, caller ?? stranger)
  }

  private full(name: string): string {
    return `${name}.${this.settings.domain}`
  }

  private get resolverName(): string {
    return this.full('ns')
  }

  private reverseZoneOf(name: string): string | null {
    if (!name.endsWith('.arpa')) return null
    for (let at = 0; at >= 0; ) {
      const zone = at === 0 ? name : name.slice(at)
      if (this.reverseZones.has(zone)) return zone
      const dot = name.indexOf('.', at)
      at = dot < 0 ? -1 : dot + 1
    }
    return null
  }

  private ownFinding(name: string, type: string, caller: Caller): Finding {
    const { domain } = this.settings
    const srv = /^_([^.]+)\._(tcp|udp|sctp)\.(.+)$/.exec(name)
    if (srv) return this.srvFinding(srv[1]!, srv[2] as Protocol, srv[3]!, type, caller)
    const protocol = /^_(?:tcp|udp|sctp)\.(.+)$/.exec(name)
    const subject = this.subjectOf(protocol?.[1] ?? name, caller)
    if (subject && !protocol) return this.finding(domain, true, this.addressRecords(null, subject, type))
    if (name === 'ns') return this.finding(domain, true, this.recordsOf(null, this.settings.resolver, type))
    return this.finding(domain, subject !== null || name === 'tasks', [])
  }

  private localFinding(name: string, entries: readonly Entry[], type: string, caller?: Caller): Finding {
    const services = caller ? servicesOf(visible(entries, caller)) : []
    if (services.length === 0) return this.finding(name, false, [])
    return this.finding(
      name,
      true,
      this.addressRecords(null, { services, part: 'service', base: name }, type),
    )
  }

  private reverseFinding(name: string, zone: string, type: string, caller: Caller): Finding {
    if (name === zone) return this.apexFinding(zone, type)
    const entries = visible(this.index.withAddress(name), caller)
    const targets = new Set(entries.map(({ target }) => target))
    if (this.ownReverse.has(name)) targets.add(this.resolverName)
    const records: ZoneRecord[] = []
    if (type === 'PTR' || type === 'ANY')
      for (const data of targets) records.push({ name: null, type: 'PTR', data })
    return this.finding(zone, targets.size > 0 || !isWholeReverse(name), records)
  }

  private apexFinding(zone: string, type: string): Finding {
    const records: ZoneRecord[] = []
    if (type === 'SOA' || type === 'ANY') records.push({ ...this.soa(zone), name: null })
    if (type === 'NS' || type === 'ANY') records.push({ name: null, type: 'NS', data: this.resolverName })
    const additionals = type === 'NS' ? this.recordsOf(this.resolverName, this.settings.resolver, 'ANY') : []
    return this.finding(zone, true, records, additionals)
  }

  private srvFinding(label: string, protocol: Protocol, of: string, type: string, caller: Caller): Finding {
    const { domain } = this.settings
    const subject = this.subjectOf(of, caller)
    const asked = portOfLabel(label)
    if (!subject || asked === null) return this.finding(domain, false, [])
    const found = subject.services.flatMap(service => {
      const port = findPort(service.ports, protocol, asked)
      return port ? [{ service, port }] : []
    })
    if (found.length === 0) return this.finding(domain, false, [])
    if (type !== 'SRV' && type !== 'ANY') return this.finding(domain, true, [])
    const answers: ZoneRecord[] = []
    const additionals: ZoneRecord[] = []
    const add = (target: string, port: number, addresses: readonly string[]) => {
      if (!isName(target)) return
      answers.push({ name: null, type: 'SRV', data: { priority: 0, weight: 0, port, target } })
      additionals.push(...this.recordsOf(target, addresses, 'ANY'))
    }
    for (const { service, port } of found) {
      const base = subject.services.length === 1 ? subject.base : dottedName(service.name)
      if (subject.part === 'service' && service.vips.length > 0) add(this.full(base), port.port, service.vips)
      else
        for (const { addresses, port: own } of this.shuffled(endpointsOf(service, subject.part)))
          add(this.full(`${labelOf(addresses[0] ?? '')}.${base}`), own ?? port.target, addresses)
    }
    return this.finding(domain, true, answers, additionals)
  }

  private subjectOf(name: string, caller: Caller): Subject | null {
    const direct = this.servicesNamed(name, caller)
    if (direct) return { services: direct, part: 'service', base: name }
    const dot = name.indexOf('.')
    if (dot < 0) return null
    const label = name.slice(0, dot)
    const base = name.slice(dot + 1)
    const services = this.servicesNamed(base, caller)
    if (!services) return null
    if (label === 'tasks') return { services, part: 'tasks', base }
    const isThere = services.some(service => endpointsOf(service, { label }).length > 0)
    return isThere ? { services, part: { label }, base } : null
  }

  /** null: the caller knows of nobody by that name; none: there is no telling which, or only names below it. */
  private servicesNamed(name: string, caller: Caller): NamedService[] | null {
    const entries = visible(this.index.withName(name), caller)
    if (entries.length === 0) return null
    const rank = Math.min(...entries.map(entry => entry.rank))
    if (rank === ranks.parent) return []
    const services = servicesOf(entries.filter(entry => entry.rank === rank))
    if (rank !== ranks.short || services.length === 1) return services
    return services.filter(service => projectOf(service.name) === caller.project)
  }

  private addressRecords(name: string | null, { services, part }: Subject, type: string): ZoneRecord[] {
    const addresses = services.flatMap(service =>
      part === 'service' && service.vips.length > 0
        ? service.vips
        : endpointsOf(service, part).flatMap(endpoint => endpoint.addresses),
    )
    return this.recordsOf(name, this.shuffled([...new Set(addresses)]), type)
  }

  private recordsOf(name: string | null, addresses: readonly string[], type: string): ZoneRecord[] {
    const records: ZoneRecord[] = []
    for (const data of addresses) {
      const own = isIPv6(data) ? 'AAAA' : 'A'
      if (type === own || type === 'ANY') records.push({ name, type: own, data })
    }
    return records
  }

  private finding(
    zone: string,
    exists: boolean,
    answers: readonly ZoneRecord[],
    additionals: readonly ZoneRecord[] = [],
  ): Finding {
    return { exists, answers, additionals, soa: this.soa(zone) }
  }

  private soa(zone: string): ZoneRecord {
    const { domain, ttl } = this.settings
    const rname = `hostmaster.${domain}`
    const { resolverName: mname, serial } = this
    return {
      name: zone,
      type: 'SOA',
      data: { mname, rname, serial, refresh: 3600, retry: 600, expire: 86_400, minimum: ttl },
    }
  }

  private shuffled<Item>(items: Item[]): Item[] {
    for (let last = items.length - 1; last > 0; last--) {
      const other = Math.floor(this.random() * (last + 1))
      const item = items[last]!
      items[last] = items[other]!
      items[other] = item
    }
    return items
  }
}

function visible(entries: readonly Entry[], { scopes }: Caller): readonly Entry[] {
  return entries.filter(
    ({ service }) => service.scopes.length === 0 || service.scopes.some(scope => scopes.includes(scope)),
  )
}

function servicesOf(entries: readonly Entry[]): NamedService[] {
  return [...new Set(entries.map(({ service }) => service))]
}

/** A new list. */
function endpointsOf({ endpoints }: NamedService, part: Subject['part']): NamedEndpoint[] {
  if (typeof part === 'string') return [...endpoints]
  return endpoints.filter(({ addresses }) => addresses.some(address => labelOf(address) === part.label))
}

/** The port of a VIP that has this number; or, without one, whose target has. */
function findPort(
  ports: readonly VipPort[],
  protocol: Protocol,
  asked: number,
): { readonly port: number; readonly target: number } | null {
  const own = ports.filter(each => each.protocol === protocol)
  for (const { port, target } of own)
    if (asked >= port.first && asked <= port.last)
      return { port: asked, target: target.first + asked - port.first }
  for (const { port, target } of own)
    if (asked >= target.first && asked <= target.last)
      return { port: port.first + asked - target.first, target: asked }
  return null
}
