/**
 * Connections of a service, each counted once. Pure.
 */
import type { EndpointView, ServiceView, VipEndpointView } from './views.js'

/**
 * Rows of endpoints whose counts may be summed up. Published ports that share a virtual
 * service, as those with one target do, tell of the same connections.
 */
export function countedOnce({
  ports,
  endpoints,
  vipEndpoints,
}: Pick<ServiceView, 'ports' | 'endpoints' | 'vipEndpoints'>): readonly VipEndpointView[] {
  const fwmarks = new Map(
    ports.map(({ published, protocol, fwmark }) => [`${published}/${protocol}`, fwmark]),
  )
  const once = new Map<string, EndpointView>()
  for (const each of endpoints) {
    const door = fwmarks.get(each.published) ?? each.published
    once.set(`${door} ${each.id ?? each.address}:${each.port}`, each)
  }
  return [...once.values(), ...vipEndpoints]
}
