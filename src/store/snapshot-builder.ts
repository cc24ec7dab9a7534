/**
 * From the keys of the cluster to snapshots of it, one after the other. What did not
 * change keeps its identity; of what etcd says again only that is read. Pure but for its memory.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ClusterNode, ClusterSnapshot, RemoteContainer } from '../model/cluster.js'
import { sameItems } from '../model/differences.js'
import {
  type Alive,
  aliveOf,
  type ClusterKeys,
  containerOf,
  type Place,
  placeOf,
  recordOf,
} from './cluster-keys.js'
import type { KeyValue } from './etcd-wire.js'

/** `spare`: whether a node that was live is to be shown as it last was although it is gone from etcd. */
type Spare = (name: string) => boolean

const none: readonly string[] = []

export class SnapshotBuilder {
  readonly #keys: ClusterKeys
  readonly #parsed = new WeakMap<KeyValue, RemoteContainer>()
  /** What etcd says of each node. */
  readonly #places = new Map<string, Place>()
  readonly #alives = new Map<string, Alive | null>()
  /** Nodes that say that Swarm is about to stop something. */
  readonly #enders = new Set<string>()
  readonly #told = new Map<string, Map<string, RemoteContainer>>()
  /** What is shown of each. */
  readonly #nodes = new Map<string, ClusterNode>()
  readonly #containers = new Map<string, readonly RemoteContainer[]>()
  /** Nodes that are shown as they were. */
  readonly #spared = new Set<string>()
  #last: ClusterSnapshot | null = null

  constructor(keys: ClusterKeys) {
    this.#keys = keys
  }

  get last(): ClusterSnapshot | null {
    return this.#last
  }

  /**
   * `changed`: keys that were written or removed since the last time; null: any. `spared` tells
   * whether a node is shown that is gone from etcd. The snapshot is the former object when
   * nothing changed.
   */
  build(
    entries: ReadonlyMap<string, KeyValue>,
    spare: Spare,
    changed: ReadonlySet<string> | null,
  ): { readonly snapshot: ClusterSnapshot; readonly spared: boolean } {
    const names = new Set(this.#spared)
    if (changed) for (const key of changed) this.#read(key, entries.get(key), names)
    else this.#readAll(entries, names)
    let otherNodes = this.#last === null
    let otherContainers = this.#last === null
    for (const name of names) {
      const [node, containers] = [this.#nodes.get(name), this.#containers.get(name)]
      this.#show(name, spare)
      otherNodes ||= this.#nodes.get(name) !== node
      otherContainers ||= this.#containers.get(name) !== containers
    }
    const ending = this.#ending()
    if (otherNodes || otherContainers || ending !== this.#last?.ending)
      this.#last = {
        ending,
        nodes: otherNodes ? [...this.#nodes.values()].sort((a, b) => a.number - b.number) : this.#last!.nodes,
        containers: otherContainers ? this.#allContainers() : this.#last!.containers,
      }
    return { snapshot: this.#last!, spared: this.#spared.size > 0 }
  }

  /** What any manager says that Swarm is about to stop; those that say nothing, which is most nodes at most times, cost nothing. */
  #ending(): readonly string[] {
    if (this.#enders.size === 0) return none
    const all = [...this.#enders].flatMap(name => this.#alives.get(name)?.ending ?? [])
    const ending = [...new Set(all)].sort()
    return isDeepStrictEqual(ending, this.#last?.ending) ? this.#last!.ending : ending
  }

  #allContainers(): RemoteContainer[] {
    const all: RemoteContainer[] = []
    for (const name of [...this.#containers.keys()].sort())
      for (const container of this.#containers.get(name)!) all.push(container)
    return all
  }

  #readAll(entries: ReadonlyMap<string, KeyValue>, names: Set<string>): void {
    for (const name of this.#nodes.keys()) names.add(name)
    this.#places.clear()
    this.#alives.clear()
    this.#enders.clear()
    this.#told.clear()
    for (const [key, entry] of entries) this.#read(key, entry, names)
  }

  /** Takes in what etcd says by a key, undefined: nothing any more; adds the node it is about to `names`. */
  #read(key: string, entry: KeyValue | undefined, names: Set<string>): void {
    const keys = this.#keys
    if (key.startsWith(keys.allContainers)) {
      const path = key.slice(keys.allContainers.length)
      const slash = path.indexOf('/')
      if (slash < 0) return
      const [name, id] = [path.slice(0, slash), path.slice(slash + 1)]
      const container = entry && this.#container(path, entry)
      const told = this.#told.get(name) ?? new Map<string, RemoteContainer>()
      this.#told.set(name, told)
      if (container) told.set(id, container)
      else told.delete(id)
      names.add(name)
    } else if (key.startsWith(keys.nodes)) {
      const name = key.slice(keys.nodes.length)
      const place = placeOf(entry)
      if (place) this.#places.set(name, place)
      else this.#places.delete(name)
      names.add(name)
    } else if (key.startsWith(keys.alives)) {
      const name = key.slice(keys.alives.length)
      const alive = aliveOf(entry)
      if (entry) this.#alives.set(name, alive)
      else this.#alives.delete(name)
      if (alive?.ending.length) this.#enders.add(name)
      else this.#enders.delete(name)
      names.add(name)
    }
  }

  #container(path: string, entry: KeyValue): RemoteContainer | null {
    const container = this.#parsed.get(entry) ?? containerOf(path, entry)
    if (container) this.#parsed.set(entry, container)
    return container
  }

  /** Shows a node, and its containers, as etcd has them by now. */
  #show(name: string, spare: Spare): void {
    const was = this.#nodes.get(name)
    const place = this.#places.get(name)
    const isAlive = this.#alives.has(name)
    const couldBeSpared = was?.live === true && (!place || was.number === place.number)
    const isSpared = couldBeSpared && (!place || !isAlive) && spare(name)
    if (isSpared) this.#spared.add(name)
    else this.#spared.delete(name)
    if (!place && !isSpared) {
      this.#nodes.delete(name)
      this.#containers.delete(name)
      return
    }
    if (place) {
      const told = isAlive ? (this.#alives.get(name)?.told ?? true) : isSpared && was!.told
      const live = isAlive || isSpared
      const node = { ...recordOf(name, place), draining: place.draining, live, told }
      if (!isDeepStrictEqual(was, node)) this.#nodes.set(name, node)
    }
    // A node that is spared has no lease, and its containers are not there for the same reason.
    if (!isAlive && isSpared) return
    const list = isAlive ? [...(this.#told.get(name)?.values() ?? [])] : []
    const before = this.#containers.get(name)
    if (list.length === 0) this.#containers.delete(name)
    else if (!before || !sameItems(before, list)) this.#containers.set(name, merged(before, list))
  }
}

/** The list by id, with former objects in place of equal new ones: a key may be written again as it was. */
function merged(was: readonly RemoteContainer[] | undefined, list: readonly RemoteContainer[]) {
  const former = new Map(was?.map(container => [container.id, container]))
  const next = list.map(container => {
    const known = former.get(container.id)
    return known && isDeepStrictEqual(known, container) ? known : container
  })
  next.sort((a, b) => (a.id < b.id ? -1 : 1))
  return was && sameItems(was, next) ? was : next
}
