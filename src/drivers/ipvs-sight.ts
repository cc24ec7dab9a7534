/**
 * What the sandbox's IPVS holds, read with as little work as it takes.
 *
 * Netlink tells everything of a destination, but only of one virtual service at a time,
 * and each such question costs more than all that is said in one line of the kernel's
 * table. So netlink is asked for the destinations of those virtual services whose lines
 * are not what they were when it was asked last, and for a share of all others: what the
 * table does not show (thresholds) is found within `rounds` observations.
 */
import { crc32 } from 'node:zlib'
import {
  type DestinationObject,
  type DestinationReading,
  type KernelObject,
  keyOf,
  keyOfVirtualService,
  type ServiceMatch,
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

/** Every virtual service is asked for once in so many observations. */
export const rounds = 15
/** So few are all asked for each time: it is one exchange. */
const few = 256

/** What was seen of a virtual service last. */
interface Seen {
  /** Which share of all it belongs to. */
  readonly number: number
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

/** Reads /proc/net/ip_vs of a namespace; see ipvs-table.ts. */
type TableReader = (onPart: (part: Buffer) => void) => Promise<void>

export class IpvsSight {
  private seen = new Map<string, Seen>()
  private observations = 0
  private made = 0

  /** Forgets what was seen of virtual services: something about them is being changed. */
  forget<Item>(items: readonly Item[], matchOf: (item: Item) => ServiceMatch | null): void {
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
  async observe(
    connection: NetlinkConnection,
    readTable: TableReader,
  ): Promise<{ objects: KernelObject[]; readings: Map<string, DestinationReading> }> {
    const services = (await connection.dump(listServices())).map(serviceObject)
    const observation = ++this.observations
    if (services.length > few) await readTable(part => this.show(part, observation))
    const shares = Math.min(rounds, Math.ceil(services.length / few))
    const next = new Map<string, Seen>()
    const asked: ServiceMatch[] = []
    for (const { match } of services) {
      const key = keyOfVirtualService(match)
      const seen = this.seen.get(key)
      const isKnown = seen?.shownIn === observation && seen.number % shares !== observation % shares
      if (isKnown) next.set(key, seen)
      else asked.push(match)
    }
    // The answers to all questions together would be some hundred megabytes.
    for (let at = 0; at < asked.length; at += few) await this.ask(connection, asked.slice(at, at + few), next)
    this.seen = next
    return this.told(services, await connection.get(getTimeouts()))
  }

  private told(
    services: readonly VirtualServiceObject[],
    [timeouts]: readonly { readonly tcp: number; readonly tcpFin: number; readonly udp: number }[],
  ): { objects: KernelObject[]; readings: Map<string, DestinationReading> } {
    const objects: KernelObject[] = []
    const known = new Map<string, DestinationReading>()
    for (const service of services) {
      const { destinations, readings } = this.seen.get(keyOfVirtualService(service.match))!
      objects.push(service)
      for (let i = 0; i < destinations.length; i++) {
        const destination = destinations[i]!
        const reading = readings?.[i] ?? unused
        objects.push(destination)
        if (reading !== unused || destination.weight === 0) known.set(keyOf(destination), reading)
      }
    }
    if (timeouts) objects.push({ kind: 'timeouts', ...timeouts })
    return { objects, readings: known }
  }

  private async ask(
    connection: NetlinkConnection,
    matches: readonly ServiceMatch[],
    next: Map<string, Seen>,
  ): Promise<void> {
    const answers = await connection.dumpAll(matches.map(match => listDestinations(keyOfService(match))))
    for (const [i, match] of matches.entries()) {
      const key = keyOfVirtualService(match)
      next.set(key, this.look(match, answers[i] ?? [], this.seen.get(key)))
    }
  }

  private look(match: ServiceMatch, answers: readonly DestinationAnswer[], before: Seen | undefined): Seen {
    return {
      number: before?.number ?? this.made++,
      destinations: answers.map(answer => destinationObject(match, answer)),
      methods: answers.every(({ forwardingMethod }) => forwardingMethod === 'masquerade')
        ? null
        : answers.map(({ forwardingMethod }) => forwardingMethod),
      readings: used(answers.map(({ active, inactive }) => readingOf(active, inactive))),
      // Whether the table says the same is not known: it was read earlier.
      checksum: null,
      shownIn: 0,
    }
  }

  /** Notes whose part of the table this is, and whether it shows the destinations as they were seen. */
  private show(part: Buffer, observation: number): void {
    const keys = keysOfPart(part)
    for (const key of keys) {
      const seen = this.seen.get(key)
      if (!seen) continue
      if (isShown(seen, part)) seen.shownIn = observation
      // One that may be the other family's says nothing of this one.
      else if (keys.length === 1) this.seen.delete(key)
    }
  }
}

function used(readings: readonly DestinationReading[]): readonly DestinationReading[] | null {
  return readings.every(reading => reading === unused) ? null : readings
}

/** Whether a part of the table shows the destinations as they were seen; notes their connections where it does. */
function isShown(seen: Seen, part: Buffer): boolean {
  const { destinations, methods } = seen
  const checksum = crc32(part) | 0
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
