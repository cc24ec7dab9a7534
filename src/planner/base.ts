/**
 * The part of the plan that does not grow with what is published: sandbox, uplink,
 * rules, sets, sysctls. Pure.
 */
import type {
  ChainObject,
  JumpObject,
  KernelObject,
  Place,
  SetObject,
  SysctlObject,
} from '../kernel/objects.js'
import { meshLink, replyTable, rulePriority, uplink } from '../kernel/ownership.js'
import type { Attachment } from '../model/mesh.js'
import { formatRange, type PortRange, protocols } from '../model/ports.js'
import type { Node } from '../model/snapshot.js'
import { nodeAddress, sandboxAddress } from './addresses.js'
import { boundSet, chains, externalSet, hairpinSet, neighbourSet, portSet } from './names.js'
import type { Alias, Unit } from './units.js'

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

/** Main routing table, RT_TABLE_MAIN in linux/rtnetlink.h. */
const mainTable = 254

/** What the planner knows besides the node: the aliases and external addresses in use. */
export interface BaseNeeds {
  readonly aliases: readonly { readonly unit: Unit; readonly alias: Alias }[]
  readonly externals: readonly string[]
  /** Whether a process on the node itself is an endpoint. */
  readonly nodeEndpoints: boolean
}

function chain(place: Place, table: ChainObject['table'], name: string, rules: string[]): ChainObject {
  return { kind: 'chain', place, table, name, rules }
}

function jump(place: Place, table: ChainObject['table'], from: string, to: string, match = ''): JumpObject {
  return { kind: 'jump', place, table, from, to, match }
}

function sysctl(place: Place, name: string, value: string): SysctlObject {
  return { kind: 'sysctl', place, name, value }
}

function set(place: Place, name: string, type: SetObject['type'], skbinfo = false): SetObject {
  return { kind: 'set', place, name, type, skbinfo }
}

/** Comment that keeps the host's former net.ipv4.ip_forward; `formerIpForwardOf` reads it. */
function rememberIpForward(value: '0' | '1'): string[] {
  return value === '1' ? [] : [`-m comment --comment "mesh: former net.ipv4.ip_forward=${value}"`]
}

/** The host's net.ipv4.ip_forward from before the mesh, if its rules remember one. */
export function formerIpForwardOf(objects: Iterable<KernelObject>): '0' | null {
  for (const object of objects)
    if (object.kind === 'chain' && object.rules.some(rule => rule.includes('former net.ipv4.ip_forward=0')))
      return '0'
  return null
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
    {
      kind: 'route',
      place: 'host',
      table: mainTable,
      destination: node.pool,
      link: meshLink,
      gateway: sandbox,
      source: own,
    },
    {
      kind: 'route',
      place: 'mesh',
      table: mainTable,
      destination: `${own}/32`,
      link: uplink,
      gateway: null,
      source: null,
    },
    {
      kind: 'route',
      place: 'mesh',
      table: mainTable,
      destination: '0.0.0.0/0',
      link: uplink,
      gateway: own,
      source: null,
    },
    ...replyPath('host', own, sandbox),
  ]
}

/** Replies from a mesh address go back into the sandbox, whatever the main table says. */
function replyPath(place: Place, address: string, sandbox: string): KernelObject[] {
  return [
    {
      kind: 'route',
      place,
      table: replyTable,
      destination: '0.0.0.0/0',
      link: meshLink,
      gateway: sandbox,
      source: address,
    },
    { kind: 'rule', place, priority: rulePriority, source: `${address}/32`, table: replyTable },
  ]
}

/**
 * A datagram socket bound to no address chooses its reply's source by the route, and
 * that would be the container's own network. So replies from a published UDP port take
 * the mesh's route, and with it the mesh address; those to the container's own
 * networks, where its neighbours ask it directly, do not.
 */
