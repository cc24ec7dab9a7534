/**
 * What the sandbox's IPVS holds, read with as little work as it takes.
 *
 * Netlink tells everything of a destination, but only of one virtual service at a time,
 * and each such question costs more than all that is said in one line of the kernel's
 * table. So netlink is asked for the destinations of those virtual services whose lines
 * are not what they were when it was asked last, and for a share of all others: what the
 * table does not show (thresholds) is found within `rounds` observations. A table that is as it
 * was needs no other question but that for timeouts.
 */
import { isDeepStrictEqual } from 'node:util'
import { crc32 } from 'node:zlib'
import { sameObject } from '../kernel/diff.js'
import type { Observation } from '../kernel/driver.js'
import {
  type DestinationObject,
  type DestinationReading,
  type KernelObject,
  keyOf,
  keyOfVirtualService,
  type ServiceMatch,
  type TimeoutsObject,
  type VirtualServiceObject,
} from '../kernel/objects.js'
import type { NetlinkConnection } from '../netlink/connection.js'
import {
  type DestinationReading as DestinationAnswer,
  type ForwardingMethod,
  getTimeouts,
  listDestinations,
  listServices,
} from '../netlink/ipvs.js'
import { destinationObject, keyOfService, serviceObject } from './ipvs-objects.js'
import { configurationOf, keysOfPart, linesOf, readingOf, unused } from './ipvs-table.js'
import { sameList } from './same-list.js'

/** Every virtual service is asked for once in so many observations. */
export const rounds = 15
/** So many are asked for in one exchange. */
const together = 256

/** What was seen of a virtual service last. */
interface Seen {
  /** In which round it is asked for: so many share one as make an exchange. */
  readonly number: number
  readonly service: VirtualServiceObject
  readonly destinations: readonly DestinationObject[]
  /** The destinations' forwarding methods; null: masquerade, all of them. */
  readonly methods: readonly ForwardingMethod[] | null
  /** null: no destination has connections. */
  readings: readonly DestinationReading[] | null
  /**
   * Checksum of its part of the table, by which it is known again: one in 2^32 that differs is taken
   * for the same until netlink is asked. null: what the table says of these destinations is not known.
   */
  checksum: number | null
  /** The observation in which the table showed it as it was seen. */
  shownIn: number
}

/** A part of the table as it was. */
interface Part {
  /** null: it showed something that had not been seen. */
  readonly checksum: number | null
  /** What it showed. */
  readonly seen: readonly Seen[]
}

/** Reads /proc/net/ip_vs of a namespace; see ipvs-table.ts. */
type TableReader = (onPart: (part: Buffer) => void) => Promise<void>

const nothing: Observation = { objects: [], readings: new Map() }

export class IpvsSight {
  private seen = new Map<string, Seen>()
  private table: Part[] = []
  private timeouts: TimeoutsObject | null = null
  private last = nothing
  private observations = 0
  private made = 0

  /** Forgets what was seen of virtual services: something about them is being changed. */
  forget<Item>(items: readonly Item[], matchOf: (item: Item) => ServiceMatch | null): void {
    this.table = []
    if (this.seen.size === 0) return
    for (const item of items) {
      const match = matchOf(item)
      if (match !== null) this.seen.delete(keyOfVirtualService(match))
    }
  }

  /**
   * `readTable`: of the namespace that the connection is in. Each virtual service is told with its
   * destinations behind it. Readings are told of destinations that drain and of those with
   * connections; of a hundred thousand others there is nothing to tell.
   */
  async observe(connection: NetlinkConnection, readTable: TableReader): Promise<Observation> {
    const observation = ++this.observations
    // First: a kernel without IPVS says so here.
    const [timeouts] = await connection.get(getTimeouts())
    const isSame = await this.lookAtTable(readTable, observation)
    // The table does not say either which family a fwmark without destinations is for.
    const isKnown = isSame && observation % rounds !== 0
    const isNews = isKnown ? await this.askShare(connection) : await this.askAll(connection)
    const now: TimeoutsObject | null = timeouts ? { kind: 'timeouts', ...timeouts } : null
    if (!now || !this.timeouts || !sameObject(now, this.timeouts)) this.timeouts = now
    if (isNews || !isKnown || this.last.objects.at(-1) !== this.timeouts) this.tell()
    return this.last
  }

  /** Whether the table is what it was in the observation before, and all it shows had been seen then. */
  private async lookAtTable(readTable: TableReader, observation: number): Promise<boolean> {
    let count = 0
    let isSame = this.table.length > 0
    await readTable(bytes => {
      const place = count++
      const checksum = crc32(bytes) | 0
      const part = this.table[place]
      if (part?.checksum === checksum) {
        for (const seen of part.seen) seen.shownIn = observation
        return
      }
      isSame = false
      this.table[place] = this.show(bytes, checksum, observation)
    })
    isSame &&= count === this.table.length
    this.table.length = count
    return isSame
  }

  /** Whether it is the turn of a virtual service to be asked for. */
  private isDue({ number }: Seen): boolean {
    return Math.floor(number / together) % rounds === this.observations % rounds
  }

