/**
 * Published ports that this node leaves to others: somebody here listened on one, or Docker
 * published it, before the mesh did. Who publishes a port is told of those of his own node and
 * refused; a file that is watched, and a node of a cluster, learn of a port when it is published
 * already. What the mesh has in force stays its own, whoever begins to listen later.
 */
import type { Logger } from 'pino'
import type { KernelObject } from '../kernel/objects.js'
import { holderHere, type Listener, type ReservedPort } from '../model/conflicts.js'
import { lengthOf, type PublishedPort } from '../model/ports.js'
import type { Service } from '../model/service.js'
import type { ContainerSnapshot } from '../model/snapshot.js'
import { vipPortsOf } from '../model/vip-ports.js'
import { portSet } from '../planner/names.js'
import { maybeOfClient } from '../sources/listeners.js'
import { formatPortKey } from '../status/find.js'

/** Published port, as `keyOf` has it → who holds it, in words. */
type Held = ReadonlyMap<string, string>

export interface HeldPortsOptions {
  /** What the kernel held when the agent began. */
  readonly found: readonly KernelObject[]
  readonly reserved: readonly ReservedPort[]
  /** Listeners, those on one of the ports with their process; of `known` that is known. */
  readonly readListeners: (
    ports: readonly PublishedPort[],
    known: readonly Listener[],
  ) => Promise<readonly Listener[]>
  readonly log: Logger
}

/** What the mesh is to publish, and what else there is on this node. */
export interface Asked {
  readonly services: readonly Service[]
  readonly snapshot: ContainerSnapshot
}

function keyOf({ protocol, published, address }: PublishedPort): string {
  return `${formatPortKey({ protocol, published })} ${address ?? ''}`
}

export class HeldPorts {
  private readonly options: Omit<HeldPortsOptions, 'found'>
  /** Ports to which the host's sets led when the agent began, until the first look. */
  private found: ReadonlySet<string>
  /** Ports that are in force here, by key. */
  private open = new Set<string>()
  private held: Held = new Map()
  /** Those that were there at the last look. */
  private listeners: readonly Listener[] = []
  private services: readonly Service[] | null = null
  /** What was asked for last by `left`, and what it was told. */
  private kept: {
    readonly held: Held
    readonly of: readonly Service[]
    readonly left: readonly Service[]
  } | null = null

  constructor({ found, ...options }: HeldPortsOptions) {
    this.options = options
    this.found = doorsOf(found)
  }

  /**
   * Finds out who holds what is asked for, until nothing more is. Listeners are read where a port
   * is new, and with `again` where some are held.
   */
  async look(asked: () => Asked, again: boolean): Promise<void> {
    for (let isRepeated = again; ; isRepeated = false) {
      const { services, snapshot } = asked()
      if (services === this.services && !(isRepeated && this.held.size > 0)) return
      await this.compare(services, snapshot)
    }
  }

  /**
   * The services without the ports that are held; what that costs one of them is among its
   * problems. Its VIP answers where it would, and other nodes reach its containers here. One of
   * which nothing is held is the same object, and so is the list as long as nothing changes.
   */
  left(services: readonly Service[]): readonly Service[] {
    const { held } = this
    if (this.kept?.of === services && this.kept.held === held) return this.kept.left
    const left = held.size === 0 ? services : services.map(service => withoutHeld(service, held))
    this.kept = { held, of: services, left }
    return left
  }

  private async compare(services: readonly Service[], snapshot: ContainerSnapshot): Promise<void> {
    const { reserved, readListeners } = this.options
    const open = new Set<string>()
    const fresh: { readonly service: Service; readonly port: PublishedPort }[] = []
    for (const service of services)
      for (const port of service.ports) {
        if (this.open.has(keyOf(port)) || this.found.has(doorOf(port))) open.add(keyOf(port))
        else fresh.push({ service, port })
      }
    const held = new Map<string, string>()
    const ports = fresh.map(({ port }) => port)
    const listeners = ports.length > 0 ? await readListeners(ports, this.listeners) : []
    // Sockets of clients come and go: there may always be one that is in a range.
    const before = new Set(this.listeners.map(({ inode }) => inode))
    const lasting = listeners.filter(each => !maybeOfClient(each) || before.has(each.inode))
    this.listeners = listeners
    for (const { service, port } of fresh) {
      const isRange = lengthOf(port.published) > 1
      const known = isRange && this.held.has(keyOf(port)) ? lasting : listeners
      const holder = holderHere(port, service, { snapshot, listeners: known, reserved })
      if (holder === null) open.add(keyOf(port))
      else held.set(keyOf(port), holder)
    }
    this.tell(held)
    this.services = services
    this.found = new Set()
    this.open = open
    if (held.size !== this.held.size || [...held].some(([key, holder]) => this.held.get(key) !== holder))
      this.held = held
  }

  private tell(held: Held): void {
    const { log } = this.options
    for (const [port, holder] of held)
      if (!this.held.has(port))
        log.warn({ port: port.trim(), reason: holder }, 'port left to others on this node')
    for (const port of this.held.keys())
      if (!held.has(port)) log.info({ port: port.trim() }, 'port left to others no more')
  }
}

/** How the host's sets have it: ports that are bound to an address, and those of SCTP, with one. */
function doorOf({ protocol, published: { first }, address }: PublishedPort): string {
  if (address !== null) return `${address},${protocol}:${first}`
  return protocol === 'sctp' ? `sctp:${first}` : `${portSet[protocol]} ${first}`
}

function doorsOf(objects: readonly KernelObject[]): Set<string> {
  const doors = new Set<string>()
  for (const object of objects)
    if (object.kind === 'entry' && object.place === 'host') {
      const { set, element } = object
      doors.add(`${set} ${element}`)
      doors.add(element)
      doors.add(element.slice(element.indexOf(',') + 1))
    }
  return doors
}

/** What is left of a service, so that it is the same object as long as the same is held. */
const reduced = new WeakMap<Service, { readonly held: Held; readonly service: Service }>()

function withoutHeld(service: Service, held: Held): Service {
  if (!service.ports.some(port => held.has(keyOf(port)))) return service
  const before = reduced.get(service)
  if (before?.held === held) return before.service
  const problems = service.ports.flatMap(port => {
    const holder = held.get(keyOf(port))
    return holder === undefined ? [] : [`this node does not answer on port ${formatPortKey(port)}: ${holder}`]
  })
  const left = {
    ...service,
    ports: service.ports.filter(port => !held.has(keyOf(port))),
    elsewhere: service.ports.filter(port => held.has(keyOf(port))),
    vipPorts: vipPortsOf(service),
    problems: [...service.problems, ...problems],
  }
  reduced.set(service, { held, service: left })
  return left
}
