/**
 * Forgets UDP flows. Each datagram prolongs its flow's life, and a flow keeps the
 * decision made at its first datagram; so a sender that never pauses would be sent to
 * an endpoint that is gone, or past a port published since. The loop calls this when
 * an endpoint goes and when a published port gets its first one. No driver: flows are
 * never wanted.
 */
import type { Change } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import type { KernelObject, Place } from '../kernel/objects.js'
import { fwmarkOf } from '../kernel/ownership.js'
import { deleteFlow, type Flow, listFlows } from '../netlink/conntrack.js'
import { placeIsGone } from './places.js'
import type { Sockets } from './sockets.js'

const udp = 17 // IPPROTO_UDP, linux/in.h
const noEntry = 'ENOENT' // the flow ended by itself meanwhile

/** Both hold flows of a published port: the host by its DNAT, the sandbox by IPVS. */
const tracking: readonly Place[] = ['host', 'mesh']

/** Which UDP flows. */
export interface StaleFlows {
  /** Those sent to a port that was published or is no more. */
  readonly publishedPorts: ReadonlySet<number>
  /** Those that an endpoint answers. */
  readonly endpoints: ReadonlySet<string>
  /** Those sent to a port that has long been published and yet not translated. */
  readonly standingPorts: ReadonlySet<number>
}

/** `8888` in a set of UDP ports, or `10.0.0.1,udp:53`; null for any other element. */
function udpPort(set: string, element: string): number | null {
  const found = set.endsWith('udp') ? /^(\d+)$/.exec(element) : /,udp:(\d+)$/.exec(element)
  return found ? Number(found[1]) : null
}

function isUdp(fwmark: number): boolean {
  return fwmarkOf('udp', fwmark & 0xffff) === fwmark
}

/**
 * What changes that were made leave stale: flows to ports that came or went, and of
 * destinations that went. `found`: set elements that were there before, by whose making
 * flows may have become stale that nobody forgot.
 */
export function staleFlows(changes: readonly Change[], found: readonly KernelObject[] = []): StaleFlows {
  const standingPorts = new Set<number>()
  for (const object of found) {
    const port = object.kind === 'entry' ? udpPort(object.set, object.element) : null
    if (port !== null) standingPorts.add(port)
  }
  const publishedPorts = new Set<number>()
  const endpoints = new Set<string>()
  for (const { type, object } of changes) {
    if (object.kind === 'entry') {
      const port = udpPort(object.set, object.element)
      if (port !== null) publishedPorts.add(port)
    } else if (object.kind === 'destination' && type === 'remove' && isUdp(object.fwmark))
      endpoints.add(object.address)
  }
  return { publishedPorts, endpoints, standingPorts }
}

function isUntranslated({ original, reply }: Flow): boolean {
  return original.destination === reply.source && original.source === reply.destination
}

/** Forgets these flows in host and sandbox; returns how many. Throws NetlinkError. */
export async function forgetFlows(stale: StaleFlows, sockets: Sockets, places: Places): Promise<number> {
  const { publishedPorts, endpoints, standingPorts } = stale
  if (publishedPorts.size + endpoints.size + standingPorts.size === 0) return 0
  const isStale = (flow: Flow) =>
    publishedPorts.has(flow.original.destinationPort) ||
    endpoints.has(flow.reply.source) ||
    (standingPorts.has(flow.original.destinationPort) && isUntranslated(flow))
  let count = 0
  for (const place of tracking.filter(place => places.has(place))) {
    try {
      await sockets.use('netfilter', places, place, async connection => {
        const flows = (await connection.dump(listFlows({ protocol: udp }))).filter(isStale)
        const errors = await connection.request(flows.map(deleteFlow))
        const failure = errors.find(error => error && error.errnoName !== noEntry)
        if (failure) throw failure
        count += errors.filter(error => error === null).length
      })
    } catch (error) {
      if (!placeIsGone(error)) throw error
    }
  }
  return count
}
