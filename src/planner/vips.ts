/**
 * VIPs: what leads packets to one, and what answers there. Pure.
 *
 * No VIP is anybody's address. One `local` route makes the whole pool the sandbox's, so
 * that IPVS sees packets to it; one route in the host and in each attached container
 * leads there. A port of a VIP is a virtual service by protocol, address and port, and
 * costs neither a set's element nor a rule. What no virtual service takes meets the
 * sandbox's own stack: a ping is answered, any other port is refused at once. Without a
 * ready endpoint there is no virtual service, unless connections of it may still end;
 * IPVS would then refuse others by an ICMP error, which a caller on this machine misses in
 * IPv6 (see stack.ts), so that they are refused before it.
 *
 * A client whose persistence is to hold for several ports together needs one virtual service
 * for all of them, by fwmark. For such a one IPVS keeps the port that a packet came
 * with, whatever port the destination has (ip_vs_sched_persist, net/netfilter/ipvs/ip_vs_core.c);
 * so it is only made where every port is the same at VIP and endpoint.
 */
import type { KernelObject, Place, ServiceMatch } from '../kernel/objects.js'
import { fwmarkOfVip, meshLink, protocolNumbers } from '../kernel/ownership.js'
import type { Caller } from '../model/callers.js'
import { offsetIn } from '../model/ipv4.js'
import type { MeshService } from '../model/mesh.js'
import { type Protocol, protocols } from '../model/ports.js'
import type { Service } from '../model/service.js'
import { pairsOf, vipPortsOf } from '../model/vip-ports.js'
import { chains } from './names.js'
import { chain, entry, jump, localTable, route, set } from './objects.js'
import { ipv6, ofFamily, refusals, type Stack, type Stacks } from './stack.js'

/** The VIPs of one family. */
export interface VipRange {
  readonly stack: Stack
  /** All of them: `10.253.0.0/16`. */
  readonly pool: string
  /** The pool as the store has it, whose addresses are those of services. */
  readonly pool4: string
  /** A VIP of the store in this family. */
  address(vip: string): string
}

/** Where the VIPs of a mesh are. */
export interface VipPools {
  /** `10.253.0.0/16`; null or missing: services have no VIPs. */
  readonly vipPool?: string | null
  /** Those of IPv6, `fd4d:6573:69::/96`; null or missing: VIPs are of IPv4 alone. */
  readonly vipPool6?: string | null
}

export function vipRangesOf({ vipPool, vipPool6 }: VipPools, stacks: Stacks): VipRange[] {
  if (vipPool === null || vipPool === undefined) return []
  return stacks.flatMap((stack): VipRange[] => {
    if (stack.family === 'inet') return [{ stack, pool: vipPool, pool4: vipPool, address: vip => vip }]
    if (vipPool6 === null || vipPool6 === undefined) return []
    const six = ipv6(vipPool, vipPool6)
    return [{ stack, pool: six.subnet(vipPool), pool4: vipPool, address: six.address }]
  })
}

/** The way to all VIPs, by way of the link to the sandbox; callers of this place show themselves as `source`. */
export function wayToVips(place: Place, { pool }: VipRange, sandbox: string, source: string): KernelObject {
  return route(place, pool, meshLink, { gateway: sandbox, source })
}

/** What all VIPs need together. */
export function planVipRange({ stack, pool }: VipRange): KernelObject[] {
  const { family, sets } = stack
  return [
    route('mesh', pool, 'lo', { table: localTable, type: 'local' }),
    set('mesh', sets.vip, 'hash:ip,port', true, family),
    set('mesh', sets.refused, 'hash:ip,port', false, family),
    set('mesh', sets.direct, 'hash:ip,port', false, family),
    set('mesh', sets.scoped, 'hash:ip', false, family),
    set('mesh', sets.allowed, 'hash:net,net', false, family),
    // Before IPVS, which translates later than this chain of the sandbox is asked.
    chain('mesh', 'filter', chains.input, [unanswered(stack), ...outOfScope(stack)], family),
    jump('mesh', 'filter', 'INPUT', chains.input, `-d ${pool}`, family),
  ]
}

/** To who opens a connection where nobody takes any. */
function unanswered(stack: Stack): string {
  return refusals(`-m set --match-set ${stack.sets.refused} dst,dst`, stack)[0]!
}

function outOfScope(stack: Stack): string[] {
  const { scoped, allowed } = stack.sets
  return refusals(`-m set --match-set ${scoped} dst -m set ! --match-set ${allowed} src,dst`, stack)
}

