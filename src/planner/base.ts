/**
 * The part of the plan that does not grow with what is published: sandbox, uplink,
 * rules, sets, sysctls. Pure.
 */
import type { KernelObject } from '../kernel/objects.js'
import { meshLink, uplink } from '../kernel/ownership.js'
import { protocols } from '../model/ports.js'
import type { Node } from '../model/snapshot.js'
import { nodeAddress, sandboxAddress } from './addresses.js'
import { replyPath } from './attachment.js'
import { boundSet, externalSet, hairpinSet, neighbourSet, portSet } from './names.js'
import { entry, everywhere, route, set, sysctl } from './objects.js'
import { planTunnel } from './peers.js'
import { type AliasOf, planRules } from './rules.js'

export interface PlanSettings {
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
}

/** What the planner knows besides the node: the aliases and external addresses in use. */
export interface BaseNeeds {
  readonly aliases: readonly AliasOf[]
  readonly externals: readonly string[]
  /** Whether a process on the node itself is an endpoint. */
  readonly nodeEndpoints: boolean
}

function links(node: Node, settings: PlanSettings): KernelObject[] {
  const sandbox = sandboxAddress(node.subnet)
  const own = nodeAddress(node.subnet)
  const { mtu } = settings
  return [
    { kind: 'namespace', place: 'mesh', path: settings.sandboxPath },
    { kind: 'link', place: 'host', name: meshLink, peerPlace: 'mesh', peerName: uplink, mtu },
    { kind: 'address', place: 'host', link: meshLink, address: `${own}/32` },
    { kind: 'address', place: 'mesh', link: uplink, address: `${sandbox}/32` },
    route('host', node.pool, meshLink, { gateway: sandbox, source: own }),
    route('mesh', `${own}/32`, uplink),
    route('mesh', everywhere, uplink, { gateway: own }),
    ...replyPath('host', own, sandbox),
  ]
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
    // The sandbox is all routing: a client's address is as good on one link as on the other.
    sysctl('mesh', 'net.ipv4.conf.all.rp_filter', '0'),
    sysctl('mesh', 'net.ipv4.conf.default.rp_filter', '0'),
    sysctl('mesh', `net.ipv4.conf.${uplink}.rp_filter`, '0'),
    // Traffic to an external endpoint leaves where it came in; that is meant so.
    sysctl('mesh', 'net.ipv4.conf.all.send_redirects', '0'),
    sysctl('mesh', `net.ipv4.conf.${uplink}.send_redirects`, '0'),
    // Refusals of UDP ports must not be rationed.
    sysctl('mesh', 'net.ipv4.icmp_ratelimit', '0'),
    // Out-of-window segments are no reason to answer a client with a reset.
    sysctl('mesh', 'net.netfilter.nf_conntrack_tcp_be_liberal', '1'),
    sysctl('mesh', 'net.ipv4.vs.conntrack', '1'),
    sysctl('mesh', 'net.ipv4.vs.conn_reuse_mode', connReuseMode(settings.kernelRelease)),
    sysctl('mesh', 'net.ipv4.vs.expire_nodest_conn', '1'),
    sysctl('mesh', 'net.ipv4.vs.expire_quiescent_template', '1'),
    {
      kind: 'timeouts',
      tcp: settings.tcpTimeout,
      tcpFin: settings.tcpFinTimeout,
      udp: settings.udpTimeout,
    },
  ]
}

function sets(): KernelObject[] {
  return [
    ...protocols.map(protocol => set('host', portSet[protocol], 'bitmap:port')),
    set('host', boundSet, 'hash:ip,port'),
    ...protocols.map(protocol => set('mesh', portSet[protocol], 'bitmap:port', true)),
    set('mesh', hairpinSet, 'hash:net,net'),
    set('mesh', neighbourSet, 'hash:net,net'),
    set('mesh', externalSet, 'hash:ip'),
  ]
}

function entries(node: Node, needs: BaseNeeds): KernelObject[] {
  const own = nodeAddress(node.subnet)
  const hairpins = needs.nodeEndpoints ? [own, ...node.addresses.filter(address => address !== own)] : []
  // hash:net,net knows no prefix of length 0: all the world in two halves.
  const world = needs.nodeEndpoints ? ['0.0.0.0/1', '128.0.0.0/1'] : []
  return [
    ...world.map(network => entry('mesh', neighbourSet, `${network},${own}`)),
    ...hairpins.map(address => entry('mesh', hairpinSet, `${address},${own}`)),
    ...needs.externals.map(address => entry('mesh', externalSet, address)),
  ]
}

/** All objects of a node that has nothing published, plus what `needs` adds to shared chains and sets. */
export function planBase(node: Node, settings: PlanSettings, needs: BaseNeeds): KernelObject[] {
  return [
    ...links(node, settings),
    ...sysctls(settings),
    ...sets(),
    ...planRules(sandboxAddress(node.subnet), settings.formerIpForward, needs.aliases, node.membership),
    ...(node.membership ? planTunnel(node.membership) : []),
    ...entries(node, needs),
  ]
}
