/**
 * What rtnetlink holds in each place, read anew only where something has changed since: a node
 * may have hundreds of containers, and mostly nothing happens in any of them.
 */
import type { Places } from '../kernel/driver.js'
import type { KernelObject, Place } from '../kernel/objects.js'
import { meshProtocol } from '../kernel/ownership.js'
import type { ChangeSocket } from '../netlink/changes.js'
import { getNamespaceId } from '../netlink/link.js'
import {
  type AddressReading,
  type LinkReading,
  listAddresses,
  listForwarding,
  listLinks,
  listNeighbours,
  listRoutes,
  listRules,
  type RouteReading,
  type RuleReading,
} from '../netlink/route.js'
import { objectsOf, type PlaceReading } from './link-objects.js'
import { ownVxlans } from './overlay-objects.js'
import { pathOf, placeIsGone } from './places.js'
import type { Sockets } from './sockets.js'

/** Everything is read anew after so long, milliseconds: for what no message told of. */
const distrust = 300_000

/** What was seen of a place last. */
interface Seen {
  readonly path: string | null
  /** How the sandbox numbers its namespace; -1: the sandbox itself. */
  readonly namespaceId: number
  readonly reading: PlaceReading
}

export class LinkSight {
  private readonly sockets: Sockets
  private readonly clock: () => number
  private changes: ChangeSocket | null = null
  private seen = new Map<Place, Seen>()
  private seenAllAt = 0
  private told: { readonly readings: readonly PlaceReading[]; readonly objects: readonly KernelObject[] } = {
    readings: [],
    objects: [],
  }

  /** `clock`: milliseconds. */
  constructor(sockets: Sockets, clock = () => performance.now()) {
    this.sockets = sockets
    this.clock = clock
  }

  /** The objects of all these places; the same list as long as nothing has changed in them. */
  async observe(places: Places, signal?: AbortSignal): Promise<readonly KernelObject[]> {
    this.forgetChanged(places)
    // First: what it says of the others' namespaces must not be older than what they are read for.
    const sandbox = places.has('mesh') ? await this.look(places, 'mesh', () => true) : null
    const numbered = new Set(sandbox?.links.map(({ peerNamespaceId }) => peerNamespaceId))
    const readings = new Map<Place, PlaceReading>()
    for (const place of places.keys()) {
      signal?.throwIfAborted()
      const reading =
        place === 'mesh'
          ? sandbox
          : await this.look(places, place, ({ namespaceId }) => numbered.has(namespaceId))
      if (reading) readings.set(place, reading)
    }
    for (const place of this.seen.keys()) if (!places.has(place)) this.seen.delete(place)
    return this.objectsOf(readings)
  }

  /** Takes what has changed out of what was seen. Whatever is in there afterwards is so. */
  private forgetChanged(places: Places): void {
    let changes: ChangeSocket | null = null
    try {
      changes = this.sockets.changes(places)
    } catch {
      // No sandbox, or a kernel that tells nothing of other namespaces.
    }
    const isOther = changes !== this.changes
    this.changes = changes
    const now = this.clock()
    const taken = changes?.take(this.devices())
    if (!taken || taken.lost || isOther || now - this.seenAllAt >= distrust) {
      this.seen.clear()
      this.seenAllAt = now
      return
    }
    if (taken.namespaces.size === 0) return
    const known = new Set<number>()
    for (const [place, { namespaceId }] of this.seen) {
      known.add(namespaceId)
      if (taken.namespaces.has(namespaceId)) this.seen.delete(place)
    }
    // A namespace that nobody has looked into: the sandbox may have a link to it by now.
    for (const id of taken.namespaces) if (!known.has(id)) this.seen.delete('mesh')
  }

  /** Indices of the sandbox's devices whose neighbours are entered by the mesh. */
  private devices(): Set<number> {
    const links = this.seen.get('mesh')?.reading.links ?? []
    return new Set(ownVxlans('mesh', links).map(({ index }) => index))
  }

  /** Everything of one place, as seen before where `isNoted` says that its changes are told; null when it is gone. */
  private async look(
    places: Places,
    place: Place,
    isNoted: (seen: Seen) => boolean,
  ): Promise<PlaceReading | null> {
    try {
      const path = pathOf(places, place)
      const before = this.seen.get(place)
      if (before && before.path === path && isNoted(before)) return before.reading
      this.seen.delete(place)
      const namespaceId = place === 'mesh' ? -1 : await this.numberOf(places, place)
      const reading = await readPlace(this.sockets, places, place)
      if (this.changes && (place === 'mesh' || namespaceId >= 0))
        this.seen.set(place, { path, namespaceId, reading })
      return reading
    } catch (error) {
      if (placeIsGone(error)) return null
      throw error
    }
  }

  /** How the sandbox numbers the namespace of a place; -1 where it does not. */
  private async numberOf(places: Places, place: Place): Promise<number> {
    if (!this.changes) return -1
    return this.sockets.withNamespace(places, place, async descriptor => {
      const [id] = await this.sockets.use('route', places, 'mesh', connection =>
        connection.get(getNamespaceId(descriptor)),
      )
      return id ?? -1
    })
  }

  private objectsOf(readings: ReadonlyMap<Place, PlaceReading>): readonly KernelObject[] {
    const list = [...readings.values()]
    const { told } = this
    const isSame = list.length === told.readings.length && list.every((each, i) => each === told.readings[i])
    if (!isSame) this.told = { readings: list, objects: objectsOf(readings) }
    return this.told.objects
  }
}

/** Everything rtnetlink tells of one place. */
async function readPlace(sockets: Sockets, places: Places, place: Place): Promise<PlaceReading> {
  return sockets.use('route', places, place, async connection => {
    const queries = [listLinks(), listAddresses(), listRoutes({ protocol: meshProtocol }), listRules()]
    // In one go, for a node may have hundreds of containers.
    const answers = await connection.dumpAll<unknown>(queries)
    const [links, addresses, routes, rules] = answers as [
      LinkReading[],
      AddressReading[],
      RouteReading[],
      RuleReading[],
    ]
    const devices = place === 'mesh' ? ownVxlans(place, links).map(({ index }) => index) : []
    return {
      links,
      addresses,
      neighbours: (await connection.dumpAll(devices.map(listNeighbours))).flat(),
      forwarding: (await connection.dumpAll(devices.map(listForwarding))).flat(),
      routes,
      rules,
    }
  })
}
