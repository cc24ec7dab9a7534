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
    const isSameList =
      services.length === before.length &&
      services.every((each, place) => each.service === before[place]!.value.service)
    if (!isSameList) {
      const former = new Map(before.map(each => [each.value.service.name, each]))
      const again = (service: MeshService) => {
        const was = former.get(service.service.name)
        return was?.value === service && was.complete && !afresh ? was : plan(service, surroundings, was)
      }
      this.take(services.map(again))
      this.rearrange()
      return
    }
    const places = new Set(afresh ? services.keys() : this.incomplete)
    for (let place = 0; place < services.length; place++)
      if (services[place] !== before[place]!.value) places.add(place)
    if (places.size === 0) return
    const next = before.slice()
    for (const place of places) next[place] = plan(services[place]!, surroundings, before[place])
    this.take(next)
    if ([...places].some(place => next[place]!.needs !== before[place]!.needs)) this.sum()
  }

  private take(planned: readonly Planned[]): void {
    this.planned = planned
    const slices = planned.map(({ slice }) => slice)
    this.layer = { slices, nameOf: place => `service ${planned[place]!.value.service.name}` }
    this.incomplete = placesOf(planned, ({ complete }) => !complete)
  }

  /** Notes what follows from which services there are, and not from their endpoints. */
  private rearrange(): void {
    this.sum()
    this.directPlaces = placesOf(this.planned, ({ value }) => value.service.endpointMode === 'dnsrr')
  }

  private sum(): void {
    this.needs = this.planned.map(({ needs }) => needs).filter(needs => needs !== noNeeds)
  }
}
