/**
 * The answer to `GET /metrics`: what passes have counted, and what is asked of the agent
 * and of the kernel at that moment.
 */
import type { Sockets } from '../drivers/sockets.js'
import { flowLimit } from '../health/flow-table.js'
import type { Places } from '../kernel/driver.js'
import { messagesSent } from '../netlink/connection.js'
import type { Metrics } from '../status/metrics.js'
import { flowCounts } from './flow-tables.js'
import type { MeshAgent } from './mesh-agent.js'
import type { Names } from './names.js'
import type { Tunnel } from './tunnel.js'

export interface Measured {
  readonly metrics: Metrics
  readonly agent: MeshAgent
  readonly tunnel: Tunnel
  readonly names: Names
  readonly sockets: Sockets
  readonly places: Places
}

export async function metricsText(measured: Measured): Promise<string> {
  const { metrics, agent, tunnel, names, sockets, places } = measured
  const status = await agent.status()
  metrics.healthy(status.healthy)
  metrics.damagedPackets(tunnel.damaged)
  metrics.services(await agent.list())
  if (status.vips) metrics.vips(status.vips.used, status.vips.size)
  if (names.isOn) metrics.queries(names.view.queries)
  metrics.netlinkMessages(messagesSent.changes, messagesSent.queries)
  for (const [place, count] of await flowCounts(sockets, places)) metrics.conntrackEntries(place, count)
  const limit = flowLimit()
  if (limit !== null) metrics.conntrackLimit(limit)
  return metrics.text()
}
