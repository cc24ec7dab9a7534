/**
 * Driver of links, VXLAN devices, addresses, neighbours, forwarding entries, routes and
 * policy rules, by rtnetlink. Each place gets one batch for its links and one for all
 * else; a place that fails leaves the others alone. How readings become objects is in
 * link-objects.ts and overlay-objects.ts.
 */
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type {
  AddressObject,
  ForwardingObject,
  Kind,
  NeighbourObject,
  Place,
  RouteObject,
  RuleObject,
} from '../kernel/objects.js'
import { meshLink, meshProtocol } from '../kernel/ownership.js'
import type { NetlinkConnection } from '../netlink/connection.js'
import type { Request } from '../netlink/message.js'
import {
  addAddress,
  addRoute,
  addRule,
  deleteAddress,
  deleteForwarding,
  deleteNeighbour,
  deleteRoute,
  deleteRule,
  listRoutes,
  replaceRoute,
  setForwarding,
  setNeighbour,
} from '../netlink/route.js'
import { mayBeOurs, routeConfiguration, ruleConfiguration } from './link-objects.js'
import { LinkSight } from './link-sight.js'
import { groupByPlace, Outcomes } from './places.js'
import type { Sockets } from './sockets.js'
import { findLink, makeLinks, removeLinks } from './veths.js'
import { makeVxlans, removeVxlans } from './vxlans.js'

const mainTable = 254 // RT_TABLE_MAIN, linux/rtnetlink.h

/** What sits on a link, but for rules. */
type OnLink = AddressObject | NeighbourObject | ForwardingObject | RouteObject
type InPlace = OnLink | RuleObject

export function createLinkDriver(sockets: Sockets): Driver {
  const sight = new LinkSight(sockets)
  return {
    name: 'link',
    kinds: ['link', 'vxlan', 'address', 'neighbour', 'forwarding', 'route', 'rule'],
    async observe(places, signal) {
      return { objects: await sight.observe(places, signal) }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      const of = (kind: Kind, making: boolean) =>
        changes.filter(change => change.object.kind === kind && isMaking(change) === making)
      const others = changes.filter(({ object }) => object.kind !== 'link' && object.kind !== 'vxlan')
      // links are there before what sits on them, and go after it
      await makeLinks(of('link', true), sockets, places, outcomes)
      await makeVxlans(of('vxlan', true), sockets, places, outcomes)
      for (const [place, own] of groupByPlace(others))
        await applyInPlace(own, sockets, places, place, outcomes).catch(error => outcomes.failAll(own, error))
      await removeVxlans(of('vxlan', false), sockets, places, outcomes)
      await removeLinks(of('link', false), sockets, places, outcomes)
      return outcomes.list(changes)
    },
  }
}

function isMaking(change: Change): boolean {
  return change.type !== 'remove'
}

/** All but the links of one place in one batch, in the order given. */
async function applyInPlace(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  place: Place,
  outcomes: Outcomes,
): Promise<void> {
  await sockets.use('route', places, place, async connection => {
    const indices = await linkIndices(connection, changes, place)
    const sent: { change: Change; request: Request }[] = []
    for (const change of changes) {
      try {
        for (const request of requestsFor(change, indices)) sent.push({ change, request })
      } catch (error) {
        outcomes.fail(change, error)
      }
    }
    const errors = await connection.request(sent.map(({ request }) => request))
    for (const [i, error] of errors.entries()) {
      const { change } = sent[i]!
      if (error && !isSoAlready(change, error.errnoName)) outcomes.fail(change, error)
    }
    await replaceOwnRoutes(changes, outcomes, connection, indices)
  })
}

/** Index by name of the links that these changes are about; as many questions as there are names. */
async function linkIndices(
  connection: NetlinkConnection,
  changes: readonly Change[],
  place: Place,
): Promise<ReadonlyMap<string, number>> {
  const names = new Set<string>()
  for (const { object } of changes) if ('link' in object && object.link !== '') names.add(object.link)
  const indices = new Map<string, number>()
  for (const name of names) {
    const link = await findLink(connection, name)
    if (link && (name !== meshLink || mayBeOurs(place, link))) indices.set(name, link.index)
  }
  return indices
}

