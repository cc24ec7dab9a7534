/**
 * How long destinations of a virtual service may drain, also when its service is gone.
 */
import { keyOfVirtualService, type ServiceMatch } from '../kernel/objects.js'
import type { MeshService } from '../model/mesh.js'
import type { Service } from '../model/service.js'
import type { Node } from '../model/snapshot.js'
import { sandboxAddress } from './addresses.js'
import { type PlanSettings, stacksOfNode } from './base.js'
import { matchOf, unitsOf } from './units.js'
import { matchOfVip, vipRangesOf, vipUnitsOf } from './vips.js'

export class Drains {
  /** Seconds by key of virtual service. */
  private readonly byKey = new Map<string, number>()
  private noted = new WeakSet<Service>()
  /** The list that was noted last. */
  private last: readonly MeshService[] = []

  constructor(private readonly settings: PlanSettings) {}

  /** Remembers the drain times of services, which never change, for all their virtual services. */
  note(services: readonly MeshService[], node: Node): void {
    const { last } = this
    this.last = services
    for (let place = 0; place < services.length; place++)
      if (services[place] !== last[place]) this.noteOne(services[place]!.service, node)
  }

  private noteOne(service: Service, node: Node): void {
    if (this.noted.has(service)) return
    this.noted.add(service)
    for (const match of this.matchesOf(service, node))
      this.byKey.set(keyOfVirtualService(match), service.drain)
  }

  /** Seconds; undefined: nobody knows the virtual service. */
  of(match: ServiceMatch): number | undefined {
    return this.byKey.get(keyOfVirtualService(match))
  }

  private *matchesOf(service: Service, node: Node): Generator<ServiceMatch> {
    const stacks = stacksOfNode(node, this.settings)
    const sandbox = sandboxAddress(node.subnet)
    for (const unit of unitsOf(service))
      for (const { family, address } of stacks) yield matchOf(unit, address(sandbox), family)
    if (service.vip === null) return
    for (const range of vipRangesOf(this.settings, stacks))
      for (const unit of vipUnitsOf(service)) yield matchOfVip(unit, service.vip, range)
  }
}
