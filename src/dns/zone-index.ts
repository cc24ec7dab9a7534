/**
 * Services filed under each of their names, so that a look-up walks nothing and a change
 * touches only what is new. Whom a name is for is found out in zone.ts.
 */
import type { NamedService, ZoneChange, ZoneSettings } from './named.js'
import { dottedName, isUsableName, labelOf, projectOf, reverseName, shortName } from './names.js'

/** Of several services of one name those of the lowest rank have it. `parent`: it only has names below it. */
export const ranks = { own: 0, alias: 1, short: 2, parent: 3 } as const

export interface Entry {
  readonly service: NamedService
  readonly rank: number
  /** Under the name of an address: the name it has, whole; else ''. */
  readonly target: string
}

type Index = Map<string, Entry[]>

export class ZoneIndex {
  private readonly settings: ZoneSettings
  private readonly services = new Map<string, NamedService>()
  /** By name without domain. */
  private readonly named: Index = new Map()
  /** By whole name. */
  private readonly local: Index = new Map()
  private readonly reverse: Index = new Map()

  constructor(settings: ZoneSettings) {
    this.settings = settings
  }

  /** `name`: without domain, in lower case, like all names here. */
  withName(name: string): readonly Entry[] {
    return this.named.get(name) ?? []
  }

  withLocalName(name: string): readonly Entry[] {
    return this.local.get(name) ?? []
  }

  /** `name`: `3.0.254.10.in-addr.arpa`. */
  withAddress(name: string): readonly Entry[] {
    return this.reverse.get(name) ?? []
  }

  apply({ services, gone }: Pick<ZoneChange, 'services' | 'gone'>): void {
    for (const name of gone) this.take(name)
    for (const service of services) {
      this.take(service.name)
      this.services.set(service.name, service)
      for (const [index, key, entry] of this.entriesOf(service)) {
        const filed = index.get(key)
        if (filed) filed.push(entry)
        else index.set(key, [entry])
      }
    }
  }

  private take(name: string): void {
    const service = this.services.get(name)
    if (!service) return
    this.services.delete(name)
    for (const [index, key] of this.entriesOf(service)) {
      const left = (index.get(key) ?? []).filter(entry => entry.service !== service)
      if (left.length > 0) index.set(key, left)
      else index.delete(key)
    }
  }

  /** Where a service is filed: index, key and what to find there. */
  private *entriesOf(service: NamedService): Generator<[Index, string, Entry]> {
    const own = dottedName(service.name)
    const names: [string, number][] = [[own, ranks.own]]
    if (projectOf(service.name) !== null) names.push([shortName(service.name), ranks.short])
    for (const alias of service.aliases) names.push([alias.toLowerCase(), ranks.alias])
    for (const [name, rank] of names) {
      if (!this.isUsable(name)) continue
      yield [this.named, name, { service, rank, target: '' }]
      for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1))
        yield [this.named, name.slice(dot + 1), { service, rank: ranks.parent, target: '' }]
    }
    for (const name of service.localNames)
      yield [this.local, name.toLowerCase(), { service, rank: ranks.own, target: '' }]
    if (!this.isUsable(own)) return
    const { domain } = this.settings
    const addressed = (address: string, name: string): [Index, string, Entry] => [
      this.reverse,
      reverseName(address),
      { service, rank: ranks.own, target: `${name}.${domain}` },
    ]
    for (const vip of service.vips) yield addressed(vip, own)
    for (const { addresses } of service.endpoints)
      for (const address of addresses) yield addressed(address, `${labelOf(addresses[0] ?? '')}.${own}`)
  }

  private isUsable(name: string): boolean {
    return isUsableName(name, this.settings.domain)
  }
}
