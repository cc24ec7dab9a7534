/**
 * What the sandbox's IPVS holds, read with as little work as it takes.
 *
 * Netlink tells everything of a destination, but only of one virtual service at a time,
 * and each such question costs more than all that is said in one line of the kernel's
 * table. So netlink is asked for the destinations of those virtual services whose lines
 * are not what they were when it was asked last, and for a share of all others: what the
 * table does not show (thresholds) is found within `rounds` observations.
 */
import {
  type DestinationObject,
  type DestinationReading,
  type KernelObject,
  keyOf,
  keyOfVirtualService,
  type ServiceMatch,
} from '../kernel/objects.js'
import type { NetlinkConnection } from '../netlink/connection.js'
import {
  type DestinationReading as DestinationAnswer,
  type ForwardingMethod,
  getTimeouts,
  listDestinations,
  listServices,
  type ServiceKey,
} from '../netlink/ipvs.js'
import { destinationObject, serviceObject } from './ipvs-objects.js'
import { configurationOf, keysOfPart, linesOf, type Part, partsOf, readingOf, unused } from './ipvs-table.js'

/** Every virtual service is asked for once in so many observations. */
export const rounds = 15
/** So few are all asked for each time: it is one exchange. */
const few = 256

/** What was seen of a virtual service last. */
interface Seen {
  /** Which share of all it belongs to. */
  readonly number: number
  readonly keysOfPart: readonly string[]
  readonly destinations: readonly DestinationObject[]
  /** The destinations' forwarding methods; null: masquerade, all of them. */
  readonly methods: readonly ForwardingMethod[] | null
  readings: readonly DestinationReading[]
  /** Its part of the table of the last observation; null: it is not known to say what the destinations are. */
  part: Part | null
}

export class IpvsSight {
  private seen = new Map<string, Seen>()
  private table: Buffer = Buffer.alloc(0)
  /** Of the table before: where the next one is read to. */
  private spare: ArrayBufferLike = new ArrayBuffer(0)
  private round = 0
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
   * `readTable`: reads /proc/net/ip_vs of the namespace that the connection is in. Readings are told
   * of destinations that drain and of those with connections; of a hundred thousand others there is
   * nothing to tell.
   */
  async observe(
    connection: NetlinkConnection,
    readTable: (into: ArrayBufferLike) => Promise<Buffer>,
  ): Promise<{ objects: KernelObject[]; readings: Map<string, DestinationReading> }> {
    const services = await connection.dump(listServices())
    const table = services.length > few ? await readTable(this.spare) : Buffer.alloc(0)
    const parts = partsOf(table)
    const shares = Math.min(rounds, Math.ceil(services.length / few))
    const round = this.round++ % shares
    const next = new Map<string, Seen>()
    const asked: { readonly key: ServiceKey; readonly match: ServiceMatch }[] = []
    const found = services.map(serviceObject)
    for (const [i, { match }] of found.entries()) {
      const key = keyOfVirtualService(match)
      const seen = this.seen.get(key)
      const part = seen?.keysOfPart.flatMap(each => parts.get(each) ?? [])[0]
      const isKnown = seen && part && seen.number % shares !== round && this.isSame(seen, part, table)
      if (isKnown) next.set(key, seen)
      else asked.push({ key: services[i]!.key, match })
    }
    const answers = await connection.dumpAll(asked.map(({ key }) => listDestinations(key)))
    for (const [i, { match }] of asked.entries()) {
      const key = keyOfVirtualService(match)
      next.set(key, this.look(match, answers[i] ?? [], this.seen.get(key)))
    }
    this.seen = next
    this.spare = this.table.buffer
    this.table = table
    return this.told(found, await connection.get(getTimeouts()))
  }

  private told(
    found: readonly ReturnType<typeof serviceObject>[],
    [timeouts]: readonly { readonly tcp: number; readonly tcpFin: number; readonly udp: number }[],
  ): { objects: KernelObject[]; readings: Map<string, DestinationReading> } {
    const objects: KernelObject[] = [...found]
    const readings = new Map<string, DestinationReading>()
    for (const { match } of found) {
      const seen = this.seen.get(keyOfVirtualService(match))!
      for (let i = 0; i < seen.destinations.length; i++) {
        const destination = seen.destinations[i]!
        const reading = seen.readings[i]!
        objects.push(destination)
        if (reading !== unused || destination.weight === 0) readings.set(keyOf(destination), reading)
      }
    }
    if (timeouts) objects.push({ kind: 'timeouts', ...timeouts })
    return { objects, readings }
  }

  private look(match: ServiceMatch, answers: readonly DestinationAnswer[], before: Seen | undefined): Seen {
    const destinations = answers.map(answer => destinationObject(match, answer))
    return {
      number: before?.number ?? this.made++,
      keysOfPart: before?.keysOfPart ?? keysOfPart(match),
      destinations,
      methods: answers.every(({ forwardingMethod }) => forwardingMethod === 'masquerade')
        ? null
        : answers.map(({ forwardingMethod }) => forwardingMethod),
      readings: answers.map(({ active, inactive }) => readingOf(active, inactive)),
      // Whether the table says the same is not known: it was read earlier.
      part: null,
    }
  }

  /** Whether the table shows the destinations as they were seen; notes where it does, and their connections. */
  private isSame(seen: Seen, part: Part, table: Buffer): boolean {
    const { part: before, destinations, methods } = seen
    const isSameText =
      before !== null && this.table.compare(table, part.start, part.end, before.start, before.end) === 0
    if (!isSameText) {
      const lines = linesOf(table, part)
      const isSame =
        lines.length === destinations.length &&
        lines.every(
          ({ configuration }, i) =>
            configuration === configurationOf(destinations[i]!, methods?.[i] ?? 'masquerade'),
        )
      if (!isSame) return false
      seen.readings = lines.map(({ reading }) => reading)
    }
    seen.part = part
    return true
  }
}
