/**
 * The part of the plan that does not grow with what is published: sandbox, uplink,
 * rules, sets, sysctls. Pure.
 */
import type { KernelObject } from '../kernel/objects.js'
import { meshLink, uplink } from '../kernel/ownership.js'
import type { Node } from '../model/snapshot.js'
import { nodeAddress, sandboxAddress } from './addresses.js'
import { allowIpv6, replyPath, wayIn } from './attachment.js'
import { mappedProtocols, portSet } from './names.js'
import { entry, localTable, route, set, sysctl } from './objects.js'
import { passagesOf } from './passage.js'
import { planTunnel } from './peers.js'
import { type AliasOf, type Former, planRules } from './rules.js'
import { ofFamily, type Stack, stacksOf } from './stack.js'
import { planVipRange, type VipPools, type VipRange, vipRangesOf, wayToVips } from './vips.js'

export interface PlanSettings extends VipPools {
  /** Where the sandbox's namespace is kept; `sandboxPath` of kernel/ownership.ts but in tests. */
  readonly sandboxPath: string
  /** Bytes; MTU of every veth of the mesh. */
  readonly mtu: number
  /** Seconds; how long IPVS keeps an idle connection. */
  readonly tcpTimeout: number
  readonly tcpFinTimeout: number
  readonly udpTimeout: number
  /** `uname -r`, for the one sysctl whose right value depends on it. */
  readonly kernelRelease: string
  /**
   * net.ipv4.ip_forward of the host before the mesh; remembered in a comment of the
   * host's rules so that `meshctl clean` can put it back.
   */
  readonly formerIpForward: '0' | '1'
  /** null: the mesh is of IPv4 alone. */
  readonly ipv6: Ipv6Settings | null
}

export interface Ipv6Settings {
  /** Where the mesh's addresses are in IPv6, `fd4d:6573:68::/96`. */
  readonly pool: string
  /**
   * Parameters of the host that forwarding of IPv6 changes, as they were before the
   * mesh: net.ipv6.conf.all.forwarding, and accept_ra of links that learn from a router.
   */
  readonly formers: readonly Former[]
}

/** What the planner knows besides the node: the aliases and external addresses in use. */
export interface BaseNeeds {
  readonly aliases: readonly AliasOf[]
  readonly externals: readonly string[]
  /** Whether a process on the node itself is an endpoint. */
  readonly nodeEndpoints: boolean
  /** Published ports of SCTP that are bound to no address. */
  readonly sctpPorts: readonly number[]
}

/** What a mesh without services asks for. */
export const noNeeds: BaseNeeds = { aliases: [], externals: [], nodeEndpoints: false, sctpPorts: [] }

function links(node: Node, settings: PlanSettings): KernelObject[] {
  const sandbox = sandboxAddress(node.subnet)
  const own = nodeAddress(node.subnet)
  const { mtu } = settings
  return [
    { kind: 'namespace', place: 'mesh', path: settings.sandboxPath },
    { kind: 'link', place: 'host', name: meshLink, peerPlace: 'mesh', peerName: uplink, mtu },
    ...stacksOfNode(node, settings).flatMap(stack =>
      uplinkOf(node, stack.address(own), stack.address(sandbox), stack),
    ),
  ]
}

/**
 * Lets [::1]:PORT be answered, as route_localnet does for 127.0.0.1: the reply, whose
 * destination is ::1 again once it is translated back, comes in by mesh0. The wire brings
 * no packet to ::1 so far: the kernel drops it when it arrives.
 */
const loopbackReplies = route('host', '::1/128', meshLink, { table: localTable, type: 'local' })

/** Address and routes on both ends of the link between host and sandbox. */
function uplinkOf(node: Node, own: string, sandbox: string, stack: Stack): KernelObject[] {
  return [
    ...allowIpv6('host', stack),
    ...(stack.family === 'inet6' ? [loopbackReplies] : []),
    { kind: 'address', place: 'host', link: meshLink, address: `${own}${stack.whole}` },
    { kind: 'address', place: 'mesh', link: uplink, address: `${sandbox}${stack.whole}` },
    route('host', stack.subnet(node.pool), meshLink, { gateway: sandbox, source: own }),
    route('mesh', `${own}${stack.whole}`, uplink),
    route('mesh', stack.everywhere, uplink, { gateway: own }),
    ...replyPath('host', own, sandbox, stack),
    wayIn('host', stack.subnet(node.pool), stack),
  ]
}

