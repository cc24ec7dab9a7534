/**
 * The network between the nodes, as this one is on it: its address there and the link.
 */
import { readFileSync } from 'node:fs'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Settings } from '../config/table.js'
import type { Sockets } from '../drivers/sockets.js'
import { InputError } from '../errors.js'
import type { Places } from '../kernel/driver.js'
import { type Family, familyOf } from '../kernel/objects.js'
import { meshLink } from '../kernel/ownership.js'
import { getLink } from '../netlink/link.js'

/** What a packet in the tunnel has around it: IP, UDP, VXLAN and Ethernet headers, bytes. */
const tunnelOverhead: Readonly<Record<Family, number>> = { inet: 50, inet6: 70 }

/** Name of the link of the default route in the text of /proc/net/route, or null. */
export function defaultLink(routes: string): string | null {
  for (const line of routes.split('\n').slice(1)) {
    const [link = '', destination = '', , , , , , mask = ''] = line.split('\t')
    if (link !== '' && Number.parseInt(destination, 16) === 0 && Number.parseInt(mask, 16) === 0) return link
  }
  return null
}

/** The same for IPv6, in the text of /proc/net/ipv6_route. */
export function defaultLink6(routes: string): string | null {
  for (const line of routes.split('\n')) {
    // destination, its length, source, its length, gateway, metric, …, link; hex without 0x
    const [destination = '', length, , , , , , , , link = ''] = line.trim().split(/\s+/)
    // The kernel keeps one of its own on the loopback, which leads nowhere.
    if (/^0{32}$/.test(destination) && length === '00' && link !== 'lo') return link
  }
  return null
}

interface Place {
  readonly address: string
  readonly link: string
}

/** Addresses at which another machine could reach this one, IPv4 first. */
function places(links: NodeJS.Dict<NetworkInterfaceInfo[]>): Place[] {
  const all = Object.entries(links).flatMap(([link, list = []]) => list.map(each => ({ link, ...each })))
  const usable = all.filter(
    ({ link, internal, address }) => !internal && link !== meshLink && !/^fe[89ab]/.test(address),
  )
  const of = (family: string) => usable.filter(each => each.family === family)
  return [...of('IPv4'), ...of('IPv6')].map(({ link, address }) => ({ link, address }))
}

/** Of a file of /proc that only a kernel with IPv6 has. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** The address that other nodes are told, and its link. Throws InputError when there is none. */
export function underlay(settings: Pick<Settings, 'nodeAddress' | 'ipv6'>): Place {
  const all = places(networkInterfaces())
  const { nodeAddress: wanted } = settings
  const on = (link: string | null, family: Family) =>
    all.find(each => each.link === link && familyOf(each.address) === family)
  const found = wanted
    ? all.find(({ address }) => address === wanted)
    : (on(defaultLink(textOf('/proc/net/route')), 'inet') ??
      on(defaultLink6(textOf('/proc/net/ipv6_route')), 'inet6'))
  if (!found)
    throw new InputError(
      'node-address',
      wanted ?? '',
      wanted
        ? 'no link of this node has that address'
        : 'this node has no default route to choose its address by',
      `write one of ${all.map(({ address }) => address).join(', ')}`,
    )
  if (familyOf(found.address) === 'inet6' && !settings.ipv6)
    throw new InputError(
      'node-address',
      found.address,
      'the other nodes would be reached in IPv6, which is off',
      'start every meshd with --ipv6 on, or give an address of IPv4',
    )
  return found
}

/**
 * Largest packet that the tunnel carries now, bytes: the setting, or what the link to the
 * other nodes leaves room for. Throws InputError when there is no such link.
 */
export async function tunnelMtu(settings: Settings, sockets: Sockets, places: Places): Promise<number> {
  const { link, address } = underlay(settings)
  const [reading] = await sockets.use('route', places, 'host', connection => connection.get(getLink(link)))
  return Math.min(settings.mtu, (reading?.mtu ?? 1500) - tunnelOverhead[familyOf(address)])
}
