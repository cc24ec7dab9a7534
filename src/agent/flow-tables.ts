/**
 * Whether the tables of tracked connections of host and sandbox have room. Looked at before
 * each full pass.
 */
import type { Logger } from 'pino'
import { isCrowded, readFlowTable } from '../health/flow-table.js'
import type { Places } from '../kernel/driver.js'
import type { Troubles } from './troubles.js'

export interface FlowTablesOptions {
  readonly troubles: Troubles
  readonly places: Places
  readonly log: Logger
}

export function lookAtFlowTables({ troubles, places, log }: FlowTablesOptions): void {
  for (const [place, path] of places) {
    const message = shortage(place === 'mesh' ? 'the sandbox' : 'the node', path)
    if (troubles.set(`connections ${place}`, message) && message) log.error(message)
  }
}

function shortage(where: string, path: string | null): string | null {
  try {
    const table = readFlowTable(path)
    if (!isCrowded(table)) return null
    return (
      `${where} tracks more than 80 % of the ${table.limit} connections that it may; where it can track no more, packets ` +
      'of new ones are dropped; raise net.netfilter.nf_conntrack_max (sysctl -w, and /etc/sysctl.d)'
    )
  } catch {
    return null // there is no sandbox yet, or nothing that tracks
  }
}
