/**
 * Containers whose end is known beforehand, from what was said of their node or of their
 * task. Pure; the same object each time, so that nobody looks at them again.
 */
import type { RemoteContainer } from '../model/cluster.js'
import type { Container } from '../model/container.js'
import type { ContainerSnapshot } from '../model/snapshot.js'

type Change<Item extends object> = (item: Item) => Item

function remembered<Item extends object>(change: Change<Item>): Change<Item> {
  const known = new WeakMap<Item, Item>()
  return item => {
    const changed = known.get(item) ?? change(item)
    known.set(item, changed)
    return changed
  }
}

/** The same container, told to stop. */
export const leavingRemote = remembered<RemoteContainer>(each => ({ ...each, state: 'leaving' }))

/** The same container, which Swarm is about to stop. */
export const endingRemote = remembered<RemoteContainer>(each =>
  each.state === 'ready' ? { ...each, state: 'ending' } : each,
)

const leaving = remembered<Container>(each => ({ ...each, leaving: true }))
const ending = remembered<Container>(each => ({ ...each, ending: true }))

/** Containers of a draining node keep their connections and get no new ones, as if each was told to stop. */
export function allLeaving(snapshot: ContainerSnapshot): ContainerSnapshot {
  return { ...snapshot, containers: snapshot.containers.map(leaving) }
}

/** `ids`: of containers that Swarm is about to stop. */
export function withEndings(snapshot: ContainerSnapshot, ids: ReadonlySet<string>): ContainerSnapshot {
  if (ids.size === 0) return snapshot
  return {
    ...snapshot,
    containers: snapshot.containers.map(each => (ids.has(each.id) ? ending(each) : each)),
  }
}