  /** Asks for the destinations of those whose turn it is; whether anything is new about them. */
  private async askShare(connection: NetlinkConnection): Promise<boolean> {
    const due: VirtualServiceObject[] = []
    for (const seen of this.seen.values()) if (this.isDue(seen)) due.push(seen.service)
    return this.ask(connection, due, this.seen)
  }

  /** Asks which virtual services there are, and for all but those that the table showed as they were seen. */
  private async askAll(connection: NetlinkConnection): Promise<boolean> {
    const services = (await connection.dump(listServices())).map(serviceObject)
    const next = new Map<string, Seen>()
    const asked: VirtualServiceObject[] = []
    for (const service of services) {
      const key = keyOfVirtualService(service.match)
      const seen = this.seen.get(key)
      const same = seen && sameObject(seen.service, service) ? seen.service : service
      const isShown = seen?.shownIn === this.observations && seen.service === same
      if (!isShown || this.isDue(seen)) asked.push(same)
      // In the kernel's order; what is answered takes its place.
      next.set(key, seen ?? this.unseen(service))
    }
    const isNews = await this.ask(connection, asked, next)
    this.seen = next
    return isNews
  }

  private async ask(
    connection: NetlinkConnection,
    services: readonly VirtualServiceObject[],
    next: Map<string, Seen>,
  ): Promise<boolean> {
    let isNews = false
    // The answers to all questions together would be some hundred megabytes.
    for (let at = 0; at < services.length; at += together) {
      const some = services.slice(at, at + together)
      const answers = await connection.dumpAll(some.map(({ match }) => listDestinations(keyOfService(match))))
      for (const [i, service] of some.entries()) {
        const key = keyOfVirtualService(service.match)
        const before = next.get(key)!
        const seen = this.look(service, answers[i] ?? [], before)
        if (sameSeen(before, seen)) continue
        next.set(key, seen)
        isNews = true
      }
    }
    return isNews
  }

  private unseen(service: VirtualServiceObject): Seen {
    const number = this.made++
    return { number, service, destinations: [], methods: null, readings: null, checksum: null, shownIn: 0 }
  }

  private look(service: VirtualServiceObject, answers: readonly DestinationAnswer[], before: Seen): Seen {
    return {
      number: before.number,
      service,
      destinations: answers.map(answer => destinationObject(service.match, answer)),
      methods: answers.every(({ forwardingMethod }) => forwardingMethod === 'masquerade')
        ? null
        : answers.map(({ forwardingMethod }) => forwardingMethod),
      readings: used(answers.map(({ active, inactive }) => readingOf(active, inactive))),
      // Whether the table says the same is not known: it was read earlier.
      checksum: null,
      shownIn: 0,
    }
  }

  /** Finds out whose part of the table this is, and whether it shows the destinations as they were seen. */
  private show(bytes: Buffer, checksum: number, observation: number): Part {
    const shown: Seen[] = []
    const keys = keysOfPart(bytes)
    for (const key of keys) {
      const seen = this.seen.get(key)
      if (!seen) continue
      if (isShown(seen, bytes, checksum)) {
        seen.shownIn = observation
        shown.push(seen)
      }
      // One that may be the other family's says nothing of this one.
      else if (keys.length === 1) this.seen.delete(key)
    }
    return { checksum: shown.length > 0 || keys.length === 0 ? checksum : null, seen: shown }
  }

  /** What is told from now on; the same list of objects where each of them is the same. */
  private tell(): void {
    const objects: KernelObject[] = []
    const known = new Map<string, DestinationReading>()
    for (const { service, destinations, readings } of this.seen.values()) {
      objects.push(service)
      for (let i = 0; i < destinations.length; i++) {
        const destination = destinations[i]!
        const reading = readings?.[i] ?? unused
        objects.push(destination)
        if (reading !== unused || destination.weight === 0) known.set(keyOf(destination), reading)
      }
    }
    if (this.timeouts) objects.push(this.timeouts)
    this.last = { objects: sameList(this.last.objects, objects), readings: known }
  }
}

function used(readings: readonly DestinationReading[]): readonly DestinationReading[] | null {
  return readings.every(reading => reading === unused) ? null : readings
}

function sameSeen(some: Seen, other: Seen): boolean {
  return (
    some.service === other.service &&
    some.destinations.length === other.destinations.length &&
    some.destinations.every((each, i) => sameObject(each, other.destinations[i]!)) &&
    isDeepStrictEqual(some.methods, other.methods)
  )
}

/** Whether a part of the table shows the destinations as they were seen; notes their connections where it does. */
function isShown(seen: Seen, part: Buffer, checksum: number): boolean {
  const { destinations, methods } = seen
  if (checksum === seen.checksum) return true
  const lines = linesOf(part)
  const isSame =
    lines.length === destinations.length &&
    lines.every(
      ({ configuration }, i) =>
        configuration === configurationOf(destinations[i]!, methods?.[i] ?? 'masquerade'),
    )
  if (!isSame) return false
  seen.readings = used(lines.map(({ reading }) => reading))
  seen.checksum = checksum
  return true
}
