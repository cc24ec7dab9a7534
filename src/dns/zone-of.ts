/**
 * The mesh as the resolver is told of it: which names its services have, and who calls from
 * where. Pure but for what is remembered: what did not change is the same object again, so
 * that only what is new goes to the resolver's thread.
 */
import { isDeepStrictEqual } from 'node:util'
import { createScopes } from '../model/callers.js'
import type { Container } from '../model/container.js'
import type { Endpoint, MeshService } from '../model/mesh.js'
import { composeProjectLabel, isServed } from '../model/service.js'
import { vipPortsOf } from '../model/vip-ports.js'
import type { Caller, NamedEndpoint, NamedService } from './named.js'

export interface Addresses {
  /** IPv4 address at which an endpoint is reached; null: it has none yet. */
  readonly ofEndpoint: (endpoint: Endpoint) => string | null
  /** Mesh address of a container, by its id; null: it is not on the mesh. */
  readonly ofContainer: (id: string) => string | null
  /** An IPv4 address of the mesh with that of IPv6 that goes with it, where there is one. */
  readonly withTwin: (address: string) => readonly string[]
}

export interface Named {
  readonly services: ReadonlyMap<string, NamedService>
  /** By address. */
  readonly callers: ReadonlyMap<string, Caller>
}

/** A function from what there is now to its names. */
export function createNaming(): (
  services: readonly MeshService[],
  containers: readonly Container[],
  addresses: Addresses,
) => Named {
  let before: Named = { services: new Map(), callers: new Map() }
  let addressesBefore = new WeakMap<MeshService, readonly (string | null)[]>()
  return (services, containers, addresses) => {
    const named = new Map<string, NamedService>()
    const nextAddresses = new WeakMap<MeshService, readonly (string | null)[]>()
    for (const each of services) {
      const { name } = each.service
      if (!isServed(each.service)) continue
      const own = each.endpoints.map(addresses.ofEndpoint)
      nextAddresses.set(each, own)
      const known = before.services.get(name)
      if (known && isDeepStrictEqual(addressesBefore.get(each), own)) named.set(name, known)
      else named.set(name, sameOr(known, nameService(each, own, addresses.withTwin)))
    }
    addressesBefore = nextAddresses
    before = {
      services: named,
      callers: callersOf(containers, createScopes(services), addresses, before.callers),
    }
    return before
  }
}

function sameOr<Value>(before: Value | undefined, now: Value): Value {
  return before !== undefined && isDeepStrictEqual(before, now) ? before : now
}

function nameService(
  { service, endpoints }: MeshService,
  addresses: readonly (string | null)[],
  withTwin: Addresses['withTwin'],
): NamedService {
  const { name, vip, endpointMode, scopes } = service
  const isLocal = (alias: string) => alias.endsWith('.local')
  return {
    name,
    aliases: service.aliases.filter(alias => !isLocal(alias)),
    localNames: service.aliases.filter(isLocal),
    vips: endpointMode === 'vip' && vip !== null ? withTwin(vip) : [],
    endpoints: endpoints.flatMap(({ state, weight, port }, i): NamedEndpoint[] => {
      const address = addresses[i] ?? null
      return state === 'ready' && weight > 0 && address !== null
        ? [{ addresses: withTwin(address), port }]
        : []
    }),
    ports: vipPortsOf(service),
    scopes,
  }
}

function callersOf(
  containers: readonly Container[],
  scopesOf: (container: Container) => readonly string[],
  { ofContainer, withTwin }: Addresses,
  before: ReadonlyMap<string, Caller>,
): Map<string, Caller> {
  const callers = new Map<string, Caller>()
  for (const container of containers) {
    const { id, labels, addresses, network } = container
    const owner = network.startsWith('container:') ? network.slice('container:'.length) : id
    const onMesh = ofContainer(owner)
    const caller: Caller = {
      scopes: scopesOf(container),
      project: labels[composeProjectLabel] ?? null,
    }
    for (const address of [...addresses, ...(onMesh === null ? [] : withTwin(onMesh))]) {
      const other = callers.get(address)
      const now = other ? together(other, caller) : caller
      callers.set(address, sameOr(before.get(address), now))
    }
  }
  return callers
}

/** Two containers of one network namespace. */
function together(one: Caller, other: Caller): Caller {
  return {
    scopes: [...new Set([...one.scopes, ...other.scopes])],
    project: one.project ?? other.project,
  }
}
