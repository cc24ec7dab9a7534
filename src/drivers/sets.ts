/**
 * Driver of ipsets and their elements, by netlink. Sets of ours are those whose names
 * begin with `mesh-`; they exist in the host and in the sandbox.
 */
import { isDeepStrictEqual } from 'node:util'
import { MeshError, NetlinkError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { EntryObject, Family, KernelObject, Place, SetObject, SetType } from '../kernel/objects.js'
import { setPrefix } from '../kernel/ownership.js'
import type { Dumped, NetlinkConnection } from '../netlink/connection.js'
import { type AddressFamily, inet, inet6 } from '../netlink/ip.js'
import {
  addEntry,
  createSet,
  deleteEntry,
  destroySet,
  type Entry,
  listEntries,
  listSets,
  type SetConfiguration,
  type SetReading,
  swapSets,
} from '../netlink/ipset.js'
import type { Request } from '../netlink/message.js'
import { groupByPlace, Outcomes, placeIsGone } from './places.js'
import { loadModule } from './programs.js'
import type { Sockets } from './sockets.js'

const ownPlaces: readonly Place[] = ['host', 'mesh']
/** Name of the set that takes another one's place; swapped and destroyed within one change. */
const spareName = `${setPrefix}spare`

/** Module of each set type, for kernels that load none by themselves. */
const modules: Readonly<Record<SetType, string>> = {
  'bitmap:port': 'ip_set_bitmap_port',
  'hash:ip': 'ip_set_hash_ip',
  'hash:net': 'ip_set_hash_net',
  'hash:ip,port': 'ip_set_hash_ipport',
  'hash:net,net': 'ip_set_hash_netnet',
}

export function createSetDriver(sockets: Sockets): Driver {
  let seen: readonly (Seen | null)[] = []
  let objects: readonly KernelObject[] = []
  return {
    name: 'set',
    kinds: ['set', 'entry'],
    async observe(places) {
      const found = await Promise.all(
        ownPlaces.map((place, i) =>
          places.has(place) ? observePlace(sockets, places, place, seen[i] ?? null) : null,
        ),
      )
      if (found.some((each, i) => each !== seen[i])) {
        seen = found
        objects = found.flatMap(each => each?.objects ?? [])
      }
      return { objects }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      for (const [place, own] of groupByPlace(changes)) {
        try {
          await sockets.use('netfilter', places, place, connection => applyInPlace(own, connection, outcomes))
        } catch (error) {
          outcomes.failAll(own, error)
        }
      }
      return outcomes.list(changes)
    },
  }
}

/**
 * Runs with a connection to a kernel that has ipset, loading its module if need be:
 * without it nfnetlink calls the first question invalid. Throws MESH_UNSUPPORTED.
 */
async function withIpset<T>(
  sockets: Sockets,
  places: Places,
  place: Place,
  run: (connection: NetlinkConnection) => Promise<T>,
): Promise<T> {
  const attempt = () => sockets.use('netfilter', places, place, run)
  try {
    return await attempt()
  } catch (error) {
    if (!lacksIpset(error)) throw error
    await loadModule('ip_set')
  }
  try {
    return await attempt()
  } catch (error) {
    if (!lacksIpset(error)) throw error
    const reason = 'kernel without ipset: modprobe ip_set did not help; boot a kernel with CONFIG_IP_SET'
    throw new MeshError('MESH_UNSUPPORTED', reason, { cause: error })
  }
}

function lacksIpset(error: unknown): boolean {
  return error instanceof NetlinkError && error.operation === 'list' && error.errnoName === 'EINVAL'
}

/** What was read of a place last. */
interface Seen {
  /** Of our sets. */
  readonly names: readonly string[]
  readonly dumped: Dumped<SetReading | readonly Entry[]>
  readonly objects: readonly KernelObject[]
}

async function observePlace(
  sockets: Sockets,
  places: Places,
  place: Place,
  before: Seen | null,
): Promise<Seen | null> {
  try {
    return await withIpset(sockets, places, place, async connection => {
      // A set that is gone by now is an error.
      const again = before && (await dump(connection, before.names, before.dumped).catch(() => null))
      if (before && again === before.dumped) return before
      if (before && again && isDeepStrictEqual(ownNames(setsIn(again)), before.names))
        return seenIn(again, before.names, place)
      const names = ownNames(await connection.dump(listSets()))
      return seenIn(await dump(connection, names, null), names, place)
    })
  } catch (error) {
    if (placeIsGone(error)) return null
    throw error
  }
}

/** Asks which sets there are, and for the elements of these. */
function dump(
  connection: NetlinkConnection,
  names: readonly string[],
  before: Seen['dumped'] | null,
): Promise<Seen['dumped']> {
  return connection.dumpAgain<SetReading | readonly Entry[]>([listSets(), ...names.map(listEntries)], before)
}

function setsIn({ answers }: Seen['dumped']): readonly SetReading[] {
  return answers[0] as readonly SetReading[]
}

function ownNames(sets: readonly SetReading[]): string[] {
  return sets.map(({ name }) => name).filter(name => name.startsWith(setPrefix))
}

function seenIn(dumped: Seen['dumped'], names: readonly string[], place: Place): Seen {
  const sets = setsIn(dumped)
  const [, ...elements] = dumped.answers as (readonly Entry[])[][]
  const objects: KernelObject[] = []
  for (const [i, name] of names.entries()) {
    const set = sets.find(each => each.name === name)
    if (!set) continue
    const { type, family, skbinfo } = set
    // A type we do not know comes from a hand; it differs from any wanted one.
    objects.push({ kind: 'set', place, name, type: type as SetType, family: familyName(family), skbinfo })
    for (const { element, mark } of (elements[i] ?? []).flat())
      objects.push({ kind: 'entry', place, set: name, element, mark })
  }
  return { names, dumped, objects }
}

/** Elements go in batches; a change of a set is made in between, where it stands. */
async function applyInPlace(
  changes: readonly Change[],
  connection: NetlinkConnection,
  outcomes: Outcomes,
): Promise<void> {
  let batch: Change[] = []
  const flush = async () => {
    const own = batch
    batch = []
    await sendBatch(own, connection, outcomes)
  }
  for (const change of changes) {
    if (change.object.kind === 'set' && change.type === 'update') {
      await flush()
      await replaceSet(change.object, connection).catch(error => outcomes.fail(change, error))
    } else batch.push(change)
  }
  await flush()
}

interface Refused {
  readonly change: Change & { readonly object: SetObject | EntryObject }
  readonly error: Error
}

/** `last`: there is no other attempt, after loading the modules of missing types. */
async function sendBatch(
  changes: readonly Change[],
  connection: NetlinkConnection,
  outcomes: Outcomes,
  last = false,
): Promise<void> {
  const refused = await sendOnce(changes, connection)
  const types = last ? [] : refused.flatMap(({ change, error }) => missingType(change, error) ?? [])
  const affected = new Set<string>()
  for (const { change, error } of refused) if (missingType(change, error)) affected.add(setOf(change.object))
  const again: Change[] = []
  for (const { change, error } of refused)
    if (types.length > 0 && affected.has(setOf(change.object))) again.push(change)
    else outcomes.fail(change, explain(change, error))
  if (again.length === 0) return
  for (const type of new Set(types)) await loadModule(modules[type])
  await sendBatch(again, connection, outcomes, true)
}

function setOf(object: SetObject | EntryObject): string {
  return object.kind === 'set' ? object.name : object.set
}

/** One request per change; returns those that were refused. */
async function sendOnce(changes: readonly Change[], connection: NetlinkConnection): Promise<Refused[]> {
  const refused: Refused[] = []
  const sent: { change: Refused['change']; request: Request }[] = []
  for (const change of changes as readonly Refused['change'][]) {
    try {
      sent.push({ change, request: requestFor(change) })
    } catch (error) {
      refused.push({ change, error: error as Error })
    }
  }
  const errors = await connection.request(sent.map(({ request }) => request))
  for (const [i, error] of errors.entries()) {
    const { change } = sent[i]!
    if (error && !isSoAlready(change, error.errnoName)) refused.push({ change, error })
  }
  return refused
}

/** The type of a set that could not be made because the kernel does not know it. */
function missingType(change: Change, error: Error): SetType | null {
  const unknown = error instanceof NetlinkError && error.errnoName === 'IPSET_ERR_FIND_TYPE'
  return unknown && change.object.kind === 'set' ? change.object.type : null
}

function explain(change: Change, error: Error): Error {
  const type = missingType(change, error)
  if (type === null) return error
  const reason = `${error.message}: the kernel has no set type ${type}; modprobe ${modules[type]}`
  return new MeshError('MESH_UNSUPPORTED', reason, { cause: error })
}

function familyName(family: AddressFamily): Family {
  return family === inet6 ? 'inet6' : 'inet'
}

/** A hash grows as it is filled; this is only where it ends. Pairs of callers and VIPs can be many. */
const mostElements = 1_048_576

function configurationOf({ name, type, family, skbinfo }: SetObject): SetConfiguration {
  return { name, type, family: family === 'inet6' ? inet6 : inet, skbinfo, maximum: mostElements }
}

function requestFor(change: Change): Request {
  const object = change.object as SetObject | EntryObject
  const removing = change.type === 'remove'
  if (object.kind === 'set') return removing ? destroySet(object.name) : createSet(configurationOf(object))
  return removing
    ? deleteEntry(object.set, object.element)
    : addEntry(object.set, object.element, object.mark)
}

/**
 * A set (or the set of an element) that is gone has nothing left to remove. Nor has
 * one that was just replaced by one of another kind: it calls its former elements
 * malformed.
 */
function isSoAlready(change: Change, errnoName: string): boolean {
  const isEntry = change.object.kind === 'entry'
  if (change.type === 'remove')
    return errnoName === 'ENOENT' || (isEntry && errnoName === 'IPSET_ERR_PROTOCOL')
  return change.object.kind === 'set' && errnoName === 'EEXIST'
}

/**
 * Puts a set of another form in place of the one that bears its name. While rules
 * use a set it can't be destroyed, but swapped with one of the same kind of elements;
 * the elements move along, as far as they fit.
 */
async function replaceSet(set: SetObject, connection: NetlinkConnection): Promise<void> {
  const one = async (request: Request) => {
    const [error] = await connection.request([request])
    return error ?? null
  }
  await one(destroySet(spareName))
  const created = await one(createSet({ ...configurationOf(set), name: spareName }))
  if (created) throw created
  await copyEntries(set, connection)
  const swapped = await one(swapSets(spareName, set.name))
  // frees the name: after a swap the spare is the old set, without one it is of no use
  await one(destroySet(spareName))
  if (!swapped) return
  if (swapped.errnoName !== 'IPSET_ERR_TYPE_MISMATCH') throw swapped
  const destroyed = await one(destroySet(set.name))
  if (destroyed) throw destroyed
  const again = await one(createSet(configurationOf(set)))
  if (again) throw again
}

async function copyEntries(set: SetObject, connection: NetlinkConnection): Promise<void> {
  const entries = (await connection.dump(listEntries(set.name))).flat()
  const requests = entries.map(({ element, mark }) => addEntry(spareName, element, set.skbinfo ? mark : null))
  await connection.request(requests)
}
