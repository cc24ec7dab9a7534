/**
 * A plan in slices, and what makes two plans different. Pure.
 *
 * Slices lie in layers, one for each kind of thing they are made of. One that did not
 * change is the same array as last time, in the same place or near it, so that two
 * plans of ten thousand slices are compared without looking at their names or objects.
 */
import type { KernelObject } from '../kernel/objects.js'
import { differences } from '../model/differences.js'

export type Slice = readonly KernelObject[]

/** Slices of one kind; the same layer as long as none of them changes. */
export interface Layer {
  readonly slices: readonly Slice[]
  /** Name of the slice in a place. */
  readonly nameOf: (place: number) => string
}

export function layerOf(slices: ReadonlyMap<string, Slice>): Layer {
  const names = [...slices.keys()]
  return { slices: [...slices.values()], nameOf: place => names[place]! }
}

export const emptyLayer = layerOf(new Map())

/** Slices by name: `node`, `service NAME`, `direct ADDRESS`, `attachment ID`, `peer NAME`, `sender ADDRESS`, `way back SECTION`. */
export class Plan {
  private byName: ReadonlyMap<string, Slice> | null = null

  constructor(readonly layers: readonly Layer[]) {}

  private get all(): ReadonlyMap<string, Slice> {
    this.byName ??= new Map(
      this.layers.flatMap(({ slices, nameOf }) =>
        slices.map((slice, place) => [nameOf(place), slice] as const),
      ),
    )
    return this.byName
  }

  get(name: string): Slice | undefined {
    return this.all.get(name)
  }

  has(name: string): boolean {
    return this.all.has(name)
  }

  get size(): number {
    return this.all.size
  }

  keys(): Iterable<string> {
    return this.all.keys()
  }

  [Symbol.iterator](): Iterator<readonly [string, Slice]> {
    return this.all.entries()
  }

  *slices(): Generator<Slice> {
    for (const { slices } of this.layers) yield* slices
  }
}

export const emptyPlan = new Plan([])

export function planOf(plan: Plan): KernelObject[] {
  return [...plan.slices()].flat()
}

/** Slices that only one of two plans has. */
export function changedSlices(
  before: Plan,
  after: Plan,
): { readonly gone: readonly Slice[]; readonly come: readonly Slice[] } {
  const gone: Slice[] = []
  const come: Slice[] = []
  for (let i = 0; i < Math.max(before.layers.length, after.layers.length); i++) {
    const was = before.layers[i] ?? emptyLayer
    const is = after.layers[i] ?? emptyLayer
    if (was === is) continue
    const changed = differences(was.slices, is.slices)
    for (const slice of changed.gone) gone.push(slice)
    for (const slice of changed.come) come.push(slice)
  }
  return { gone, come }
}
