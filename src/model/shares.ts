/**
 * From weights by label to the weight of each endpoint. Pure.
 */
import type { Selectable } from './container.js'
import { matches } from './selector.js'
import type { LabelWeight } from './service.js'
import { largestWeight } from './weights.js'

/** An endpoint to be weighed: whose labels count, null if it has none, and whether it gets new connections at all. */
export interface Weighed {
  readonly carrier: Selectable | null
  readonly counts: boolean
}

/** Weights that make up percentages are not made larger than this to come nearer to them. */
const finest = 200
/** How far from its percentage a group may be, percent of all. */
const tolerance = 0.1

/**
 * The weight of each endpoint: that of the first rule its container matches, else 1. Where
 * there are percentages, the smallest whole numbers that give each group its share of
 * what goes to the endpoints that count, since the kernel's `wrr` deals them out in
 * runs as long as the weights are large. What percentages leave over is for the others;
 * where one side has no endpoints, the other gets all.
 */
export function weightsOf(rules: readonly LabelWeight[], endpoints: readonly Weighed[]): number[] {
  const found = endpoints.map(({ carrier }) =>
    carrier === null
      ? null
      : (rules.find(({ label, value }) => matches(carrier, { [label]: value })) ?? null),
  )
  if (!found.some(rule => rule?.percent)) return found.map(rule => rule?.weight ?? 1)
  const shares = sharesOf(found, endpoints)
  const total = sumOf(shares)
  if (total === 0) return shares
  const smallest = Math.min(...shares.filter(share => share > 0))
  const groups = [...new Set(found)]
  for (let scale = 1; ; scale++) {
    const weights = shares.map(share => Math.round((share / smallest) * scale))
    const distance = (group: LabelWeight | null) => {
      const partOf = (all: readonly number[]) => sumOf(all.filter((_, i) => found[i] === group)) / sumOf(all)
      return Math.abs(partOf(weights) - partOf(shares)) * 100
    }
    if (groups.every(group => distance(group) <= tolerance) || Math.max(...weights) > finest)
      return weights.map(weight => Math.min(weight, largestWeight))
  }
}

/** The share of each endpoint; 0 for those that do not count. */
function sharesOf(found: readonly (LabelWeight | null)[], endpoints: readonly Weighed[]): number[] {
  const sizes = new Map<LabelWeight | null, number>()
  const plain = endpoints.map(({ counts }, i) => {
    const rule = found[i] ?? null
    if (counts) sizes.set(rule, (sizes.get(rule) ?? 0) + 1)
    return counts && !rule?.percent ? (rule?.weight ?? 1) : 0
  })
  const others = sumOf(plain)
  const given = sumOf([...sizes.keys()].map(rule => (rule?.percent ? rule.weight : 0)))
  return endpoints.map(({ counts }, i) => {
    const rule = found[i] ?? null
    if (counts && rule?.percent) return rule.weight / (sizes.get(rule) ?? 1)
    return others === 0 ? 0 : (plain[i]! / others) * Math.max(0, 100 - given)
  })
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}