function datagramPath(place: Place, ports: readonly PortRange[]): KernelObject[] {
  return ports.flatMap((range): KernelObject[] => {
    const rule = { kind: 'rule', place, source: '0.0.0.0/0', udpPorts: formatRange(range) } as const
    return [
      { ...rule, priority: rulePriority + 1, table: mainTable, exceptDefault: true },
      { ...rule, priority: rulePriority + 2, table: replyTable },
    ]
  })
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

function rules(node: Node, settings: PlanSettings, needs: BaseNeeds): KernelObject[] {
  const sandbox = sandboxAddress(node.subnet)
  const aliasRules = needs.aliases.map(({ unit, alias }) => {
    const where =
      alias.address === null ? `--match-set ${portSet[unit.protocol]} dst` : `--match-set ${boundSet} dst,dst`
    return `-p ${unit.protocol} -m ${unit.protocol} --dport ${alias.port} -m set ${where} -j DNAT --to-destination ${sandbox}:${unit.ports[0]}`
  })
  return [
    chain('host', 'nat', chains.dnat, [
      ...aliasRules,
      `-m set --match-set ${boundSet} dst,dst -j DNAT --to-destination ${sandbox}`,
      ...protocols.map(
        protocol =>
          `-p ${protocol} -m set --match-set ${portSet[protocol]} dst -j DNAT --to-destination ${sandbox}`,
      ),
    ]),
    chain('host', 'nat', chains.snat, [
      `-s 127.0.0.0/8 -o ${meshLink} -j MASQUERADE`,
      // Ends the chain before Docker's masquerading: a container that calls keeps its address.
      `-o ${meshLink} -j ACCEPT`,
      // Only towards external endpoints does the sandbox speak for itself.
      `-s ${sandbox}/32 ! -o ${meshLink} -j MASQUERADE`,
    ]),
    chain('host', 'filter', chains.forward, [
      ...rememberIpForward(settings.formerIpForward),
      `-i ${meshLink} -j ACCEPT`,
      `-o ${meshLink} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT`,
    ]),
    chain('host', 'filter', chains.input, [`-i ${meshLink} -j ACCEPT`]),
    jump('host', 'nat', 'PREROUTING', chains.dnat, '-m addrtype --dst-type LOCAL'),
    jump('host', 'nat', 'OUTPUT', chains.dnat, '-m addrtype --dst-type LOCAL'),
    jump('host', 'nat', 'POSTROUTING', chains.snat),
    jump('host', 'filter', 'FORWARD', chains.forward),
    jump('host', 'filter', 'INPUT', chains.input),
    chain(
      'mesh',
      'mangle',
      chains.mark,
      protocols.map(protocol => `-p ${protocol} -j SET --map-set ${portSet[protocol]} dst --map-mark`),
    ),
    chain('mesh', 'nat', chains.snat, [
      `-m set --match-set ${hairpinSet} src,dst -j SNAT --to-source ${sandbox}`,
      // Datagrams only: a neighbour would be answered directly, from an address it did not ask.
      `-p udp -m set --match-set ${neighbourSet} src,dst -j SNAT --to-source ${sandbox}`,
      `-o ${uplink} -m set --match-set ${externalSet} dst -j SNAT --to-source ${sandbox}`,
    ]),
    // What IPVS sends never passes FORWARD; replies do. All else would be containers
    // reaching each other around Docker's own isolation of networks.
    chain('mesh', 'filter', chains.forward, [
      '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-m conntrack --ctstate INVALID -j DROP',
      '-j REJECT --reject-with icmp-port-unreachable',
    ]),
    jump('mesh', 'mangle', 'PREROUTING', chains.mark, `-i ${uplink}`),
    jump('mesh', 'nat', 'POSTROUTING', chains.snat),
    jump('mesh', 'filter', 'FORWARD', chains.forward),
  ]
}

function entries(node: Node, needs: BaseNeeds): KernelObject[] {
  const own = nodeAddress(node.subnet)
  const hairpins = needs.nodeEndpoints ? [own, ...node.addresses.filter(address => address !== own)] : []
  // hash:net,net knows no prefix of length 0: all the world in two halves.
  const world = needs.nodeEndpoints ? ['0.0.0.0/1', '128.0.0.0/1'] : []
  return [
    ...world.map(
      (network): KernelObject => ({
        kind: 'entry',
        place: 'mesh',
        set: neighbourSet,
        element: `${network},${own}`,
        mark: null,
      }),
    ),
    ...hairpins.map(
      (address): KernelObject => ({
        kind: 'entry',
        place: 'mesh',
        set: hairpinSet,
        element: `${address},${own}`,
        mark: null,
      }),
    ),
    ...needs.externals.map(
      (address): KernelObject => ({
        kind: 'entry',
        place: 'mesh',
        set: externalSet,
        element: address,
        mark: null,
      }),
    ),
  ]
}

/** All objects of a node that has nothing published, plus what `needs` adds to shared chains and sets. */
export function planBase(node: Node, settings: PlanSettings, needs: BaseNeeds): KernelObject[] {
  return [
    ...links(node, settings),
    ...sysctls(settings),
    ...sets(),
    ...rules(node, settings, needs),
    ...entries(node, needs),
  ]
}

/** What one attached container adds. */
export function planAttachment(
  attachment: Attachment,
  place: Place,
  linkName: string,
  address: string,
  node: Node,
  settings: PlanSettings,
): KernelObject[] {
  const sandbox = sandboxAddress(node.subnet)
  return [
    { kind: 'link', place: 'mesh', name: linkName, peerPlace: place, peerName: meshLink, mtu: settings.mtu },
    { kind: 'address', place, link: meshLink, address: `${address}/32` },
    {
      kind: 'route',
      place: 'mesh',
      table: mainTable,
      destination: `${address}/32`,
      link: linkName,
      gateway: null,
      source: null,
    },
    ...replyPath(place, address, sandbox),
    ...datagramPath(place, attachment.udpPorts),
    ...(attachment.udpPorts.length > 0 ? attachment.networks : []).map(
      (network): KernelObject => ({
        kind: 'entry',
        place: 'mesh',
        set: neighbourSet,
        element: `${network},${address}`,
        mark: null,
      }),
    ),
    ...attachment.addresses.map(
      (own): KernelObject => ({
        kind: 'entry',
        place: 'mesh',
        set: hairpinSet,
        element: `${own},${address}`,
        mark: null,
      }),
    ),
  ]
}
