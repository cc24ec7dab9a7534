/**
 * Containers by their labels. Pure.
 */
import type { Selectable } from './container.js'
import { matchesByName } from './names.js'
import { matches } from './selector.js'
import { composeServiceLabel, containerNameLabel, type Service, swarmServiceLabel } from './service.js'

/**
 * Finds the containers of a service without walking all of them: by the value of
 * one label that it asks for.
 */
export class ContainerIndex<Item extends Selectable> {
  readonly byId: ReadonlyMap<string, Item>
  private readonly byLabel = new Map<string, Map<string, Item[]>>()

  constructor(containers: readonly Item[]) {
    this.byId = new Map(containers.map(container => [container.id, container]))
    for (const container of containers) {
      for (const [label, value] of Object.entries(container.labels)) this.file(label, value, container)
      this.file(containerNameLabel, container.name, container)
    }
  }

  private file(label: string, value: string, container: Item): void {
    const byValue = this.byLabel.get(label) ?? new Map<string, Item[]>()
    this.byLabel.set(label, byValue)
    const filed = byValue.get(value)
    if (filed) filed.push(container)
    else byValue.set(value, [container])
  }

  /** Those that carry a label with this value. */
  with(label: string, value: string): readonly Item[] {
    return this.byLabel.get(label)?.get(value) ?? []
  }

  of(service: Service): Item[] {
    if (service.selector) {
      const selector = service.selector
      const first = Object.entries(selector)[0]
      if (!first) return []
      return this.with(...first).filter(container => matches(container, selector))
    }
    const shortName = service.name.slice(service.name.indexOf('/') + 1)
    const found = new Set<Item>()
    for (const label of [swarmServiceLabel, composeServiceLabel, containerNameLabel])
      for (const container of this.with(label, shortName))
        if (matchesByName(container, service.name)) found.add(container)
    return [...found]
  }
}
