/**
 * Making and removing veth pairs across namespaces, for links.ts. The pair is made
 * in one message, its far end directly in the other namespace, and that end is then
 * set up there.
 */
import { closeSync } from 'node:fs'
import type { Change } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import type { LinkObject, Place } from '../kernel/objects.js'
import type { NetlinkConnection } from '../netlink/connection.js'
import { addVeth, deleteLink, getLink, type LinkReading, setLink } from '../netlink/link.js'
import type { Request } from '../netlink/message.js'
import { indexOfUnpaired, mayBeOurs } from './link-objects.js'
import { groupByPlace, type Outcomes, placeIsGone } from './places.js'
import { openNamespace, type Sockets } from './sockets.js'

/** Makes new links and repairs changed ones, place by place. Failures go into `outcomes`. */
export async function makeLinks(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  outcomes: Outcomes,
): Promise<void> {
  for (const change of changes.filter(change => change.type === 'update' && !isAdjustable(change)))
    await clearWay(linkOf(change), sockets, places).catch(error => outcomes.fail(change, error))
  for (const change of changes.filter(isAdjustable))
    await adjust(linkOf(change), sockets, places).catch(error => outcomes.fail(change, error))
  const made = changes.filter(change => !isAdjustable(change) && !outcomes.failed(change))
  for (const [place, own] of groupByPlace(made)) {
    const taken = await create(own, sockets, places, place, outcomes)
    // A name is taken by a link nobody plans: half of a pair whose other end is elsewhere.
    for (const change of taken)
      await clearWay(linkOf(change), sockets, places).catch(error => outcomes.fail(change, error))
    const again = taken.filter(change => !outcomes.failed(change))
    for (const change of await create(again, sockets, places, place, outcomes))
      outcomes.fail(
        change,
        new Error(`add veth ${linkOf(change).name}: EEXIST, a link of that name comes back`),
      )
  }
}

function linkOf(change: Change): LinkObject {
  return change.object as LinkObject
}

/** Whether the pair is the wanted one, and only down or of the wrong size. */
function isAdjustable(change: Change): boolean {
  if (change.type !== 'update') return false
  const from = change.from as LinkObject
  const { peerPlace, peerName } = linkOf(change)
  return from.peerPlace === peerPlace && from.peerName === peerName
}

/** Sends requests about links into a place; throws the first error but those of `passing`. */
async function send(
  sockets: Sockets,
  places: Places,
  place: Place,
  requests: readonly Request[],
  passing: readonly string[],
): Promise<void> {
  const errors = await sockets.use('route', places, place, connection => connection.request(requests))
  for (const error of errors) if (error && !passing.includes(error.errnoName)) throw error
}

async function adjust(link: LinkObject, sockets: Sockets, places: Places): Promise<void> {
  const change = { up: true, mtu: link.mtu }
  await send(sockets, places, link.place, [setLink(link.name, change)], [])
  await send(sockets, places, link.peerPlace, [setLink(link.peerName, change)], [])
}

/** Takes away what bears the names of the pair's two ends. Throws where that cannot be ours. */
async function clearWay(link: LinkObject, sockets: Sockets, places: Places): Promise<void> {
  const ends = [
    { place: link.place, name: link.name },
    { place: link.peerPlace, name: link.peerName },
  ]
  for (const { place, name } of ends) {
    const present = await sockets.use('route', places, place, connection => findLink(connection, name))
    if (!present) continue
    if (!mayBeOurs(place, present))
      throw new Error(
        `add veth ${link.name}: a link ${name} of kind ${present.kind ?? 'unknown'}, none of the mesh's, is in its way in ${place}; give it another name`,
      )
    await send(sockets, places, place, [deleteLink(name)], ['ENODEV'])
  }
}

/** A link by its name; null where there is none. Throws NetlinkError. */
export async function findLink(connection: NetlinkConnection, name: string): Promise<LinkReading | null> {
  try {
    const [link] = await connection.get(getLink(name))
    return link ?? null
  } catch (error) {
    if ((error as { errnoName?: unknown }).errnoName === 'ENODEV') return null
    throw error
  }
}

/** One batch of pairs into `place`; returns the changes whose names are taken. */
async function create(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  place: Place,
  outcomes: Outcomes,
): Promise<Change[]> {
  const descriptors: number[] = []
  const opened: { change: Change; request: Request }[] = []
  try {
    for (const change of changes) {
      const { name, peerName, peerPlace, mtu } = linkOf(change)
      try {
        const peerNamespace = openNamespace(places, peerPlace)
        descriptors.push(peerNamespace)
        opened.push({ change, request: addVeth({ name, peerName, peerNamespace, mtu }) })
      } catch (error) {
        outcomes.fail(change, error)
      }
    }
    return await sendCreations(opened, sockets, places, place, outcomes)
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor)
  }
}

async function sendCreations(
  opened: readonly { change: Change; request: Request }[],
  sockets: Sockets,
  places: Places,
  place: Place,
  outcomes: Outcomes,
): Promise<Change[]> {
  const taken: Change[] = []
  try {
    const errors = await sockets.use('route', places, place, connection =>
      connection.request(opened.map(({ request }) => request)),
    )
    for (const [i, error] of errors.entries()) {
      const { change } = opened[i]!
      if (error?.errnoName === 'EEXIST') taken.push(change)
      else if (error) outcomes.fail(change, error)
      else await raisePeer(linkOf(change), sockets, places).catch(reason => outcomes.fail(change, reason))
    }
  } catch (error) {
    outcomes.failAll(
      opened.map(({ change }) => change),
      error,
    )
  }
  return taken
}

/** The far end comes up only in its own namespace; the kernel refuses it while the pair is being made. */
async function raisePeer(link: LinkObject, sockets: Sockets, places: Places): Promise<void> {
  await send(sockets, places, link.peerPlace, [setLink(link.peerName, { up: true })], [])
}

/** Removes links; of a pair both ends go. */
export async function removeLinks(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  outcomes: Outcomes,
): Promise<void> {
  for (const [place, own] of groupByPlace(changes)) {
    try {
      // One that was observed without its peer goes by index: its name may be a new link's by now.
      const requests = own.map(change => deleteLink(indexOfUnpaired(linkOf(change)) ?? linkOf(change).name))
      const errors = await sockets.use('route', places, place, connection => connection.request(requests))
      for (const [i, error] of errors.entries())
        if (error && error.errnoName !== 'ENODEV') outcomes.fail(own[i]!, error)
    } catch (error) {
      if (!placeIsGone(error)) for (const change of own) outcomes.fail(change, error)
    }
  }
}
