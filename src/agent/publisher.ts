/**
 * Changes of the stored services that people ask for: ports published and taken away,
 * services created, changed and removed, files applied. Each is one transaction of the
 * store, and over when a pass has made it so. The agent's other half tells of them.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { InputError, MeshError } from '../errors.js'
import { type PortUse, settlePorts } from '../model/conflicts.js'
import { standsFor } from '../model/names.js'
import { formatPort, type PortRange, type PortSpec } from '../model/ports.js'
import { checkService, type Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'
import type { ServiceFields } from '../model/service-fields.js'
import { formatVipPort } from '../model/vip-ports.js'
import { exhaustion, vipsInPool } from '../model/vips.js'
import { readListeners } from '../sources/listeners.js'
import type { PortKey, PublishOptions } from '../status/agent.js'
import { sameRange } from '../status/find.js'
import type { ApplyView, RemoveView } from '../status/views.js'
import type { Loop } from './loop.js'
import { formerOf, keepChosen, mergePublication, withFields } from './merge-publication.js'
import { placed, resolved, selectorOf } from './resolve-publication.js'
import { settleAll } from './settle-all.js'

/** What of the loop it takes. */
export type PublisherLoop = Pick<Loop, 'collected' | 'store' | 'settled' | 'hasHeardDocker'>

export interface PublisherOptions {
  readonly loop: PublisherLoop
  readonly portRange: PortRange
  readonly reserved: PortUse['reserved']
  /** null: this mesh has no VIPs. */
  readonly vipPool: string | null
  /** Throws MESH_UNSUPPORTED when the kernel lacks what a publication asks for. */
  readonly requireOfKernel: (publication: Publication) => Promise<void>
  /** Whether services that labels declare are theirs alone: some manager mirrors labels. */
  readonly labelsInForce: () => boolean
  readonly log: Logger
}

/** A change that was made. */
export interface Changed {
  /** As it is stored now. */
  readonly service: Service
  /** Nothing of the name was stored before. */
  readonly created: boolean
  /** What a person should know though it was done, a sentence each. */
  readonly warnings: readonly string[]
}

/** A port that was taken away. */
export interface Unpublished {
  /** As `8888:80/tcp`. */
  readonly removed: readonly string[]
  /** What is stored of the service now; null: nothing. */
  readonly left: Service | null
}

/** Whether a service is one without a published port. */
export function standsWithoutPorts({ vip, vipPorts, endpointMode }: Service): boolean {
  return endpointMode === 'dnsrr' || (vip !== null && vipPorts.length > 0)
}

export class Publisher {
  private readonly options: PublisherOptions
  private readonly loop: PublisherLoop

  constructor(options: PublisherOptions) {
    this.options = options
    this.loop = options.loop
  }

  async publish(publication: Publication, { given }: Pick<PublishOptions, 'given'>): Promise<Changed> {
    const warnings: string[] = []
    const asked = resolved(this.loop, publication, warnings, () => !given.has('selector'))
    return this.changeOne(asked, warnings, former => {
      this.refuseDeclared(former, `--label-add mesh.publish=${asked.ports.map(formatPort).join(',')}`)
      return mergePublication(asked, former, given)
    })
  }

  async create(publication: Publication): Promise<Changed> {
    const { name } = publication
    const warnings: string[] = []
    const asked = resolved(this.loop, publication, warnings, () => false)
    return this.changeOne(asked, warnings, former => {
      this.refuseDeclared(former, `--label-add mesh.port=${asked.vipPorts.map(formatVipPort).join(',')}`)
      if (former)
        throw new InputError(
          'service',
          name,
          'there is one of this name already',
          `change it with: meshctl service set ${name}`,
        )
      return asked
    })
  }

  async set(name: string, fields: ServiceFields): Promise<Changed> {
    const warnings: string[] = []
    const stored = (await this.loop.store.list()).find(each => each.name === name)
    if (!stored) throw this.notStored(name)
    const asked = placed(this.loop, withFields(stored, fields))
    const byName = fields.selector === null ? selectorOf(this.loop, asked, warnings) : undefined
    const given = { ...fields, ...(fields.endpoints && { endpoints: asked.endpoints }) }
    return this.changeOne(asked, warnings, former => {
      if (!former) throw this.notStored(name)
      this.refuseDeclared(former, '--label-add mesh.LABEL=VALUE')
      return withFields(former, { ...given, ...(byName !== undefined && { selector: byName }) })
    })
  }

  /** Removes the service with its VIP and names; with `force` its published ports too. */
  async remove(name: string, { force }: { readonly force: boolean }): Promise<RemoveView> {
    let removed: Service | undefined
    await this.loop.store.update(services => {
      const service = services.find(each => each.name === name)
      if (!service) throw this.notStored(name)
      this.refuseDeclared(service, '--label-rm mesh.port --label-rm mesh.vip')
      if (service.ports.length > 0 && !force)
        throw new InputError(
          'service',
          name,
          `it is published on ${service.ports.map(formatPort).join(', ')}`,
          'unpublish that first, or add --force to take it away too',
        )
      removed = service
      return services.filter(each => each !== service)
    })
    await this.loop.settled()
    return { name, vip: removed!.vip, removed: removed!.ports.map(formatPort) }
  }

