/**
 * The cluster as keys of etcd, and back. Pure.
 *
 *   PREFIX/pool                     pool, node-prefix and vip-pool of all nodes
 *   PREFIX/nodes/NAME               number, subnet, address, draining, IPv6; stays until removed
 *   PREFIX/numbers/NUMBER           name of the node that has the number (and so the subnet)
 *   PREFIX/alive/NAME               under the node's lease: its agent is there; as a manager, what Swarm is about to stop
 *   PREFIX/containers/NAME/ID       under the node's lease: one of its containers
 *   PREFIX/leaders/ROLE             under the node's lease: name of the node that has a role
 */
import { z } from 'zod'
import type { NodeRecord, RemoteContainer } from '../model/cluster.js'
import type { OwnContainer } from './cluster.js'
import type { KeyValue } from './etcd-wire.js'

/** Of a container, in the mesh. */
const meshAddress = z.ipv4()
/** Of a node, outside of it. */
const address = z.union([z.ipv4(), z.ipv6()])

const placeForm = z.object({
  number: z.int().min(1).max(65535),
  subnet: z.cidrv4(),
  address,
  draining: z.boolean().default(false),
  // Absent from what nodes without IPv6 stored when there was none.
  ipv6: z.object({ pool: z.cidrv6(), vipPool: z.cidrv6().nullable() }).nullable().default(null),
})
const aliveForm = z.object({
  address,
  agent: z.string(),
  told: z.boolean().default(true),
  paused: z.literal(true).optional(),
  ending: z.array(z.string()).default([]),
})
const containerForm = z.object({
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  address: meshAddress,
  state: z.enum(['ready', 'starting', 'unhealthy', 'paused', 'leaving']),
})
const poolForm = z.object({
  pool: z.cidrv4(),
  nodePrefix: z.int().min(1).max(32),
  // Absent from what was stored before there were VIPs: the first node that has them decides.
  vipPool: z.cidrv4().nullable().optional(),
})

/** A node's place as it is stored, without its name. */
export type Place = z.output<typeof placeForm>
/**
 * `agent`: a random id of the process. `told`: it has said once which containers it has.
 * `paused`: it has ended, and is to come again.
 * `ending`: containers that Swarm is about to stop, on whichever node.
 */
export type Alive = Readonly<Omit<z.output<typeof aliveForm>, 'ending'>> & {
  readonly ending: readonly string[]
}
export type PoolOfAll = z.output<typeof poolForm>

export function clusterKeys(prefix: string) {
  return {
    pool: `${prefix}pool`,
    nodes: `${prefix}nodes/`,
    node: (name: string) => `${prefix}nodes/${name}`,
    numbers: `${prefix}numbers/`,
    number: (number: number) => `${prefix}numbers/${String(number).padStart(5, '0')}`,
    alives: `${prefix}alive/`,
    alive: (name: string) => `${prefix}alive/${name}`,
    leader: (role: string) => `${prefix}leaders/${role}`,
    allContainers: `${prefix}containers/`,
    containers: (name: string) => `${prefix}containers/${name}/`,
    container: (name: string, id: string) => `${prefix}containers/${name}/${id}`,
  }
}

export type ClusterKeys = ReturnType<typeof clusterKeys>

export function placeOf(entry: KeyValue | null | undefined): Place | null {
  return entry ? parse(placeForm, entry.value) : null
}

export function aliveOf(entry: KeyValue | null | undefined): Alive | null {
  return entry ? parse(aliveForm, entry.value) : null
}

export function poolOf(entry: KeyValue | null | undefined): PoolOfAll | null {
  return entry ? parse(poolForm, entry.value) : null
}

export function recordOf(name: string, { number, subnet, address, ipv6 }: Place): NodeRecord {
  return { name, number, subnet, address, ipv6 }
}

export function aliveValue(alive: Alive): string {
  return JSON.stringify(alive)
}

export function containerValue({ name, labels, address, state }: OwnContainer): string {
  return JSON.stringify({ name, labels, address, state })
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string): z.output<Schema> | null {
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** `path`: `NODE/ID`. */
export function containerOf(path: string, entry: KeyValue): RemoteContainer | null {
  const slash = path.indexOf('/')
  const form = parse(containerForm, entry.value)
  if (slash < 0 || !form) return null
  return { node: path.slice(0, slash), id: path.slice(slash + 1), ...form }
}
