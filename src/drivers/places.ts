/**
 * Small helpers all drivers share: from a place to its namespace, and what a
 * namespace that is no longer there looks like.
 */
import { MeshError, NetlinkError } from '../errors.js'
import type { Change, Outcome } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import type { KernelObject, Place } from '../kernel/objects.js'

/** A place that nobody named, or whose namespace has vanished. */
export class PlaceGoneError extends MeshError {
  constructor(place: Place, reason: string, options?: { cause?: unknown }) {
    super('MESH_NOT_FOUND', `${place}: ${reason}`, options)
  }
}

/** The failure to open a namespace, told as what it means. */
export function goneError(place: Place, cause: unknown): PlaceGoneError {
  return cause instanceof PlaceGoneError
    ? cause
    : new PlaceGoneError(place, 'its network namespace is gone', { cause })
}

/** Path of a place's namespace; null for the agent's own. Throws PlaceGoneError for a place nobody named. */
export function pathOf(places: Places, place: Place): string | null {
  const path = places.get(place)
  if (path === undefined) throw new PlaceGoneError(place, 'its network namespace is not known')
  return path
}

/** ENOENT: no such path. ESRCH: its process is a zombie. EINVAL: a file, but no namespace (setns(2)). */
const goneCodes = new Set(['ENOENT', 'ESRCH', 'EINVAL'])
const openingCalls = new Set(['open', 'setns', 'stat', 'statfs'])

/** Whether an error says that a namespace file does not open or is no namespace. */
export function placeIsGone(error: unknown): boolean {
  if (error instanceof PlaceGoneError) return true
  if (error instanceof NetlinkError)
    return /^open \((open|setns)\)$/.test(error.operation) && goneCodes.has(error.errnoName)
  const { syscall, code } = error as { syscall?: unknown; code?: unknown }
  return openingCalls.has(String(syscall)) && goneCodes.has(String(code))
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

/** Collects what came of changes; those nobody reported on went well. */
export class Outcomes {
  private readonly errors = new Map<Change, Error>()

  fail(change: Change, error: unknown): void {
    this.errors.set(change, error instanceof Error ? error : new Error(String(error)))
  }

  /** All of them failed for one reason. In a place that is gone nothing is left to remove, which is success. */
  failAll(changes: readonly Change[], error: unknown): void {
    const gone = placeIsGone(error)
    for (const change of changes) {
      if (gone && change.type === 'remove') continue
      this.fail(change, gone ? goneError(placeOf(change.object), error) : error)
    }
  }

  failed(change: Change): boolean {
    return this.errors.has(change)
  }

  errorOf(change: Change): Error | null {
    return this.errors.get(change) ?? null
  }

  /** What failed at first went well in the end. */
  clear(change: Change): void {
    this.errors.delete(change)
  }

  list(changes: readonly Change[]): Outcome[] {
    return changes.map(change => ({ change, error: this.errors.get(change) ?? null }))
  }
}
