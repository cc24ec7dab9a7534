/**
 * Connections of a service, each counted once. Pure.
 */
import type { PortView, ServiceView, VipEndpointView } from './views.js'

/**
 * Rows of endpoints whose counts may be summed up. Published ports that share a virtual
 * service, as those with one target do, tell of the same connections.
 */
export function countedOnce({
  ports,
  endpoints,
  vipEndpoints,
}: Pick<ServiceView, 'ports' | 'endpoints' | 'vipEndpoints'>): readonly VipEndpointView[] {
  const keyOf = ({ published, protocol }: PortView) => `${published}/${protocol}`
  const isRange = ({ published }: PortView) => published.includes('-')
  // A range tells of all that other ports lead into it, and may tell of more.
  const rangesLast = ports.toSorted((a, b) => Number(isRange(a)) - Number(isRange(b)))
  const telling = new Map(rangesLast.map(port => [port.fwmark, port]))
  const repeating = new Set(ports.filter(port => telling.get(port.fwmark) !== port).map(keyOf))
  return [...endpoints.filter(({ published }) => !repeating.has(published)), ...vipEndpoints]
}
