/**
 * Parameters of the host's kernel that the mesh changes and that do not end with it: what
 * they are before it, and how they are put back.
 */
import { readFileSync } from 'node:fs'
import type { Sockets } from '../drivers/sockets.js'
import { sysctlPath } from '../drivers/sysctls.js'
import type { Change, Outcome } from '../kernel/change.js'
import type { Kernel, Places } from '../kernel/driver.js'
import { listLinks, listRoutes } from '../netlink/route.js'
import type { Former } from '../planner/rules.js'

const learned = 9 // RTPROT_RA, linux/rtnetlink.h: routes from a router's advertisements
const forwarding = 'net.ipv6.conf.all.forwarding'

function currentValue(name: string): string {
  return readFileSync(sysctlPath(name), 'utf8').trim()
}

/** net.ipv4.ip_forward of the host as it is now. */
export function currentIpForward(): '0' | '1' {
  return currentValue('net.ipv4.ip_forward') === '0' ? '0' : '1'
}

/**
 * What forwarding of IPv6 changes on this host, as it is now; nothing where it forwards
 * already. A host that forwards listens to no router any more unless it is told to, so among
 * it are the links that have learned from one, those of hardware, whose cable may be plugged
 * in later, and what new links begin with. Throws NetlinkError.
 */
async function currentIpv6(sockets: Sockets, places: Places): Promise<Former[]> {
  if (currentValue(forwarding) !== '0') return []
  const links = await sockets.use('route', places, 'host', async connection => {
    const routes = await connection.dump(listRoutes({ protocol: learned }))
    const indices = new Set(routes.map(({ linkIndex }) => linkIndex))
    const all = await connection.dump(listLinks())
    return all.filter(({ index, kind, name }) => indices.has(index) || (kind === null && name !== 'lo'))
  })
  // In the name of a parameter a slash stands for a dot in that of a link.
  const listening = ['default', ...links.map(({ name }) => name.replaceAll('.', '/'))]
    .map(link => `net.ipv6.conf.${link}.accept_ra`)
    .map(name => ({ name, value: currentValue(name) }))
    .filter(({ value }) => value === '1')
  return [{ name: forwarding, value: '0' }, ...listening]
}

/**
 * What the rules of an agent before remember of IPv6, or else how it is now. An agent
 * without IPv6 puts back at once what it finds remembered. Throws NetlinkError.
 */
export async function formersOfIpv6(
  remembered: readonly Former[],
  ipv6: boolean,
  kernel: Kernel,
  sockets: Sockets,
  places: Places,
): Promise<readonly Former[]> {
  const own = remembered.filter(({ name }) => name.startsWith('net.ipv6.'))
  if (ipv6) return own.length > 0 ? own : currentIpv6(sockets, places)
  if (own.length > 0) await kernel.apply(restoring(own), places)
  return []
}

/** The changes that put parameters back, in their order. */
export function restoring(formers: readonly Former[]): Change[] {
  return formers.map(former => {
    const object = { kind: 'sysctl', place: 'host', ...former } as const
    return { type: 'update', object, from: object }
  })
}

/** Whether it failed to put back what belongs to a link that may be gone by now. */
export function isOfLink({ change }: Outcome): boolean {
  return change.object.kind === 'sysctl' && change.object.name.endsWith('.accept_ra')
}
