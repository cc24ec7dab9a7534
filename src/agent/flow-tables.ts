/**
 * How many connections host and sandbox track, and whether they may track more. Looked at before
 * each full pass.
 */
import type { Logger } from 'pino'
import type { Sockets } from '../drivers/sockets.js'
import { flowLimit, isCrowded } from '../health/flow-table.js'
import type { Places } from '../kernel/driver.js'
import type { Place } from '../kernel/objects.js'
import { countFlows } from '../netlink/conntrack.js'
import type { Troubles } from './troubles.js'

/** Connections that each place tracks; a place that is missing, as the sandbox before the first pass, is left out. */
export async function flowCounts(sockets: Sockets, places: Places): Promise<ReadonlyMap<Place, number>> {
  const counts = new Map<Place, number>()
  for (const place of places.keys()) {
    const [count] = await sockets
      .use('netfilter', places, place, connection => connection.get(countFlows()))
      .catch(() => [])
    if (count !== undefined) counts.set(place, count)
  }
  return counts
}

export interface FlowTablesOptions {
  readonly sockets: Sockets
  readonly places: Places
  readonly troubles: Troubles
  readonly log: Logger
}

export async function lookAtFlowTables(options: FlowTablesOptions): Promise<void> {
  const { sockets, places, troubles, log } = options
  const limit = flowLimit() ?? 0
  const counts = await flowCounts(sockets, places)
  for (const place of places.keys()) {
    const message = isCrowded(counts.get(place) ?? 0, limit) ? shortage(place, limit) : null
    if (troubles.set(`connections ${place}`, message) && message) log.error(message)
  }
}

function shortage(place: Place, limit: number): string {
  const where = place === 'mesh' ? 'the sandbox' : 'the node'
  return (
    `${where} tracks more than 80 % of the ${limit} connections that it may; where it can track no more, packets ` +
    'of new ones are dropped; raise net.netfilter.nf_conntrack_max (sysctl -w, and /etc/sysctl.d)'
  )
}
