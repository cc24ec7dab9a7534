/**
 * A service's VIP, names and scopes as the API tells of them. Pure.
 */
import { dottedName, isUsableName } from '../dns/names.js'
import type { Endpoint } from '../model/mesh.js'
import { formatRange } from '../model/ports.js'
import type { Service } from '../model/service.js'
import { formatVipPort, vipPortsOf } from '../model/vip-ports.js'
import { formatWeight } from '../model/weights.js'
import { matchOfVip, vipUnitsOf } from '../planner/vips.js'
import type { ServiceView, VipEndpointView, VipPortView } from '../status/views.js'
import { type Count, countOf, type EndpointPart, endpointPart, type ViewInput } from './endpoint-view.js'

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
function counted(service: Service, endpoint: Endpoint, { address }: EndpointPart, input: ViewInput): Count {
  const { vip } = service
  if (vip === null) return { active: 0, inactive: 0 }
  const shares = input.vips.flatMap(range =>
    vipUnitsOf(service).map(unit => ({
      stack: range.stack,
      match: matchOfVip(unit, vip, range),
      port: endpoint.port ?? unit.targetPort,
    })),
  )
  return countOf(endpoint, address, shares, input)
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
  const full = (text: string) => {
    if (text.endsWith('.local')) return text
    return isUsableName(text, domain) ? `${text}.${domain}` : []
  }
  return [...new Set([dottedName(name), ...aliases].flatMap(full))]
}

export function vipPart(input: ViewInput): VipPart {
  const { service, endpoints } = input.service
  const { vip, ports, endpointMode, aliases, scopes, persistence, weights } = service
  // Without a VIP only a name tells them, where they are not told as those of published ports.
  const hasOwn = vip !== null || (ports.length === 0 && endpointMode === 'dnsrr')
  return {
    vip,
    vipPorts: hasOwn ? vipPortsOf(service).map(vipPortView) : [],
    vipEndpoints: hasOwn ? endpoints.map(each => vipEndpoint(service, each, input)) : [],
    endpointMode,
    names: namesOf(service, input.domain),
    aliases,
    scopes,
    persistence,
    weights: weights.map(formatWeight),
  }
}