/** VIPs as they are reached from the node itself and, by way of it, from its containers. */
function planVips({ subnet }: Node, range: VipRange): KernelObject[] {
  const { address } = range.stack
  return [
    ...planVipRange(range),
    wayToVips('host', range, address(sandboxAddress(subnet)), address(nodeAddress(subnet))),
    wayIn('host', range.pool, range.stack),
  ]
}

/** The families of this node's mesh. */
export function stacksOfNode({ pool }: Pick<Node, 'pool'>, { ipv6 }: PlanSettings): readonly Stack[] {
  return stacksOf(pool, ipv6?.pool ?? null)
}

/** 0 before Linux 5.9, where any other value delays a reused source port by a second; else the kernel's default. */
function connReuseMode(kernelRelease: string): string {
  const [major = 0, minor = 0] = kernelRelease.split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 9) ? '1' : '0'
}

function sysctls(settings: PlanSettings): KernelObject[] {
  return [
    sysctl('host', 'net.ipv4.ip_forward', '1'),
    // 127.0.0.1:PORT leaves by mesh0 with a loopback source until it is masqueraded.
    sysctl('host', `net.ipv4.conf.${meshLink}.route_localnet`, '1'),
    sysctl('mesh', 'net.ipv4.ip_forward', '1'),
    // Links do as the machine's new ones do, which may be another thing than what it does itself.
    sysctl('host', `net.ipv4.conf.${meshLink}.forwarding`, '1'),
    sysctl('mesh', 'net.ipv4.conf.default.forwarding', '1'),
    // The sandbox is all routing: a client's address is as good on one link as on the other.
    // A new namespace begins with what the machine has, which may be strict.
    sysctl('mesh', 'net.ipv4.conf.all.rp_filter', '0'),
    sysctl('mesh', 'net.ipv4.conf.default.rp_filter', '0'),
    sysctl('mesh', `net.ipv4.conf.${uplink}.rp_filter`, '0'),
    // Its own address, which is on one link, is what containers on all others ask for.
    sysctl('mesh', 'net.ipv4.conf.all.arp_ignore', '0'),
    sysctl('mesh', 'net.ipv4.conf.default.arp_ignore', '0'),
    // Hardly anything is for a socket here, so that none is looked for before the route is.
    sysctl('mesh', 'net.ipv4.ip_early_demux', '0'),
    // Traffic to an external endpoint leaves where it came in; that is meant so.
    sysctl('mesh', 'net.ipv4.conf.all.send_redirects', '0'),
    sysctl('mesh', `net.ipv4.conf.${uplink}.send_redirects`, '0'),
    // Refusals of UDP ports must not be rationed.
    sysctl('mesh', 'net.ipv4.icmp_ratelimit', '0'),
    // Out-of-window segments are no reason to answer a client with a reset.
    sysctl('mesh', 'net.netfilter.nf_conntrack_tcp_be_liberal', '1'),
    sysctl('mesh', 'net.ipv4.vs.conntrack', '1'),
    // A reply is on its way to the client already when IPVS gives it its address: no second look-up.
    sysctl('mesh', 'net.ipv4.vs.snat_reroute', '0'),
    sysctl('mesh', 'net.ipv4.vs.conn_reuse_mode', connReuseMode(settings.kernelRelease)),
    sysctl('mesh', 'net.ipv4.vs.expire_nodest_conn', '1'),
    sysctl('mesh', 'net.ipv4.vs.expire_quiescent_template', '1'),
    ...(settings.ipv6 ? sysctls6(settings.ipv6) : []),
    {
      kind: 'timeouts',
      tcp: settings.tcpTimeout,
      tcpFin: settings.tcpFinTimeout,
      udp: settings.udpTimeout,
    },
  ]
}

/** net.ipv6.conf.LINK.accept_ra: routers are listened to although the host forwards. */
const evenForwarding = '2'

