/**
 * The name a person probably meant. Pure.
 */

/** The closest of `names` within two slips of the finger (one letter added, lost or changed), or null. */
export function nearest(name: string, names: readonly string[]): string | null {
  let best: string | null = null
  let least = 3
  for (const candidate of names) {
    const distance = slips(name, candidate)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Edit distance, row by row. */
function slips(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