/** Rules about VIPs, and endpoints that are called directly, in chains that are there anyway. */
export function vipRules({ pool, stack }: VipRange, sandbox: string) {
  return {
    pool: [pool],
    // What is neither a VIP's nor an endpoint's to answer is refused in the sandbox, whose own
    // address stands for published ports and is called by way of those alone.
    toSandbox: [`! -d ${sandbox}${stack.whole} -o ${meshLink} -j ACCEPT`],
    between: [...outOfScope(stack), `-m set --match-set ${stack.sets.direct} dst,dst -j ACCEPT`],
    mark: [`-d ${pool} -j SET --map-set ${stack.sets.vip} dst,dst --map-mark`],
  }
}

/** A virtual service of a VIP. */
export interface VipUnit {
  readonly protocol: Protocol
  /** Several only if they are one by fwmark. */
  readonly ports: readonly number[]
  /** Port of the destinations; 0 keeps the one the packet came with. */
  readonly targetPort: number
  readonly byFwmark: boolean
}

const known = new WeakMap<Service, readonly VipUnit[]>()

/** The virtual services that a service has at a VIP. A service never changes, so they are found once. */
export function vipUnitsOf(service: Service): readonly VipUnit[] {
  const units = known.get(service) ?? protocols.flatMap(protocol => findUnits(service, protocol))
  known.set(service, units)
  return units
}

function findUnits(service: Service, protocol: Protocol): VipUnit[] {
  const pairs = vipPortsOf(service).flatMap(port => (port.protocol === protocol ? [...pairsOf(port)] : []))
  const kept = pairs.every(({ port, target }) => port === target)
  if (service.persistence > 0 && pairs.length > 1 && kept && keepsPorts(service))
    return [{ protocol, ports: pairs.map(({ port }) => port), targetPort: 0, byFwmark: true }]
  return pairs.map(({ port, target }) => ({ protocol, ports: [port], targetPort: target, byFwmark: false }))
}

/** Whether no endpoint answers at a port of its own. */
export function keepsPorts({ endpoints }: Service): boolean {
  return endpoints.every(({ port }) => port === null)
}

/** How packets to a VIP are matched to one of its virtual services. */
export function matchOfVip(unit: VipUnit, vip: string, { stack, pool4, address }: VipRange): ServiceMatch {
  const { protocol, ports } = unit
  if (unit.byFwmark) return { fwmark: fwmarkOfVip(protocol, offsetIn(pool4, vip) ?? 0), family: stack.family }
  return { protocol: protocolNumbers[protocol], address: address(vip), port: ports[0]! }
}

/** Elements of the map for a virtual service by fwmark. */
export function vipMarks(unit: VipUnit, vip: string, range: VipRange): KernelObject[] {
  const match = matchOfVip(unit, vip, range)
  if (!('fwmark' in match)) return []
  const { protocol, ports } = unit
  const element = (port: number) => `${range.address(vip)},${protocol}:${port}`
  return ports.map(port => entry('mesh', range.stack.sets.vip, element(port), match.fwmark))
}

/** Elements for a virtual service whose endpoints take no connections. */
export function refusedPorts({ protocol, ports }: VipUnit, vip: string, range: VipRange): KernelObject[] {
  if (protocol !== 'tcp') return []
  const element = (port: number) => `${range.address(vip)},${protocol}:${port}`
  return ports.map(port => entry('mesh', range.stack.sets.refused, element(port)))
}

/** Who may call a VIP, where not everybody may. `meshAddressOf`: IPv4 address of an attached container. */
export function planScope(
  { service, callers }: MeshService,
  vip: string,
  { stack, address }: VipRange,
  meshAddressOf: (id: string) => string | null,
): KernelObject[] {
  if (service.scopes.length === 0) return []
  const own = address(vip)
  return [
    ...sourcesOf(callers, stack, meshAddressOf).map(source =>
      entry('mesh', stack.sets.allowed, `${source},${own}`),
    ),
    entry('mesh', stack.sets.scoped, own),
  ]
}

/** Addresses that callers call from. `meshAddressOf`: IPv4 address of an attached container. */
export function sourcesOf(
  callers: readonly Caller[],
  stack: Stack,
  meshAddressOf: (id: string) => string | null,
): string[] {
  const sources = callers.flatMap(({ id, addresses, attached }) => {
    const onMesh = attached ? meshAddressOf(id) : null
    const outside = ofFamily(stack, addresses)
    return onMesh === null ? outside : [...outside, stack.address(onMesh)]
  })
  return [...new Set(sources)]
}
