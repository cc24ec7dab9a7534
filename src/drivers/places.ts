/**
 * Small helpers all drivers share: from a place to its namespace, and what a
 * namespace that is no longer there looks like.
 */
import type { Change } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import type { KernelObject, Place } from '../kernel/objects.js'

/** A place that was not named, or whose namespace has vanished. */
export class PlaceGoneError extends Error {}

/** Path of a place's namespace; null for the agent's own. Throws PlaceGoneError for a place nobody named. */
export function pathOf(places: Places, place: Place): string | null {
  const path = places.get(place)
  if (path === undefined) throw new PlaceGoneError(`${place}: its network namespace is unknown`)
  return path
}

/**
 * Whether an error says that the namespace file does not open or is no namespace:
 * ENOENT (no such path), ESRCH (the process of /proc/PID/ns/net is a zombie), EINVAL
 * (a file, but not a namespace; setns(2)).
 */
export function placeIsGone(error: unknown): boolean {
  if (error instanceof PlaceGoneError) return true
  const { syscall, code } = error as { syscall?: unknown; code?: unknown }
  if (syscall !== 'open' && syscall !== 'setns') return false
  return code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL' || code === 'EACCES'
}

/** The place an object lives in; IPVS is the sandbox's. */
export function placeOf(object: KernelObject): Place {
  return 'place' in object ? object.place : 'mesh'
}

/** Changes by place, in the order in which the places first come. */
export function groupByPlace(changes: readonly Change[]): Map<Place, Change[]> {
  const groups = new Map<Place, Change[]>()
  for (const change of changes) {
    const place = placeOf(change.object)
    const group = groups.get(place)
    if (group) group.push(change)
    else groups.set(place, [change])
  }
  return groups
}