  /** Tells the ports that are gone; the service goes with the last, unless it stands without. */
  async unpublish(port: PortKey, name: string): Promise<Unpublished> {
    let unpublished: Unpublished = { removed: [], left: null }
    await this.loop.store.update(services => {
      const service = services.find(each => each.name === name)
      if (!service) throw this.notStored(name)
      this.refuseDeclared(service, '--label-rm mesh.publish')
      const going = service.ports.find(
        each => each.protocol === port.protocol && sameRange(each.published, port.published),
      )
      if (!going)
        throw new MeshError(
          'MESH_NOT_FOUND',
          service.ports.length === 0
            ? `service ${name} publishes no port`
            : `service ${name} does not publish that port; it publishes ${service.ports.map(formatPort).join(', ')}`,
        )
      const left = { ...service, ports: service.ports.filter(each => each !== going) }
      const stays = left.ports.length > 0 || standsWithoutPorts(left)
      unpublished = { removed: [formatPort(going)], left: stays ? left : null }
      const rest = services.filter(each => each !== service)
      return stays ? [...rest, left] : rest
    })
    await this.loop.settled()
    return unpublished
  }

  /** All services of a file, or none. */
  async apply(publications: readonly Publication[]): Promise<readonly ApplyView[]> {
    let views: readonly ApplyView[] = []
    const warnings = new Map<string, string[]>(publications.map(each => [each.name, []]))
    const asked = publications.map(each =>
      // What the name stood for when it was applied first stays so; what was selected goes with the field.
      resolved(this.loop, each, warnings.get(each.name)!, former => standsFor(each.name, former)),
    )
    const use = await this.portUse(asked.flatMap(({ ports }) => ports))
    await this.change(asked, stored => {
      const formers = new Map(asked.map(({ name }) => [name, formerOf(stored, name)]))
      const wanted = asked.map(publication => {
        const { name, ports } = publication
        const former = formers.get(name)
        this.refuseDeclared(former, `--label-add mesh.publish=${ports.map(formatPort).join(',')}`)
        return { ...publication, ports: keepChosen(ports, former) }
      })
      wanted.forEach(checkService)
      const settled = settleAll(wanted, stored, (publication, services) =>
        settlePorts(publication, { ...use, services: this.others(services) }, this.options.portRange),
      )
      views = settled.map((service, i) => {
        const { name, ports, vip } = service
        const former = formers.get(name)
        return {
          name,
          result: !former ? 'created' : isDeepStrictEqual(former, service) ? 'unchanged' : 'changed',
          ports: ports.map(formatPort),
          vip,
          warnings: [...(warnings.get(name) ?? []), ...this.vipWarnings(wanted[i]!, service)],
        }
      })
      return settled
    })
    await this.loop.settled()
    return views
  }

  notStored(name: string): MeshError {
    const origin = this.loop.collected.services.origins.get(name)
    return new MeshError(
      'MESH_NOT_FOUND',
      origin !== undefined && origin !== this.loop.store.name
        ? `service ${name} is defined by ${origin}; change it there`
        : `service "${name}": not published; \`meshctl ls\` lists what is`,
    )
  }

  /** Stores what `wish` makes of the stored service of that name. */
  private async changeOne(
    asked: Publication,
    warnings: string[],
    wish: (former: Service | undefined) => Publication,
  ): Promise<Changed> {
    const { name } = asked
    const use = await this.portUse(asked.ports)
    let created = false
    let wanted = asked
    const [changed] = await this.change([asked], services => {
      const former = formerOf(services, name)
      created = former === undefined
      wanted = wish(former)
      checkService(wanted)
      return [settlePorts(wanted, { ...use, services: this.others(services) }, this.options.portRange)]
    })
    const service = changed!
    const lacks = this.vipWarnings(wanted, service)
    for (const reason of lacks) this.options.log.warn({ service: name, reason }, 'service has no VIP')
    await this.loop.settled()
    return { service, created, warnings: [...warnings, ...lacks] }
  }

  /** Stores what `settle` makes of the stored services, in place of those of the same names. */
  private async change(
    asked: readonly Publication[],
    settle: (stored: readonly Service[]) => Service[],
  ): Promise<Service[]> {
    for (const publication of asked) await this.options.requireOfKernel(publication)
    let settled: Service[] = []
    await this.loop.store.update(stored => {
      settled = settle(stored)
      const names = new Set(settled.map(({ name }) => name))
      return [...stored.filter(({ name }) => !names.has(name)), ...settled]
    })
    return settled
  }

  /** A published port needs no VIP: where none is left that is told and no more. */
  private vipWarnings(wanted: Publication, { vip }: Service): string[] {
    const { vipPool } = this.options
    if (wanted.vip !== 'auto' || wanted.endpointMode === 'dnsrr' || vip !== null || vipPool === null)
      return []
    return [`${wanted.name} has no VIP: ${exhaustion(vipsInPool(vipPool), vipPool)}`]
  }

  /** What the mesh publishes: the store's services as they are now, and those of files. */
  private others(stored: readonly Service[]): Service[] {
    const { services, origins } = this.loop.collected.services
    return [...stored, ...services.filter(({ name }) => origins.get(name) !== this.loop.store.name)]
  }

  /** What labels declare is changed there; `change` is how. */
  private refuseDeclared(service: Service | undefined, change: string): void {
    if (service?.declaredBy !== 'swarm' || !this.options.labelsInForce()) return
    const { name } = service
    throw new InputError(
      'service',
      name,
      'labels of the Swarm service declare it',
      `change it there: docker service update ${change} ${name}`,
    )
  }

  private async portUse(ports: readonly PortSpec[]): Promise<Omit<PortUse, 'services'>> {
    return {
      snapshot: this.loop.collected.containers,
      listeners: await readListeners(ports),
      reserved: this.options.reserved,
      vipPool: this.options.vipPool,
    }
  }
}
