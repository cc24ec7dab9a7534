/**
 * The iptables rules of host and sandbox, for one family: as many with one published
 * port as with ten thousand, but for one more for each alias. Text as iptables-save
 * prints it. Pure.
 */
import { familyOf, type KernelObject, type Place, type Table } from '../kernel/objects.js'
import { meshLink, overlayLink, uplink } from '../kernel/ownership.js'
import type { Membership } from '../model/snapshot.js'
import { chains, mappedProtocols, portSet } from './names.js'
import { chain, jump } from './objects.js'
import type { Passage } from './passage.js'
import { ofFamily, refusals, type Stack } from './stack.js'
import type { Alias, Unit } from './units.js'
import { type VipRange, vipRules } from './vips.js'

/** An alias and the virtual service it stands for. */
export interface AliasOf {
  readonly unit: Unit
  readonly alias: Alias
}

/** A parameter of the host's kernel that the mesh changes, as it was before the mesh. */
export interface Former {
  /** Dotted: `net.ipv4.ip_forward`. */
  readonly name: string
  readonly value: string
}

/** A rule that does nothing; its comment outlives the agent, and `formersOf` reads it. */
function remember({ name, value }: Former): string {
  return `-m comment --comment "mesh: former ${name}=${value}"`
}

/** The host's parameters from before the mesh, as far as its rules remember them, in their order. */
export function formersOf(objects: Iterable<KernelObject>): Former[] {
  const formers: Former[] = []
  for (const object of objects)
    for (const rule of object.kind === 'chain' && object.place === 'host' ? object.rules : []) {
      const [, name, value] = /"mesh: former ([^= ]+)=(\w+)"/.exec(rule) ?? []
      if (name !== undefined && value !== undefined) formers.push({ name, value })
    }
  return formers
}

/** No segment of a connection is to be larger than the route can carry, there and back. */
const clamp = '-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu'

/**
 * A segment out of its connection's window belongs to no connection and is not translated: whoever
 * gets it answers a stranger with a reset, which ends the connection. It is as good as lost.
 */
const stray = '-m conntrack --ctstate INVALID'

function aliasRule(sandbox: string, { unit, alias }: AliasOf, stack: Stack): string[] {
  const { protocol } = unit
  if (alias.address !== null && ofFamily(stack, [alias.address]).length === 0) return []
  const isMapped = alias.address === null && protocol !== 'sctp'
  const where = isMapped ? `${portSet[protocol]} dst` : `${stack.sets.bound} dst,dst`
  const target = stack.at(sandbox, alias.canonical)
  return [
    `-p ${protocol} -m ${protocol} --dport ${alias.port} -m set --match-set ${where} -j DNAT --to-destination ${target}`,
  ]
}

/** What a node of a cluster does with packets of other nodes, chain by chain. */
function clusterRules(
  sandbox: string,
  { number, port, address }: Membership,
  { family, sets }: Stack,
  { range }: Passage,
  pool: string,
) {
  const vxlan = `-p udp -m udp --dport ${port}`
  // The tunnel's own packets are of the family of the nodes' addresses, whatever they carry.
  const tunnel = [
    `${vxlan} -m set --match-set ${sets.nodes} src -j ACCEPT`,
    // Whoever is no node of the mesh has nothing to send into it.
    `${vxlan} -j DROP`,
  ]
  const isOuter = family === familyOf(address)
  // Each way of each connection in the tunnel would be tracked for itself here, and never be answered.
  const untracked = ['src', 'dst'].map(
    side => `${vxlan} -m set --match-set ${sets.nodes} ${side} -j CT --notrack`,
  )
  return {
    untracked: isOuter ? untracked : [],
    input: isOuter ? tunnel : [],
    output: isOuter ? [`${vxlan} -m set --match-set ${sets.nodes} dst -j ACCEPT`] : [],
    mark: [
      // The mark that arrives is the entry node's number. It is kept with the connection, that of
      // the newest packet, since nodes may share a passage, and taken off the packet, or the
      // request would be sent straight back.
      `-i ${overlayLink} -m conntrack --ctdir ORIGINAL -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff`,
      `-i ${overlayLink} -j MARK --set-xmark 0x0/0xffffffff`,
      `! -i ${overlayLink} -m connmark ! --mark 0x0 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`,
    ],
    // Where two connections are alike after this, nat changes the source port of the later one.
    dnat: [`-d ${range} -j NETMAP --to ${pool}`],
    snat: [`-o ${overlayLink} -m set --match-set ${sets.private} src -j SNAT --to-source ${sandbox}`],
    forward: [`-i ${overlayLink} -j ACCEPT`],
    stamp: [clamp, `-j MARK --set-xmark 0x${number.toString(16)}/0xffffffff`],
  }
}

/** IPVS asks for the mark where it chooses a destination, which it does for a segment that opens a connection, and any datagram. */
const beginning = { tcp: ' -m tcp --tcp-flags SYN SYN', udp: '' } as const

/** What comes from an address that is good on one link only cannot be sent on: it is refused like at any closed port. */
const stayingHere = ['-s fe80::/10 -j RETURN']

const alone = { untracked: [], input: [], output: [], mark: [], dnat: [], snat: [], forward: [], stamp: [] }
const withoutVips = { pool: [], toSandbox: [], between: [], mark: [] }

/** What the rules of one family depend on. */
export interface RuleInputs {
  readonly stack: Stack
  /** The sandbox's address in this family. */
  readonly sandbox: string
  /** All addresses of the mesh in it. */
  readonly pool: string
  readonly formers: readonly Former[]
  readonly aliases: readonly AliasOf[]
  /** null: the only node. */
  readonly membership: Membership | null
  readonly passage: Passage | null
  /** null: no VIPs. */
  readonly range: VipRange | null
}