function sysctls6({ formers }: Ipv6Settings): KernelObject[] {
  return [
    sysctl('mesh', 'net.ipv6.conf.default.disable_ipv6', '0'),
    // Nobody else is on these links: their addresses need not be tried for a second first.
    sysctl('mesh', 'net.ipv6.conf.default.accept_dad', '0'),
    sysctl('mesh', 'net.ipv6.conf.all.forwarding', '1'),
    // The resolver's address is one of the pool of VIPs, which is routed to the sandbox; in IPv6 that is no reason yet to listen there.
    sysctl('mesh', 'net.ipv6.ip_nonlocal_bind', '1'),
    // Refusals must not be rationed.
    sysctl('mesh', 'net.ipv6.icmp.ratelimit', '0'),
    // Before it forwards: a host that does takes no route from a router any more, and drops those it has.
    ...formers
      .filter(({ name }) => name.endsWith('.accept_ra'))
      .map(({ name }) => sysctl('host', name, evenForwarding)),
    sysctl('host', 'net.ipv6.conf.all.forwarding', '1'),
  ]
}

function sets(stacks: readonly Stack[]): KernelObject[] {
  return [
    ...mappedProtocols.map(protocol => set('host', portSet[protocol], 'bitmap:port')),
    ...mappedProtocols.map(protocol => set('mesh', portSet[protocol], 'bitmap:port', true)),
    ...stacks.flatMap(({ sets, family }) => [
      set('host', sets.bound, 'hash:ip,port', false, family),
      set('mesh', sets.hairpin, 'hash:net,net', false, family),
      set('mesh', sets.neighbour, 'hash:net,net', false, family),
      set('mesh', sets.external, 'hash:ip', false, family),
    ]),
  ]
}

function entries(node: Node, needs: BaseNeeds, stack: Stack): KernelObject[] {
  const { sets } = stack
  const own = stack.address(nodeAddress(node.subnet))
  const others = ofFamily(stack, node.addresses).filter(address => address !== own)
  const hairpins = needs.nodeEndpoints ? [own, ...others] : []
  const world = needs.nodeEndpoints ? stack.halves : []
  const loopback = stack.family === 'inet6' ? '::1' : '127.0.0.1'
  return [
    ...needs.sctpPorts.flatMap(port =>
      [loopback, own, ...others].map(address => entry('host', sets.bound, `${address},sctp:${port}`)),
    ),
    ...world.map(network => entry('mesh', sets.neighbour, `${network},${own}`)),
    ...hairpins.map(address => entry('mesh', sets.hairpin, `${address},${own}`)),
    ...ofFamily(stack, needs.externals).map(address => entry('mesh', sets.external, address)),
  ]
}

/** What the rules of a family remember; a parameter that the mesh leaves as it is needs no memory. */
function formersIn({ family }: Stack, { formerIpForward, ipv6 }: PlanSettings): readonly Former[] {
  if (family === 'inet6') return ipv6?.formers ?? []
  return formerIpForward === '0' ? [{ name: 'net.ipv4.ip_forward', value: '0' }] : []
}

/** All objects of a node that has nothing published, plus what `needs` adds to shared chains and sets. */
export function planBase(node: Node, settings: PlanSettings, needs: BaseNeeds): KernelObject[] {
  const stacks = stacksOfNode(node, settings)
  const ranges = vipRangesOf(settings, stacks)
  const passages = passagesOf(node, stacks)
  return [
    ...links(node, settings),
    ...sysctls(settings),
    ...sets(stacks),
    ...stacks.flatMap(stack => [
      ...planRules({
        stack,
        sandbox: stack.address(sandboxAddress(node.subnet)),
        pool: stack.subnet(node.pool),
        formers: formersIn(stack, settings),
        aliases: needs.aliases,
        membership: node.membership,
        passage: passages.get(stack) ?? null,
        range: ranges.find(range => range.stack === stack) ?? null,
      }),
      ...entries(node, needs, stack),
    ]),
    ...ranges.flatMap(range => planVips(node, range)),
    ...(node.membership ? planTunnel(node.membership, stacks) : []),
  ]
}
