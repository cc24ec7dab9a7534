/**
 * Containers by their labels. Pure.
 */
import type { Container, Selectable } from './container.js'
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

/** Things by tags. Most tags, the names among them, are one thing's alone: it needs no list. */
class ByTag<Item extends object | number> {
  private readonly byLabel = new Map<string, Map<string, Item | Item[]>>()

  /** `order`: by which what carries one tag is kept; without it as it came. */
  constructor(private readonly order: ((a: Item, b: Item) => number) | null = null) {}

  file([label, value]: Tag, item: Item): void {
    const byValue = this.byLabel.get(label) ?? new Map<string, Item | Item[]>()
    this.byLabel.set(label, byValue)
    const filed = byValue.get(value)
    if (filed === undefined) byValue.set(value, item)
    else {
      const list = Array.isArray(filed) ? filed : [filed]
      list.splice(this.placeIn(list, item), 0, item)
      byValue.set(value, list)
    }
  }

  remove([label, value]: Tag, item: Item): void {
    const byValue = this.byLabel.get(label)
    const filed = byValue?.get(value)
    if (!byValue || filed === undefined) return
    const left = (Array.isArray(filed) ? filed : [filed]).filter(each => each !== item)
    if (left.length === 0) byValue.delete(value)
    else byValue.set(value, left.length === 1 ? left[0]! : left)
  }

  get([label, value]: Tag): readonly Item[] {
    const filed = this.byLabel.get(label)?.get(value) ?? []
    return Array.isArray(filed) ? filed : [filed]
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
  private readonly byTag: ByTag<Item>

  /** `order`: in which containers are found; without it as they were added. */
  constructor(containers: readonly Item[], order: ((a: Item, b: Item) => number) | null = null) {
    this.byTag = new ByTag(order)
    for (const container of containers) this.add(container)
  }

  add(container: Item): void {
    for (const tag of tagsOf(container)) this.byTag.file(tag, container)
  }

  remove(container: Item): void {
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

/** The same for containers that are also found by their id. */
export class OwnContainerIndex extends ContainerIndex<Container> {
  readonly byId: ReadonlyMap<string, Container>

  constructor(containers: readonly Container[]) {
    super(containers)
    this.byId = new Map(containers.map(container => [container.id, container]))
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