/** The requests that make a change; none where the link is gone, and with it what was to be removed. */
function requestsFor(change: Change, indices: ReadonlyMap<string, number>): Request[] {
  const object = change.object as InPlace
  const removing = change.type === 'remove'
  if (object.kind === 'rule') {
    const rule = ruleConfiguration(object)
    if (removing) return [deleteRule(rule)]
    // The former rule first: what is asked to go by fewer words would take the new one for it.
    const former = change.type === 'update' ? [deleteRule(ruleConfiguration(change.from as RuleObject))] : []
    return [...former, addRule(rule)]
  }
  const index = object.link === '' ? null : (indices.get(object.link) ?? undefined)
  if (index === undefined) {
    if (removing) return []
    throw new Error(`${describe(object)}: there is no link ${object.link} of the mesh in ${object.place}`)
  }
  if (object.kind === 'address') {
    const address = { linkIndex: index ?? 0, address: object.address }
    return [removing ? deleteAddress(address) : addAddress(address)]
  }
  if (object.kind === 'neighbour') {
    const neighbour = { linkIndex: index ?? 0, address: object.address, mac: object.mac }
    return [removing ? deleteNeighbour(neighbour) : setNeighbour(neighbour)]
  }
  if (object.kind === 'forwarding') {
    const entry = { linkIndex: index ?? 0, mac: object.mac, destination: object.destination }
    return [removing ? deleteForwarding(entry) : setForwarding(entry)]
  }
  const route = routeConfiguration(object, index)
  if (removing) return [deleteRoute(route)]
  // Main tables are not ours alone but in the sandbox: a route that somebody else has there stays, and is told of.
  return [change.type === 'add' && sharesTable(object) ? addRoute(route) : replaceRoute(route)]
}

function sharesTable(route: RouteObject): boolean {
  return route.place !== 'mesh' && route.table === mainTable
}

function describe(object: OnLink): string {
  if (object.kind === 'neighbour') return `set neighbour ${object.address}`
  if (object.kind === 'forwarding') return `set forwarding entry ${object.mac}`
  return object.kind === 'address' ? `add address ${object.address}` : `add route ${object.destination}`
}

/** Errors that mean the kernel is as it should be. */
const soAlready: Readonly<Record<InPlace['kind'], { make: readonly string[]; remove: readonly string[] }>> = {
  address: { make: ['EEXIST'], remove: ['EADDRNOTAVAIL', 'ENODEV'] },
  neighbour: { make: [], remove: ['ENOENT', 'ENODEV'] },
  forwarding: { make: [], remove: ['ENOENT', 'ENODEV'] },
  route: { make: [], remove: ['ESRCH', 'ENODEV'] },
  // ENOENT: the former rule of a changed one
  rule: { make: ['EEXIST', 'ENOENT'], remove: ['ENOENT'] },
}

function isSoAlready(change: Change, errnoName: string): boolean {
  const errors = soAlready[(change.object as InPlace).kind]
  return (change.type === 'remove' ? errors.remove : errors.make).includes(errnoName)
}

/** A route in a shared table that was there already: ours is put right, another's stays in the way. */
async function replaceOwnRoutes(
  changes: readonly Change[],
  outcomes: Outcomes,
  connection: NetlinkConnection,
  indices: ReadonlyMap<string, number>,
): Promise<void> {
  for (const change of changes) {
    const { object } = change
    if (object.kind !== 'route' || change.type !== 'add' || !sharesTable(object)) continue
    if (outcomes.errorOf(change)?.message.includes('EEXIST') !== true) continue
    const routes = await connection.dump(listRoutes({ table: object.table }))
    const present = routes.filter(route => route.destination === object.destination && route.metric === 0)
    if (present.some(route => route.protocol !== meshProtocol)) {
      const [other] = present
      const reason = `another route to ${object.destination} is there (protocol ${other?.protocol}, via ${other?.gateway})`
      outcomes.fail(change, new Error(`add route ${object.destination} in table ${object.table}: ${reason}`))
      continue
    }
    const [error] = await connection.request([
      replaceRoute(routeConfiguration(object, indices.get(object.link) ?? null)),
    ])
    if (error) outcomes.fail(change, error)
    else outcomes.clear(change)
  }
}
