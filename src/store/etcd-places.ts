/**
 * Places of nodes in etcd: claimed, marked as draining, given back. Each by one
 * transaction, so that a number and its subnet never have two nodes.
 */
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError, MeshError } from '../errors.js'
import { type NodeRecord, nodesInPool, subnetOfNode } from '../model/cluster.js'
import type { Claim } from './cluster.js'
import { aliveOf, aliveValue, type ClusterKeys, placeOf, poolOf, recordOf } from './cluster-keys.js'
import type { EtcdClient } from './etcd-client.js'
import {
  afterPrefix,
  type Compare,
  type KeyValue,
  type Operation,
  put,
  remove,
  unchanged,
} from './etcd-wire.js'

/** A place that is held. */
export interface Held {
  readonly record: NodeRecord
  /** Revision of the node's `alive` key: whoever writes it next has to know it. */
  readonly revision: number
}

type Entries = ReadonlyMap<string, KeyValue>

/** Nodes, numbers, pool, and who is alive. */
async function readPlaces(client: EtcdClient, keys: ClusterKeys): Promise<Entries> {
  // Two reads: the transaction compares what it depends on, so they need not be of one revision.
  const alive = await client.range(keys.alives, afterPrefix(keys.alives))
  const places = await client.range(keys.nodes, `${keys.pool}\0`)
  return new Map([...alive.keys, ...places.keys].map(entry => [entry.key, entry]))
}

export interface Claimant {
  readonly claim: Claim
  /** Random id that tells this process from others of the same name. */
  readonly agent: string
  /** Whether what it has to tell was told before. */
  readonly told: boolean
  readonly ending: readonly string[]
  readonly lease: string
  /** The number it would like to have if etcd knows of none; null: any. */
  readonly number: number | null
  /** How long a former lease of the same name or address may still run, milliseconds. */
  readonly patience: number
}

/** Takes the node's place. Throws InputError or MESH_STORE. */
export async function claimPlace(client: EtcdClient, keys: ClusterKeys, claimant: Claimant): Promise<Held> {
  const { claim, agent, lease, told, ending } = claimant
  const end = performance.now() + claimant.patience
  const value = aliveValue({ address: claim.address, agent, told, ending })
  for (let attempt = 0; ; attempt++) {
    const entries = await readPlaces(client, keys)
    const alive = entries.get(keys.alive(claim.name))
    const own = placeOf(entries.get(keys.node(claim.name)))
    if (alive && own && aliveOf(alive)?.agent === agent && alive.lease === lease)
      return { record: recordOf(claim.name, own), revision: alive.revision }
    const refusal = holderOf(keys, entries, claim)
    if (refusal) {
      if (performance.now() > end) throw refusal
      await sleep(200)
      continue
    }
    const { record, conditions, operations } = transactionOf(keys, entries, claimant, attempt)
    const { succeeded, revision } = await client.transact(
      [...conditions, unchanged(keys.alive(claim.name), alive?.revision ?? 0)],
      [...operations, put(keys.alive(claim.name), value, lease)],
    )
    if (succeeded) return { record, revision }
    await sleep(Math.random() * Math.min(200, 10 * 2 ** attempt))
  }
}

/** What stands in the way of a claim: another live node of this name or address, or one at an address of the other family. */
function holderOf(keys: ClusterKeys, entries: Entries, { name, address }: Claim): InputError | null {
  for (const [key, entry] of entries) {
    if (!key.startsWith(keys.alives)) continue
    const other = key.slice(keys.alives.length)
    const { address: there, paused } = aliveOf(entry) ?? {}
    // One that comes again may do so at another address.
    if (other === name && there !== address && !paused)
      return new InputError(
        'node-name',
        name,
        `the live node at ${there} has this name`,
        'give each node a name of its own',
      )
    if (other !== name && there === address)
      return new InputError(
        'node-address',
        address,
        `the live node ${other} has this address`,
        'give each node an address of its own',
      )
    if (other !== name && there && isIPv6(there) !== isIPv6(address))
      return new InputError(
        'node-address',
        address,
        `the live node ${other} is reached at ${there}, and a tunnel is of one family`,
        'give every node one of the same family; a node that has another leaves by `meshctl clean`',
      )
  }
  return null
}

/** The place to take and what must hold for it. `attempt` spreads nodes that all want the lowest number. */
function transactionOf(
  keys: ClusterKeys,
  entries: Entries,
  { claim, number: wish }: Claimant,
  attempt: number,
): { readonly record: NodeRecord; readonly conditions: Compare[]; readonly operations: Operation[] } {
  const { name, address, pool, nodePrefix, ipv6 } = claim
  const pools = checkPool(keys, entries, claim)
  const former = placeOf(entries.get(keys.node(name)))
  const wished = wish !== null && !entries.has(keys.number(wish)) ? wish : null
  const number =
    former && fits(former, claim) ? former.number : (wished ?? freeNumber(keys, entries, claim, attempt))
  const subnet = subnetOfNode(pool, nodePrefix, number)!
  const place = { number, subnet, address, draining: former?.draining ?? false, ipv6 }
  const revisionOf = (key: string) => entries.get(key)?.revision ?? 0
  const touched = [keys.pool, keys.node(name), keys.number(number)]
  const dropped = former && former.number !== number ? [remove(keys.number(former.number))] : []
  return {
    record: recordOf(name, place),
    conditions: touched.map(key => unchanged(key, revisionOf(key))),
    operations: [
      ...pools,
      ...dropped,
      put(keys.node(name), JSON.stringify(place)),
      put(keys.number(number), name),
    ],
  }
}

