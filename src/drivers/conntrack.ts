/**
 * Forgets UDP flows. Each datagram prolongs its flow's life, and a flow keeps the
 * decision made at its first datagram; so a sender that never pauses would be sent to
 * an endpoint that is gone, or past a port published since. The loop calls this when
 * an endpoint goes and when a published port or a VIP gets its first one. No driver:
 * flows are never wanted.
 */
import type { Change } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import { atPort, type KernelObject, type Place, type ServiceMatch } from '../kernel/objects.js'
import { isUdpMark, protocolNumbers } from '../kernel/ownership.js'
import { deleteFlow, type Flow, listFlows } from '../netlink/conntrack.js'
import { placeIsGone } from './places.js'
import type { Sockets } from './sockets.js'

const { udp } = protocolNumbers
const noEntry = 'ENOENT' // the flow ended by itself meanwhile

/** Both hold flows of a published port: the host by its DNAT, the sandbox by IPVS. */
const tracking: readonly Place[] = ['host', 'mesh']

/** Doors through which flows come: ports of the node, and addresses with a port, `10.253.0.5:53`. */
interface Doors {
  readonly ports: ReadonlySet<number>
  readonly addresses: ReadonlySet<string>
}

/** Which UDP flows. */
export interface StaleFlows {
  /** Those sent to where there was no door before, or is none any more. */
  readonly changed: Doors
  /** Those that an endpoint answers. */
  readonly endpoints: ReadonlySet<string>
  /** Those sent to a door that has long been there, and yet not translated. */
  readonly standing: Doors
}

/** `8888` in a set of UDP ports, or `10.0.0.1,udp:53`; null for any other element. */
function udpPort(set: string, element: string): number | null {
  const found = set.endsWith('udp') ? /^(\d+)$/.exec(element) : /,udp:(\d+)$/.exec(element)
  return found ? Number(found[1]) : null
}

/** Notes the UDP door that an object stands for. Only in the sandbox do flows still have the address of an element. */
function note(object: KernelObject, ports: Set<number>, addresses: Set<string>): void {
  if (object.kind === 'virtualService') {
    const { match } = object
    if (!('fwmark' in match) && match.protocol === udp) addresses.add(atPort(match.address, match.port))
  }
  if (object.kind !== 'entry') return
  const port = udpPort(object.set, object.element)
  if (port === null) return
  const comma = object.element.indexOf(',')
  if (object.place === 'mesh' && comma >= 0) addresses.add(atPort(object.element.slice(0, comma), port))
  else ports.add(port)
}

function isUdp(service: ServiceMatch): boolean {
  return 'fwmark' in service ? isUdpMark(service.fwmark) : service.protocol === udp
}

/**
 * What changes that were made leave stale: flows to doors that came or went, and of
 * destinations that went. `found`: objects that were there before, by whose making flows
 * may have become stale that nobody forgot.
 */
export function staleFlows(changes: readonly Change[], found: readonly KernelObject[] = []): StaleFlows {
  const changed = { ports: new Set<number>(), addresses: new Set<string>() }
  const standing = { ports: new Set<number>(), addresses: new Set<string>() }
  const endpoints = new Set<string>()
  for (const object of found) note(object, standing.ports, standing.addresses)
  for (const { type, object } of changes) {
    if (type !== 'update' || object.kind === 'entry') note(object, changed.ports, changed.addresses)
    if (object.kind === 'destination' && type === 'remove' && isUdp(object.service))
      endpoints.add(object.address)
  }
  return { changed, endpoints, standing }
}

function leadsTo({ original }: Flow, { ports, addresses }: Doors): boolean {
  const { destination, destinationPort } = original
  return (
    ports.has(destinationPort) || (addresses.size > 0 && addresses.has(atPort(destination, destinationPort)))
  )
}

function isUntranslated({ original, reply }: Flow): boolean {
  return original.destination === reply.source && original.source === reply.destination
}

/** Forgets these flows in host and sandbox; returns how many. Throws NetlinkError. */
export async function forgetFlows(stale: StaleFlows, sockets: Sockets, places: Places): Promise<number> {
  const { changed, endpoints, standing } = stale
  const doors = [changed.ports, changed.addresses, standing.ports, standing.addresses]
  if (endpoints.size === 0 && doors.every(({ size }) => size === 0)) return 0
  let count = 0
  for (const place of tracking.filter(place => places.has(place))) {
    // The host translates no VIP: to it, no flow to one is past its door.
    const passed = place === 'host' ? { ...standing, addresses: new Set<string>() } : standing
    const isStale = (flow: Flow) =>
      leadsTo(flow, changed) ||
      endpoints.has(flow.reply.source) ||
      (leadsTo(flow, passed) && isUntranslated(flow))
    try {
      await sockets.use('netfilter', places, place, async connection => {
        const flows = (await connection.dump(listFlows(udp))).filter(isStale)
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
