/**
 * The slices of services, planned anew only where something changed. Pure.
 */
import { isDeepStrictEqual } from 'node:util'
import type { MeshService } from '../model/mesh.js'
import { type BaseNeeds, noNeeds } from './base.js'
import { planService, type ServiceSurroundings } from './service.js'
import { emptyLayer, type Layer, type Slice } from './slices.js'
import { type Unit, unitsOf } from './units.js'

interface Planned {
  readonly value: MeshService
  readonly slice: Slice
  readonly needs: BaseNeeds
  /** Whether every endpoint and caller had an address. */
  readonly complete: boolean
}

function unboundSctpPorts({ protocol, ports, address, aliases }: Unit): number[] {
  if (protocol !== 'sctp') return []
  const others = aliases.filter(alias => alias.address === null).map(({ port }) => port)
  return address === null ? [...ports, ...others] : others
}

/** What a service asks of the node's own slice; `noNeeds` itself for nothing. */
function needsOf({ endpoints }: MeshService, units: readonly Unit[]): BaseNeeds {
  const needs = {
    aliases: units.flatMap(unit => unit.aliases.map(alias => ({ unit, alias }))),
    externals: endpoints.flatMap(({ kind, address }) => (kind === 'external' ? [address!] : [])),
    nodeEndpoints: endpoints.some(({ kind }) => kind === 'node'),
    sctpPorts: units.flatMap(unboundSctpPorts),
  }
  return isDeepStrictEqual(needs, noNeeds) ? noNeeds : needs
}

function plan(value: MeshService, surroundings: ServiceSurroundings, before: Planned | undefined): Planned {
  const { addresses } = surroundings
  const needs = needsOf(value, unitsOf(value.service))
  return {
    value,
    slice: planService(value, surroundings),
    needs: before && isDeepStrictEqual(before.needs, needs) ? before.needs : needs,
    complete:
      value.endpoints.every(
        ({ kind, attachment }) => kind !== 'container' || addresses(attachment!) !== null,
      ) && value.callers.every(({ id, attached }) => !attached || addresses(id) !== null),
  }
}

function placesOf<Item>(items: readonly Item[], condition: (item: Item) => boolean): number[] {
  const places: number[] = []
  for (let place = 0; place < items.length; place++) if (condition(items[place]!)) places.push(place)
  return places
}

export class ServiceSlices {
  private services: readonly MeshService[] = []
  private planned: readonly Planned[] = []
  /** Places of services that miss an address. */
  private incomplete: readonly number[] = []
  private directPlaces: readonly number[] = []
  /** In the places that the services have. */
  layer: Layer = emptyLayer
  /** What the services ask of the node's own slice; the same list as long as that is the same. */
  needs: readonly BaseNeeds[] = []

  /** Services whose endpoints are called at their own addresses. */
  get direct(): MeshService[] {
    return this.directPlaces.map(place => this.planned[place]!.value)
  }

  /** `afresh`: something has changed that all of them depend on. */
  plan(services: readonly MeshService[], surroundings: ServiceSurroundings, afresh: boolean): void {
    const before = this.planned
    const places = this.changedPlaces(services, afresh)
    this.services = services
    if (places === null) {
      const former = new Map(before.map(each => [each.value.service.name, each]))
      const again = (service: MeshService) => {
        const was = former.get(service.service.name)
        return was?.value === service && was.complete && !afresh ? was : plan(service, surroundings, was)
      }
      this.planned = services.map(again)
      this.rearrange()
      return
    }
    if (places.length === 0) return
    const next = before.slice()
    const slices = this.layer.slices.slice()
    const incomplete = new Set(this.incomplete)
    let otherNeeds = false
    for (const place of places) {
      const planned = plan(services[place]!, surroundings, before[place])
      next[place] = planned
      slices[place] = planned.slice
      otherNeeds ||= planned.needs !== before[place]!.needs
      if (planned.complete) incomplete.delete(place)
      else incomplete.add(place)
    }
    this.planned = next
    this.incomplete = [...incomplete]
    this.layer = this.layerOf(slices)
    if (otherNeeds) this.sum()
  }

  /** Places of services that have to be planned again; null: it is another list of services. */
  private changedPlaces(services: readonly MeshService[], afresh: boolean): readonly number[] | null {
    const before = this.services
    if (services.length !== before.length) return null
    const places = new Set(afresh ? services.keys() : this.incomplete)
    for (let place = 0; place < services.length; place++) {
      if (services[place] === before[place]) continue
      if (services[place]!.service !== before[place]!.service) return null
      places.add(place)
    }
    return [...places]
  }

  private layerOf(slices: readonly Slice[]): Layer {
    const { planned } = this
    return { slices, nameOf: place => `service ${planned[place]!.value.service.name}` }
  }

  /** Notes what follows from which services there are, and not from their endpoints. */
  private rearrange(): void {
    this.layer = this.layerOf(this.planned.map(({ slice }) => slice))
    this.incomplete = placesOf(this.planned, ({ complete }) => !complete)
    this.sum()
    this.directPlaces = placesOf(this.planned, ({ value }) => value.service.endpointMode === 'dnsrr')
  }

  private sum(): void {
    this.needs = this.planned.map(({ needs }) => needs).filter(needs => needs !== noNeeds)
  }
}
