/**
 * Lists compared by identity: whether they are the same, what is new and what is gone. Pure.
 */

/**
 * Items that only one of the lists has, by identity; one that has moved may be both gone
 * and come. Lists that differ in few places are walked side by side, and where they part
 * the next item that they share is looked for close by.
 */
export function differences<Item>(
  before: readonly Item[],
  after: readonly Item[],
): { readonly gone: readonly Item[]; readonly come: readonly Item[] } {
  const gone: Item[] = []
  const come: Item[] = []
  let i = 0
  let k = 0
  while (i < before.length && k < after.length) {
    if (before[i] === after[k]) {
      i++
      k++
      continue
    }
    const step = meeting(before, i, after, k)
    if (!step) break
    for (const end = i + step[0]; i < end; i++) gone.push(before[i]!)
    for (const end = k + step[1]; k < end; k++) come.push(after[k]!)
  }
  const restBefore = new Set(before.slice(i))
  const restAfter = new Set(after.slice(k))
  for (const item of restBefore) if (!restAfter.has(item)) gone.push(item)
  for (const item of restAfter) if (!restBefore.has(item)) come.push(item)
  return { gone, come }
}

/** Whether both lists have the same items, by identity, in the same order. */
export function sameItems<Item>(some: readonly Item[], others: readonly Item[]): boolean {
  if (some === others) return true
  if (some.length !== others.length) return false
  // Lists of a hundred thousand come here, for which a function called on each would take long.
  for (let i = 0; i < some.length; i++) if (some[i] !== others[i]) return false
  return true
}

/** How far it is looked for a place from which on the lists are the same again. */
const sight = 8

/** How many items of each list it is to the next item that they share; null: out of sight. */
function meeting<Item>(
  before: readonly Item[],
  i: number,
  after: readonly Item[],
  k: number,
): readonly [number, number] | null {
  for (let sum = 1; sum <= sight; sum++)
    for (let own = 0; own <= sum; own++) {
      const [a, b] = [i + own, k + sum - own]
      const ended = a >= before.length && b >= after.length
      if (ended || (a < before.length && before[a] === after[b])) return [own, sum - own]
    }
  return null
}
