/**
 * Endpoints that are called at their own mesh addresses, because the name of their service
 * stands for them (endpoint mode dnsrr). The sandbox forwards such calls to the ports of
 * the service and refuses all others, in a slice for each address: several services may
 * have one endpoint. Pure.
 */
import type { KernelObject } from '../kernel/objects.js'
import type { Caller } from '../model/callers.js'
import type { MeshService } from '../model/mesh.js'
import { pairsOf, vipPortsOf } from '../model/vip-ports.js'
import { entry } from './objects.js'
import { isReachedIn } from './peers.js'
import { meshAddressOf, type ServiceSurroundings } from './service.js'
import { sourcesOf } from './vips.js'

/** What is open at one mesh address, IPv4. */
interface Direct {
  /** `tcp:80` each. */
  readonly ports: Set<string>
  /** Whether a service that has it is for some callers only; then it is for those of all its services. */
  scoped: boolean
  readonly callers: Map<string, Caller>
}

function directOf(services: readonly MeshService[], surroundings: ServiceSurroundings): Map<string, Direct> {
  const all = new Map<string, Direct>()
  for (const { service, endpoints, callers } of services) {
    if (service.endpointMode !== 'dnsrr') continue
    for (const endpoint of endpoints) {
      const address = endpoint.kind === 'external' ? null : meshAddressOf(endpoint, surroundings)
      if (address === null || endpoint.state !== 'ready') continue
      const direct = all.get(address) ?? { ports: new Set(), scoped: false, callers: new Map() }
      all.set(address, direct)
      for (const port of vipPortsOf(service))
        for (const { target } of pairsOf(port))
          direct.ports.add(`${port.protocol}:${endpoint.port ?? target}`)
      direct.scoped ||= service.scopes.length > 0
      for (const caller of callers) direct.callers.set(caller.id, caller)
    }
  }
  return all
}

function planDirect(
  address: string,
  direct: Direct,
  { vips, addresses, without6 }: ServiceSurroundings,
): KernelObject[] {
  return vips.flatMap(({ stack }) => {
    if (!isReachedIn(stack, address, without6)) return []
    const { sets } = stack
    const own = stack.address(address)
    const sources = direct.scoped ? sourcesOf([...direct.callers.values()], stack, addresses) : []
    return [
      ...sources.map(source => entry('mesh', sets.allowed, `${source},${own}`)),
      ...(direct.scoped ? [entry('mesh', sets.scoped, own)] : []),
      ...[...direct.ports].map(port => entry('mesh', sets.direct, `${own},${port}`)),
    ]
  })
}

/** Makes the slices by address; one of which nothing changed is the same array as last time. */
export function createDirectPlanner(): (
  services: readonly MeshService[],
  surroundings: ServiceSurroundings,
) => ReadonlyMap<string, readonly KernelObject[]> {
  let known = new Map<string, { readonly text: string; readonly slice: readonly KernelObject[] }>()
  return (services, surroundings) => {
    const next: typeof known = new Map()
    for (const [address, direct] of directOf(services, surroundings)) {
      const slice = planDirect(address, direct, surroundings)
      const text = JSON.stringify(slice)
      const before = known.get(address)
      next.set(address, before?.text === text ? before : { text, slice })
    }
    known = next
    return new Map([...next].map(([address, { slice }]) => [address, slice]))
  }
}