export function planRules(inputs: RuleInputs): KernelObject[] {
  const { stack, sandbox, pool, formers, aliases, membership, passage, range } = inputs
  const { family, sets } = stack
  const cluster = membership && passage ? clusterRules(sandbox, membership, stack, passage, pool) : alone
  const vips = range ? vipRules(range, sandbox) : withoutVips
  const rules = (place: Place, table: Table, name: string, text: string[]) =>
    chain(place, table, name, text, family)
  const enter = (place: Place, table: Table, builtIn: string, to: string, match = '') =>
    jump(place, table, builtIn, to, match, family)
  return [
    rules('host', 'nat', chains.dnat, [
      ...(family === 'inet6' ? stayingHere : []),
      ...aliases.flatMap(each => aliasRule(sandbox, each, stack)),
      `-m set --match-set ${sets.bound} dst,dst -j DNAT --to-destination ${sandbox}`,
      ...mappedProtocols.map(
        protocol =>
          `-p ${protocol} -m set --match-set ${portSet[protocol]} dst -j DNAT --to-destination ${sandbox}`,
      ),
    ]),
    rules('host', 'nat', chains.snat, [
      `-s ${stack.loopback} -o ${meshLink} -j MASQUERADE`,
      // Ends the chain before Docker's masquerading: a container that calls keeps its address.
      `-o ${meshLink} -j ACCEPT`,
      // Only towards external endpoints does the sandbox speak for itself.
      `-s ${sandbox}${stack.whole} ! -o ${meshLink} -j MASQUERADE`,
    ]),
    rules('host', 'filter', chains.forward, [
      ...formers.map(remember),
      `-s ${sandbox}${stack.whole} -i ${meshLink} ${stray} -j DROP`,
      // A link of the host may carry less than those of the mesh, and not everybody who should
      // hear of it does: both sides of a connection are told when it is opened.
      `-i ${meshLink} ${clamp}`,
      `-o ${meshLink} ${clamp}`,
      `-i ${meshLink} -j ACCEPT`,
      // Scopes go by sources, and those of the mesh come from the mesh: what else has one is false.
      ...[pool, ...vips.pool].map(source => `-s ${source} -o ${meshLink} -j DROP`),
      ...vips.toSandbox,
      `-o ${meshLink} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT`,
    ]),
    rules('host', 'filter', chains.input, [
      `-s ${sandbox}${stack.whole} -i ${meshLink} ${stray} -j DROP`,
      `-i ${meshLink} -j ACCEPT`,
      `-p tcp ${stray} -m set --match-set ${portSet.tcp} dst -j DROP`,
      `-p tcp ${stray} -m set --match-set ${sets.bound} dst,dst -j DROP`,
      ...cluster.input,
    ]),
    enter('host', 'nat', 'PREROUTING', chains.dnat, '-m addrtype --dst-type LOCAL'),
    enter('host', 'nat', 'OUTPUT', chains.dnat, '-m addrtype --dst-type LOCAL'),
    enter('host', 'nat', 'POSTROUTING', chains.snat),
    enter('host', 'filter', 'FORWARD', chains.forward),
    enter('host', 'filter', 'INPUT', chains.input),
    rules('mesh', 'mangle', chains.mark, [
      ...mappedProtocols.map(
        protocol =>
          `-d ${sandbox}${stack.whole} -i ${uplink} -p ${protocol}${beginning[protocol]} -j SET --map-set ${portSet[protocol]} dst --map-mark`,
      ),
      ...vips.mark,
      ...cluster.mark,
    ]),
    ...(cluster.untracked.length > 0
      ? [
          rules('host', 'raw', chains.tunnel, cluster.untracked),
          enter('host', 'raw', 'PREROUTING', chains.tunnel),
          enter('host', 'raw', 'OUTPUT', chains.tunnel),
          // Untracked, they are among nothing established that a firewall lets out.
          rules('host', 'filter', chains.output, cluster.output),
          enter('host', 'filter', 'OUTPUT', chains.output),
        ]
      : []),
    ...(membership
      ? [
          rules('mesh', 'mangle', chains.stamp, cluster.stamp),
          enter('mesh', 'mangle', 'POSTROUTING', chains.stamp, `-o ${overlayLink}`),
          rules('mesh', 'nat', chains.dnat, cluster.dnat),
          enter('mesh', 'nat', 'PREROUTING', chains.dnat, `-i ${overlayLink}`),
        ]
      : []),
    rules('mesh', 'nat', chains.snat, [
      `-m set --match-set ${sets.hairpin} src,dst -j SNAT --to-source ${sandbox}`,
      // Datagrams only: a neighbour would be answered directly, from an address it did not ask.
      `-p udp -m set --match-set ${sets.neighbour} src,dst -j SNAT --to-source ${sandbox}`,
      `-o ${uplink} -m set --match-set ${sets.external} dst -j SNAT --to-source ${sandbox}`,
      ...cluster.snat,
    ]),
    // What IPVS sends never passes FORWARD; replies do. All else would be containers
    // reaching each other around Docker's own isolation of networks.
    rules('mesh', 'filter', chains.forward, [
      '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      `${stray} -j DROP`,
      ...cluster.forward,
      ...vips.between,
      ...refusals('', stack),
    ]),
    enter('mesh', 'mangle', 'PREROUTING', chains.mark),
    enter('mesh', 'nat', 'POSTROUTING', chains.snat),
    enter('mesh', 'filter', 'FORWARD', chains.forward),
  ]
}
