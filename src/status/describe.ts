/**
 * A change in the operator's own words: the command that would do the same. For
 * `meshctl plan`, `meshctl clean` and logs; nothing ever runs these lines. Pure.
 */
import type { Change } from '../kernel/change.js'
import { isRemade } from '../kernel/diff.js'
import {
  atPort,
  type ChainObject,
  type Family,
  familyOf,
  type KernelObject,
  type Place,
  type RuleObject,
  type ServiceMatch,
  type VxlanObject,
} from '../kernel/objects.js'
import type { ChangeView } from './views.js'

/** `0x122b8` */
export function hex(fwmark: number): string {
  return `0x${fwmark.toString(16)}`
}

/** `host`, `mesh`, or `container 0123456789ab`. */
export function placeName(place: Place): string {
  return place.startsWith('container:') ? `container ${place.slice(10, 22)}` : place
}

/** Where a change happens; IPVS is the sandbox's. */
function placeOf(object: KernelObject): Place {
  return 'place' in object ? object.place : 'mesh'
}

export function viewOf(change: Change): ChangeView {
  const { type, object } = change
  return { type, kind: object.kind, place: placeName(placeOf(object)), text: describe(change) }
}

/**
 * One line. In a namespace of its own, put `ip netns exec mesh` or `nsenter` before
 * it. Fwmarks are decimal where ipvsadm takes nothing else.
 */
export function describe(change: Change): string {
  const { type, object } = change
  const adding = type === 'add'
  const verb = adding ? 'add' : type === 'update' ? 'replace' : 'del'
  switch (object.kind) {
    case 'namespace': {
      const name = object.path.split('/').at(-1)
      return type === 'update' ? `ip -n ${name} link set lo up` : `ip netns ${adding ? 'add' : 'del'} ${name}`
    }
    case 'link':
      if (adding)
        return `ip link add ${object.name} mtu ${object.mtu} type veth peer ${object.peerName} netns "${placeName(object.peerPlace)}"`
      return type === 'update'
        ? `ip link set ${object.name} mtu ${object.mtu} up`
        : `ip link del ${object.name}`
    case 'vxlan':
      if (adding)
        return `ip link add ${object.name} mtu ${object.mtu} address ${object.mac} netns ${object.place} type vxlan id ${object.vni} dstport ${object.port} local ${object.local} nolearning gbp`
      return change.type === 'update'
        ? describeVxlanUpdate(object, change.from)
        : `ip link del ${object.name}`
    case 'neighbour':
      return type === 'remove'
        ? `ip neighbour del ${object.address} dev ${object.link}`
        : `ip neighbour ${verb} ${object.address} lladdr ${object.mac} dev ${object.link} nud permanent`
    case 'forwarding':
      return type === 'remove'
        ? `bridge fdb del ${object.mac} dev ${object.link} self`
        : `bridge fdb ${verb} ${object.mac} dev ${object.link} dst ${object.destination} self permanent`
    case 'address':
      return words(
        `ip address ${verb} ${object.address} dev ${object.link}`,
        adding && isIPv6(object.address) && 'nodad',
      )
    case 'route':
      return words(
        `${ipOf(object.destination)} route ${verb}`,
        object.type ?? false,
        `${isDefault(object.destination) ? 'default' : object.destination}`,
        object.gateway && `via ${object.gateway}`,
        `dev ${object.link}`,
        object.source && `src ${object.source}`,
        object.table !== mainTable && `table ${object.table}`,
      )
    case 'rule':
      return words(
        `${ipOf(object.source)} rule ${adding ? 'add' : 'del'} from ${object.source}`,
        object.destination !== undefined && `to ${object.destination}`,
        object.fwmark !== undefined && `fwmark ${hex(object.fwmark)}${maskOf(object)}`,
        object.udpPorts !== undefined && `ipproto udp sport ${object.udpPorts}`,
        object.goto === undefined ? `lookup ${object.table}` : `goto ${object.goto}`,
        object.exceptDefault === true && 'suppress_prefixlength 0',
        `priority ${object.priority}`,
      )
    case 'sysctl':
      return type === 'remove'
        ? `sysctl ${object.name} (left as it is)`
        : `sysctl -w ${object.name}=${object.value}`
    case 'set':
      if (type === 'remove') return `ipset destroy ${object.name}`
      return words(
        `ipset create ${object.name} ${object.type}`,
        object.type === 'bitmap:port' && 'range 0-65535',
        object.family === 'inet6' && 'family inet6',
        object.skbinfo && 'skbinfo',
      )
    case 'entry':
      if (type === 'remove') return `ipset del ${object.set} ${object.element}`
      return words(
        `ipset add ${object.set} ${object.element}`,
        object.mark !== null && `skbmark ${hex(object.mark)}`,
        type === 'update' && '-exist',
      )
    case 'chain':
      return describeChain(type, object)
    case 'jump':
      return words(
        `${iptablesOf(object.family)} -t ${object.table} ${type === 'remove' ? '-D' : '-I'} ${object.from}`,
        object.match,
        `-j ${object.to}`,
      )
    case 'virtualService':
      if (type === 'remove') return `ipvsadm -D ${matchText(object.match)}`
      return words(
        `ipvsadm ${adding ? '-A' : '-E'} ${matchText(object.match)} -s ${object.scheduler}`,
        object.persistence > 0 && `-p ${object.persistence}`,
      )
    case 'destination': {
      const where = `${matchText(object.service)} -r ${atPort(object.address, object.port)}`
      if (type === 'remove') return `ipvsadm -d ${where}`
      return words(
        `ipvsadm ${adding ? '-a' : '-e'} ${where} -m -w ${object.weight}`,
        object.drainingSince > 0 && `-x ${object.drainingSince}`,
      )
    }
    case 'timeouts':
      return `ipvsadm --set ${object.tcp} ${object.tcpFin} ${object.udp}`
  }
}