function fits(place: { number: number; subnet: string }, { pool, nodePrefix }: Claim): boolean {
  return subnetOfNode(pool, nodePrefix, place.number) === place.subnet
}

/** All nodes have to divide the same pool in the same way, and have one for VIPs. The first one decides. Throws InputError. */
function checkPool(keys: ClusterKeys, entries: Entries, claim: Claim): Operation[] {
  const { name, pool, nodePrefix, vipPool } = claim
  const common = poolOf(entries.get(keys.pool))
  const samePool = common?.pool === pool && common.nodePrefix === nodePrefix
  if (samePool && common.vipPool === vipPool) return []
  const alone = ![...entries.keys()].some(key => key.startsWith(keys.nodes) && key !== keys.node(name))
  if (common && !alone && !samePool)
    throw new InputError(
      'pool',
      `${pool} in shares of /${nodePrefix}`,
      `the other nodes use ${common.pool} in shares of /${common.nodePrefix}`,
      'give every node the same --pool and --node-prefix',
    )
  if (common && !alone && common.vipPool !== undefined)
    throw new InputError(
      'vip-pool',
      vipPool ?? 'none',
      `the other nodes use ${common.vipPool ?? 'none'}`,
      'give every node the same --vip-pool',
    )
  return [put(keys.pool, JSON.stringify({ pool, nodePrefix, vipPool }))]
}

/** The lowest free number, or one of the lowest where others got in between before. Throws InputError. */
function freeNumber(keys: ClusterKeys, entries: Entries, claim: Claim, attempt: number): number {
  const { name, pool, nodePrefix } = claim
  const most = nodesInPool(pool, nodePrefix)
  const free: number[] = []
  for (let number = 1; number <= most && free.length < 2 ** Math.min(attempt, 10); number++) {
    const holder = entries.get(keys.number(number))?.value
    if (holder === undefined || holder === name) free.push(number)
  }
  const number = free[Math.floor(Math.random() * free.length)]
  if (number === undefined)
    throw new InputError(
      'pool',
      pool,
      `all of its ${most} shares of /${nodePrefix} are taken`,
      'remove nodes that are gone (meshctl node rm), or choose a larger pool for all nodes',
    )
  return number
}

/** Throws MESH_NOT_FOUND. */
export async function markDraining(
  client: EtcdClient,
  keys: ClusterKeys,
  name: string,
  draining: boolean,
): Promise<void> {
  for (;;) {
    const entry = await client.get(keys.node(name))
    const place = placeOf(entry)
    if (!entry || !place) throw unknown(name)
    if (place.draining === draining) return
    const { succeeded } = await client.transact(
      [unchanged(entry.key, entry.revision)],
      [put(entry.key, JSON.stringify({ ...place, draining }))],
    )
    if (succeeded) return
  }
}

/** Throws MESH_NOT_FOUND, and InputError for a live node. */
export async function giveBack(client: EtcdClient, keys: ClusterKeys, name: string): Promise<void> {
  for (;;) {
    const entry = await client.get(keys.node(name))
    if (!entry) throw unknown(name)
    const alive = await client.get(keys.alive(name))
    if (alive && !aliveOf(alive)?.paused)
      throw new InputError('node', name, 'its agent is running', 'stop meshd there first')
    const place = placeOf(entry)
    const number = place ? keys.number(place.number) : null
    const held = number === null ? null : await client.get(number)
    const { succeeded } = await client.transact(
      [unchanged(entry.key, entry.revision), unchanged(keys.alive(name), alive?.revision ?? 0)],
      [entry, held?.value === name ? held : null, alive].flatMap(each => (each ? remove(each.key) : [])),
    )
    if (succeeded) return
  }
}

function unknown(name: string): MeshError {
  return new MeshError('MESH_NOT_FOUND', `node ${name}: there is no such node; meshctl node ls lists them`)
}

/** Another agent of the same name has taken the place. */
export function displaced(name: string): MeshError {
  return new MeshError(
    'MESH_STORE',
    `another meshd has joined as node ${name}; this one tells nothing as long as that one does; end one of the two`,
  )
}

/** The place was given back while its node was away. */
export function placeLost({ name, number }: NodeRecord): MeshError {
  return new MeshError('MESH_STORE', `node ${name} was removed and its number ${number} given to another one`)
}
