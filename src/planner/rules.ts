/**
 * The iptables rules of host and sandbox: as many with one published port as with ten
 * thousand, but for one more for each alias. Text as iptables-save prints it. Pure.
 */
import type { KernelObject } from '../kernel/objects.js'
import { meshLink, overlayLink, uplink } from '../kernel/ownership.js'
import { protocols } from '../model/ports.js'
import type { Membership } from '../model/snapshot.js'
import {
  boundSet,
  chains,
  externalSet,
  hairpinSet,
  neighbourSet,
  nodeSet,
  portSet,
  privateSet,
} from './names.js'
import { chain, jump } from './objects.js'
import type { Alias, Unit } from './units.js'

/** An alias and the virtual service it stands for. */
export interface AliasOf {
  readonly unit: Unit
  readonly alias: Alias
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

/** No segment of a connection is to be larger than the route can carry, there and back. */
const clamp = '-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu'

function aliasRule(sandbox: string, { unit, alias }: AliasOf): string {
  const { protocol, ports } = unit
  const where = alias.address === null ? `${portSet[protocol]} dst` : `${boundSet} dst,dst`
  return `-p ${protocol} -m ${protocol} --dport ${alias.port} -m set --match-set ${where} -j DNAT --to-destination ${sandbox}:${ports[0]}`
}

/** What a node of a cluster does with packets of other nodes, chain by chain. */
function clusterRules(sandbox: string, { number, port }: Membership) {
  const vxlan = `-p udp -m udp --dport ${port}`
  return {
    input: [
      `${vxlan} -m set --match-set ${nodeSet} src -j ACCEPT`,
      // Whoever is no node of the mesh has nothing to send into it.
      `${vxlan} -j DROP`,
    ],
    mark: [
      // The mark that arrives is the entry node's number. It is kept with the connection, that of
      // the newest packet: a client may use one port through one node and then another,
      // and taken off the packet, or the request would be sent straight back.
      `-i ${overlayLink} -m conntrack --ctdir ORIGINAL -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff`,
      `-i ${overlayLink} -j MARK --set-xmark 0x0/0xffffffff`,
      `! -i ${overlayLink} -m connmark ! --mark 0x0 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`,
    ],
    snat: [`-o ${overlayLink} -m set --match-set ${privateSet} src -j SNAT --to-source ${sandbox}`],
    forward: [`-i ${overlayLink} -j ACCEPT`],
    stamp: [clamp, `-j MARK --set-xmark 0x${number.toString(16)}/0xffffffff`],
  }
}

const alone = { input: [], mark: [], snat: [], forward: [], stamp: [] }

/** `sandbox`: the sandbox's address; `membership` null: the only node. */
export function planRules(
  sandbox: string,
  formerIpForward: '0' | '1',
  aliases: readonly AliasOf[],
  membership: Membership | null,
): KernelObject[] {
  const cluster = membership ? clusterRules(sandbox, membership) : alone
  return [
    chain('host', 'nat', chains.dnat, [
      ...aliases.map(each => aliasRule(sandbox, each)),
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
      ...rememberIpForward(formerIpForward),
      // A link of the host may carry less than those of the mesh, and not everybody who should
      // hear of it does: both sides of a connection are told when it is opened.
      `-i ${meshLink} ${clamp}`,
      `-o ${meshLink} ${clamp}`,
      `-i ${meshLink} -j ACCEPT`,
      `-o ${meshLink} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT`,
    ]),
    chain('host', 'filter', chains.input, [`-i ${meshLink} -j ACCEPT`, ...cluster.input]),
    jump('host', 'nat', 'PREROUTING', chains.dnat, '-m addrtype --dst-type LOCAL'),
    jump('host', 'nat', 'OUTPUT', chains.dnat, '-m addrtype --dst-type LOCAL'),
    jump('host', 'nat', 'POSTROUTING', chains.snat),
    jump('host', 'filter', 'FORWARD', chains.forward),
    jump('host', 'filter', 'INPUT', chains.input),
    chain('mesh', 'mangle', chains.mark, [
      ...protocols.map(
        protocol => `-i ${uplink} -p ${protocol} -j SET --map-set ${portSet[protocol]} dst --map-mark`,
      ),
      ...cluster.mark,
    ]),
    ...(membership
      ? [
          chain('mesh', 'mangle', chains.stamp, cluster.stamp),
          jump('mesh', 'mangle', 'POSTROUTING', chains.stamp, `-o ${overlayLink}`),
        ]
      : []),
    chain('mesh', 'nat', chains.snat, [
      `-m set --match-set ${hairpinSet} src,dst -j SNAT --to-source ${sandbox}`,
      // Datagrams only: a neighbour would be answered directly, from an address it did not ask.
      `-p udp -m set --match-set ${neighbourSet} src,dst -j SNAT --to-source ${sandbox}`,
      `-o ${uplink} -m set --match-set ${externalSet} dst -j SNAT --to-source ${sandbox}`,
      ...cluster.snat,
    ]),
    // What IPVS sends never passes FORWARD; replies do. All else would be containers
    // reaching each other around Docker's own isolation of networks.
    chain('mesh', 'filter', chains.forward, [
      '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-m conntrack --ctstate INVALID -j DROP',
      ...cluster.forward,
      '-j REJECT --reject-with icmp-port-unreachable',
    ]),
    jump('mesh', 'mangle', 'PREROUTING', chains.mark),
    jump('mesh', 'nat', 'POSTROUTING', chains.snat),
    jump('mesh', 'filter', 'FORWARD', chains.forward),
  ]
}
