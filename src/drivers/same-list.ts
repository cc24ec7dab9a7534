/**
 * How a driver that has read everything anew finds that nothing has changed.
 */
import { sameObject } from '../kernel/diff.js'
import { type KernelObject, keyOf } from '../kernel/objects.js'

/** The list of before, where the one of now says the same in the same order. */
export function sameList(
  before: readonly KernelObject[],
  now: readonly KernelObject[],
): readonly KernelObject[] {
  if (before.length !== now.length) return now
  for (let i = 0; i < now.length; i++) if (!isSame(before[i]!, now[i]!)) return now
  return before
}

/** `sameObject` tells apart objects of one key. */
function isSame(some: KernelObject, other: KernelObject): boolean {
  return some === other || (keyOf(some) === keyOf(other) && sameObject(some, other))
}
