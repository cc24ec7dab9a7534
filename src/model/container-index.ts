/**
 * Containers by their labels. Pure.
 */
import type { Selectable } from './container.js'
import { matchesByName } from './names.js'
import { matches } from './selector.js'
import { composeServiceLabel, containerNameLabel, type Service, swarmServiceLabel } from './service.js'

/** A label and its value. */
export type Tag = readonly [label: string, value: string]

/** What containers can be found by: their labels, and their name. */
function* tagsOf({ labels, name }: Selectable): Generator<Tag> {
  yield* Object.entries(labels)
  yield [containerNameLabel, name]
}

/** The tags by which the containers of a service are found: each of them carries one of these. */
function tagsOfService({ selector, name }: Service): readonly Tag[] {
  if (selector) return Object.entries(selector).slice(0, 1)
  const shortName = name.slice(name.indexOf('/') + 1)
  return [swarmServiceLabel, composeServiceLabel, containerNameLabel].map(label => [label, shortName])
}

/** Things by tags. */
class ByTag<Item> {
  private readonly byLabel = new Map<string, Map<string, Item[]>>()

  /** `order`: by which what carries one tag is kept; without it as it came. */
  constructor(private readonly order: ((a: Item, b: Item) => number) | null = null) {}

  file([label, value]: Tag, item: Item): void {
    const byValue = this.byLabel.get(label) ?? new Map<string, Item[]>()
    this.byLabel.set(label, byValue)
    const filed = byValue.get(value)
    if (!filed) byValue.set(value, [item])
    else filed.splice(this.placeIn(filed, item), 0, item)
  }

  remove([label, value]: Tag, item: Item): void {
    const byValue = this.byLabel.get(label)
    const filed = byValue?.get(value)
    if (!byValue || !filed) return
    const at = filed.indexOf(item)
    if (at >= 0) filed.splice(at, 1)
    if (filed.length === 0) byValue.delete(value)
  }

  get([label, value]: Tag): readonly Item[] {
    return this.byLabel.get(label)?.get(value) ?? []
  }

  private placeIn(list: readonly Item[], item: Item): number {
    const { order } = this
    let [low, high] = [0, list.length]
    if (!order || order(list[high - 1]!, item) <= 0) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if (order(list[middle]!, item) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Finds the containers of a service without walking all of them. */
export class ContainerIndex<Item extends Selectable> {
  private readonly known = new Map<string, Item>()
  private readonly byTag: ByTag<Item>

  /** `order`: in which containers are found; without it as they were added. */
  constructor(containers: readonly Item[], order: ((a: Item, b: Item) => number) | null = null) {
    this.byTag = new ByTag(order)
    for (const container of containers) this.add(container)
  }

  get byId(): ReadonlyMap<string, Item> {
    return this.known
  }

  add(container: Item): void {
    this.known.set(container.id, container)
    for (const tag of tagsOf(container)) this.byTag.file(tag, container)
  }

  remove(container: Item): void {
    if (this.known.get(container.id) === container) this.known.delete(container.id)
    for (const tag of tagsOf(container)) this.byTag.remove(tag, container)
  }

  /** Those that carry a label with this value. */
  with(label: string, value: string): readonly Item[] {
    return this.byTag.get([label, value])
  }

  of(service: Service): readonly Item[] {
    const { selector, name } = service
    if (selector) {
      const [tag] = tagsOfService(service)
      const found = tag ? this.byTag.get(tag) : []
      return found.length === 0 ? found : found.filter(container => matches(container, selector))
    }
    const found = new Set<Item>()
    for (const tag of tagsOfService(service))
      for (const container of this.byTag.get(tag)) if (matchesByName(container, name)) found.add(container)
    return [...found]
  }
}

/** Finds the services that a container may be one of. */
export class ServiceIndex {
  private readonly byTag = new ByTag<number>()

  constructor(services: readonly Service[]) {
    for (const [i, service] of services.entries())
      for (const tag of tagsOfService(service)) this.byTag.file(tag, i)
  }

  /** Their places in the list of services; a place may come more than once. */
  *of(container: Selectable): Generator<number> {
    for (const tag of tagsOf(container)) yield* this.byTag.get(tag)
  }
}
