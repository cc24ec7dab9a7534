/**
 * A service's VIP, names and scopes as the API tells of them. Pure.
 */
import { dottedName } from '../dns/names.js'
import { keyOf } from '../kernel/objects.js'
import type { Endpoint } from '../model/mesh.js'
import { formatRange } from '../model/ports.js'
import type { Service } from '../model/service.js'
import { formatVipPort, vipPortsOf } from '../model/vip-ports.js'
import { formatWeight } from '../model/weights.js'
import { ipv4 } from '../planner/stack.js'
import { matchOfVip, vipRangesOf, vipUnitsOf } from '../planner/vips.js'
import type { ServiceView, VipEndpointView, VipPortView } from '../status/views.js'
import { type EndpointPart, endpointPart, type ViewInput } from './endpoint-view.js'

type VipPart = Pick<
  ServiceView,
  | 'vip'
  | 'vipPorts'
  | 'vipEndpoints'
  | 'endpointMode'
  | 'names'
  | 'aliases'
  | 'scopes'
  | 'persistence'
  | 'weights'
>

/** Connections that came through the VIP, whatever the port. */
function counted(
  service: Service,
  { port }: Endpoint,
  { address }: EndpointPart,
  { readings, vipPool }: ViewInput,
): { readonly active: number; readonly inactive: number } {
  let active = 0
  let inactive = 0
  const { vip } = service
  if (vip === null || address === null) return { active, inactive }
  for (const range of vipRangesOf({ vipPool }, [ipv4]))
    for (const unit of vipUnitsOf(service)) {
      const reading = readings.get(
        keyOf({
          kind: 'destination',
          service: matchOfVip(unit, vip, range),
          address,
          port: port ?? unit.targetPort,
          weight: 0,
          drainingSince: 0,
        }),
      )
      active += reading?.active ?? 0
      inactive += reading?.inactive ?? 0
    }
  return { active, inactive }
}

function vipEndpoint(service: Service, endpoint: Endpoint, input: ViewInput): VipEndpointView {
  const part = endpointPart(endpoint, input)
  return { ...part, port: endpoint.port ?? 0, ...counted(service, endpoint, part, input) }
}

function vipPortView(port: ReturnType<typeof vipPortsOf>[number]): VipPortView {
  return {
    spec: formatVipPort(port),
    protocol: port.protocol,
    port: formatRange(port.port),
    target: formatRange(port.target),
  }
}

/** `web.mesh`, `web.shop.mesh` for `shop/web`; an alias that ends in `.local` is whole. */
function namesOf({ name, aliases }: Service, domain: string | null): string[] {
  if (domain === null) return []
  const full = (text: string) => (text.endsWith('.local') ? text : `${text}.${domain}`)
  return [...new Set([`${dottedName(name)}.${domain}`, ...aliases.map(full)])]
}

export function vipPart(input: ViewInput): VipPart {
  const { service, endpoints } = input.service
  const { vip, ports, endpointMode, aliases, scopes, persistence, weights } = service
  return {
    vip,
    vipPorts: vip === null && endpointMode === 'vip' ? [] : vipPortsOf(service).map(vipPortView),
    vipEndpoints:
      vip === null && ports.length > 0 ? [] : endpoints.map(each => vipEndpoint(service, each, input)),
    endpointMode,
    names: namesOf(service, input.domain),
    aliases,
    scopes,
    persistence,
    weights: weights.map(formatWeight),
  }
}
