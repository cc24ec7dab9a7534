/**
 * The cluster as keys of etcd, and back. Pure.
 *
 *   PREFIX/pool                     pool, node-prefix and vip-pool of all nodes
 *   PREFIX/nodes/NAME               number, subnet, address, draining, IPv6; stays until removed
 *   PREFIX/numbers/NUMBER           name of the node that has the number (and so the subnet)
 *   PREFIX/alive/NAME               under the node's lease: its agent is there
 *   PREFIX/containers/NAME/ID       under the node's lease: one of its containers
 *   PREFIX/leaders/ROLE             under the node's lease: name of the node that has a role
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { ClusterNode, ClusterSnapshot, NodeRecord, RemoteContainer } from '../model/cluster.js'
import type { OwnContainer } from './cluster.js'
import type { KeyValue } from './etcd-wire.js'

const address = z.ipv4()

const placeForm = z.object({
  number: z.int().min(1).max(65535),
  subnet: z.cidrv4(),
  address,
  draining: z.boolean().default(false),
  // Absent from what nodes without IPv6 stored when there was none.
  ipv6: z.object({ pool: z.cidrv6(), vipPool: z.cidrv6().nullable() }).nullable().default(null),
})
const aliveForm = z.object({ address, agent: z.string(), told: z.boolean().default(true) })
const containerForm = z.object({
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  address,
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
/** `agent`: a random id of the process. `told`: it has said once which containers it has. */
export type Alive = z.output<typeof aliveForm>
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

/**
 * Builds snapshots one after the other; what did not change keeps its identity, and
 * each key is parsed once per value.
 */
export class SnapshotBuilder {
  readonly #keys: ClusterKeys
  #parsed = new WeakMap<KeyValue, RemoteContainer>()
  #alives = new WeakMap<KeyValue, Alive | null>()
  #nodes = new Map<string, ClusterNode>()
  #containers = new Map<string, readonly RemoteContainer[]>()
  #last: ClusterSnapshot | null = null

  constructor(keys: ClusterKeys) {
    this.#keys = keys
  }

  get last(): ClusterSnapshot | null {
    return this.#last
  }

  /**
   * `spare`: whether a node that was live is to be shown as it last was although it is
   * gone from etcd; `spared` tells whether there was one. The snapshot is the former
   * object when nothing changed.
   */
  build(
    entries: ReadonlyMap<string, KeyValue>,
    spare: (name: string) => boolean,
  ): { readonly snapshot: ClusterSnapshot; readonly spared: boolean } {
    const keys = this.#keys
    let spared = false
    const nodes = new Map<string, ClusterNode>()
    const told = new Map<string, RemoteContainer[]>()
    for (const [key, entry] of entries) {
      if (key.startsWith(keys.nodes)) {
        const name = key.slice(keys.nodes.length)
        const place = placeOf(entry)
        if (!place) continue
        const was = this.#nodes.get(name)
        const alive = entries.get(keys.alive(name))
        const isSpared = !alive && was?.live === true && was.number === place.number && spare(name)
        const node = {
          ...recordOf(name, place),
          draining: place.draining,
          live: alive !== undefined || isSpared,
          told: alive ? (this.#alive(alive)?.told ?? true) : isSpared && was.told,
        }
        spared ||= isSpared
        nodes.set(name, isDeepStrictEqual(was, node) ? was! : node)
      } else if (key.startsWith(keys.allContainers)) {
        const container = this.#container(key.slice(keys.allContainers.length), entry)
        if (!container) continue
        const list = told.get(container.node)
        if (list) list.push(container)
        else told.set(container.node, [container])
      }
    }
    for (const [name, was] of this.#nodes)
      if (was.live && !nodes.has(name) && spare(name)) {
        nodes.set(name, was)
        spared = true
      }
    const containers = new Map<string, readonly RemoteContainer[]>()
    for (const { name, live } of nodes.values()) {
      const was = this.#containers.get(name)
      // A node that is spared has no lease, and its containers are not there for the same reason.
      const list = entries.has(keys.alive(name)) ? (told.get(name) ?? []) : live ? (was ?? []) : []
      list.length > 0 && containers.set(name, was && sameList(was, list) ? was : merged(was, list))
    }
    return { snapshot: this.#keep(nodes, containers), spared }
  }

  #keep(
    nodes: Map<string, ClusterNode>,
    containers: Map<string, readonly RemoteContainer[]>,
  ): ClusterSnapshot {
    this.#nodes = nodes
    this.#containers = containers
    const next = {
      nodes: [...nodes.values()].sort((a, b) => a.number - b.number),
      containers: [...containers.keys()].sort().flatMap(name => containers.get(name)!),
    }
    const was = this.#last
    if (!was || !sameList(was.nodes, next.nodes) || !sameList(was.containers, next.containers))
      this.#last = next
    return this.#last!
  }

  #alive(entry: KeyValue): Alive | null {
    const known = this.#alives.get(entry)
    if (known !== undefined) return known
    const alive = aliveOf(entry)
    this.#alives.set(entry, alive)
    return alive
  }

  /** `path`: `NODE/ID`. */
  #container(path: string, entry: KeyValue): RemoteContainer | null {
    const known = this.#parsed.get(entry)
    if (known) return known
    const slash = path.indexOf('/')
    const form = parse(containerForm, entry.value)
    if (slash < 0 || !form) return null
    const container = { node: path.slice(0, slash), id: path.slice(slash + 1), ...form }
    this.#parsed.set(entry, container)
    return container
  }
}

function sameList<Item>(a: readonly Item[], b: readonly Item[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i])
}

/** The list by id, with former objects in place of equal new ones: a key may be written again as it was. */
function merged(was: readonly RemoteContainer[] | undefined, list: readonly RemoteContainer[]) {
  const former = new Map(was?.map(container => [container.id, container]))
  const next = list.map(container => {
    const known = former.get(container.id)
    return known && isDeepStrictEqual(known, container) ? known : container
  })
  next.sort((a, b) => (a.id < b.id ? -1 : 1))
  return was && sameList(was, next) ? was : next
}
