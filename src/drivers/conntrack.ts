/**
 * Forgets UDP flows. Each datagram prolongs its flow's life, and a flow keeps the
 * decision made at its first datagram; so a sender that never pauses would be sent to
 * an endpoint that is gone, or past a port published since. The loop calls this when
 * an endpoint goes and when a published port gets its first one. No driver: flows are
 * never wanted.
 */
import type { Places } from '../kernel/driver.js'
import type { Place } from '../kernel/objects.js'
import { deleteFlows, type FlowFilter } from '../netlink/conntrack.js'
import { placeIsGone } from './places.js'
import type { Sockets } from './sockets.js'

const udp = 17 // IPPROTO_UDP, linux/in.h

/** Both hold flows of a published port: the host by its DNAT, the sandbox by IPVS. */
const tracking: readonly Place[] = ['host', 'mesh']

async function forget(sockets: Sockets, places: Places, filter: FlowFilter): Promise<number> {
  let count = 0
  for (const place of tracking) {
    if (!places.has(place)) continue
    try {
      count += await sockets.use('netfilter', places, place, connection =>
        deleteFlows(connection, { ...filter, protocol: udp }),
      )
    } catch (error) {
      if (!placeIsGone(error)) throw error
    }
  }
  return count
}

/** Forgets the UDP flows sent to a published port, in host and sandbox; returns how many. Throws NetlinkError. */
export function forgetFlowsTo(publishedPort: number, sockets: Sockets, places: Places): Promise<number> {
  return forget(sockets, places, { originalPort: publishedPort })
}

/** Forgets the UDP flows that an endpoint answers, in host and sandbox; returns how many. Throws NetlinkError. */
export function forgetFlowsOf(endpointAddress: string, sockets: Sockets, places: Places): Promise<number> {
  return forget(sockets, places, { replySource: endpointAddress })
}