/** RT_TABLE_MAIN, linux/rtnetlink.h. */
const mainTable = 254

/** ipvsadm's flag by IPPROTO_*, linux/in.h. */
const ipvsFlags: Readonly<Record<number, string>> = { 6: '-t', 17: '-u', 132: '--sctp-service' }

/** `-f 74424`, `-f 74424 -6` or `-t 10.253.0.5:80` */
function matchText(match: ServiceMatch): string {
  if ('fwmark' in match) return words(`-f ${match.fwmark}`, match.family === 'inet6' && '-6')
  return `${ipvsFlags[match.protocol] ?? '-t'} ${atPort(match.address, match.port)}`
}

function maskOf({ fwmask }: RuleObject): string {
  return fwmask === undefined ? '' : `/${hex(fwmask)}`
}

/** Only size, MAC and state change in place; any other change is another device. */
function describeVxlanUpdate(to: VxlanObject, from: KernelObject): string {
  return isRemade(to, from)
    ? `ip link del ${to.name} && ${describe({ type: 'add', object: to })}`
    : `ip link set ${to.name} mtu ${to.mtu} address ${to.mac} up`
}

function describeChain(type: Change['type'], { family, table, name, rules }: ChainObject): string {
  const chain = `${iptablesOf(family)} -t ${table}`
  if (type === 'remove') return `${chain} -F ${name} && ${chain} -X ${name}`
  const count = rules.length === 1 ? '1 rule' : `${rules.length} rules`
  return `${chain} ${type === 'add' ? '-N' : '-F'} ${name} (then its ${count})`
}

function isIPv6(address: string): boolean {
  return familyOf(address) === 'inet6'
}

/** The program, with the option for its family where the address is not enough: `ip -6 route add default`. */
function ipOf(address: string): string {
  return isIPv6(address) ? 'ip -6' : 'ip'
}

function isDefault(destination: string): boolean {
  return destination === '0.0.0.0/0' || destination === '::/0'
}

function iptablesOf(family: Family): string {
  return family === 'inet6' ? 'ip6tables' : 'iptables'
}

function words(...parts: (string | false | null)[]): string {
  return parts.filter(Boolean).join(' ')
}
