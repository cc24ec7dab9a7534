/**
 * Routes of both families over rtnetlink. Builders return requests for a batch; nothing here touches a
 * socket. Links, addresses, neighbours and policy rules are in link.ts, address.ts,
 * neighbour.ts and rule.ts.
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { parsePrefix } from './address.js'
import { attributes, u32, type Values } from './attributes.js'
import { anyAddress, inet6, ip, isInternet } from './ip.js'
import { flags, numberOf, type Query, type Request } from './message.js'

export * from './address.js'
export * from './link.js'
export * from './neighbour.js'
export * from './rule.js'

const { NEWROUTE, DELROUTE, GETROUTE } = rt.MessageType
const everyFamily = 0 // AF_UNSPEC

/** RTA_*, linux/rtnetlink.h. */
const routeAttributes = attributes({
  destination: [1, ip], // RTA_DST
  link: [4, u32], // RTA_OIF
  gateway: [5, ip], // RTA_GATEWAY
  metric: [6, u32], // RTA_PRIORITY
  source: [7, ip], // RTA_PREFSRC
  table: [15, u32], // RTA_TABLE
})

/** RTN_*, linux/rtnetlink.h. */
const routeTypes = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const
export type RouteType = keyof typeof routeTypes
const routeTypeNames = new Map<number, RouteType>(
  Object.entries(routeTypes).map(([name, code]) => [code, name as RouteType]),
)

const scopes = { universe: 0, link: 253, host: 254, nowhere: 255 } as const // RT_SCOPE_*
const onlinkFlag = 0x4 // RTNH_F_ONLINK, linux/rtnetlink.h
const clonedFlag = 0x200 // RTM_F_CLONED: a cache entry, no route
const anyTable = 0 // RT_TABLE_UNSPEC: the attribute says which
/** IP6_RT_PRIO_USER, linux/ipv6_route.h: the metric of an IPv6 route for which none was given. */
const usualMetric = 1024

export interface RouteConfiguration {
  /** Routing table id; 254 is main, 255 local. */
  readonly table: number
  /** `0.0.0.0/0`, `10.254.0.5/32`, `::/0`. */
  readonly destination: string
  /** `unicast` unless given. */
  readonly type?: RouteType
  /** Index of the link; null where the type needs none. */
  readonly linkIndex: number | null
  readonly gateway: string | null
  /** Preferred source address. */
  readonly source: string | null
  /** rtm_protocol, 0–255. */
  readonly protocol: number
  /** The gateway need not be on a network of the link. */
  readonly onlink?: boolean
  /** 0 unless given, which of IPv6 is read back for the kernel's own choice. */
  readonly metric?: number
}

export type RouteReading = Required<RouteConfiguration>

/** struct rtmsg flags as the package wants them. */
function routeFlags(onlink: boolean): { __unknown?: number } {
  return onlink ? { __unknown: onlinkFlag } : {}
}

/** The whole flag word out of the package's object: bits it has no name for, and the one it has. */
function flagWord(object: { __unknown?: number; cloned?: true } | undefined): number {
  return (object?.__unknown ?? 0) | (object?.cloned ? clonedFlag : 0)
}

export interface RouteFilter {
  readonly table?: number
  readonly protocol?: number
}

/** Routes of all tables, or of one, of both families in one answer; for `dump`. */
export function listRoutes(filter: RouteFilter = {}): Query<RouteReading> {
  return {
    operation: 'list',
    subject: 'routes',
    type: GETROUTE,
    flags: flags.dump,
    // The kernel filters by protocol; not by table, since it calls a table that is not there an error.
    payload: rt.formatRoute({ family: everyFamily, protocol: filter.protocol ?? 0 }),
    decode(payload) {
      const route = decodeRoute(payload)
      if (!route) return null
      if (filter.protocol !== undefined && route.protocol !== filter.protocol) return null
      return filter.table !== undefined && route.table !== filter.table ? null : route
    },
  }
}

/** null for what is no route of IPv4 or IPv6. */
export function decodeRoute(payload: Buffer): RouteReading | null {
  if (payload.length < rt.__LENGTH_Route) return null
  const header = rt.parseRoute(payload.subarray(0, rt.__LENGTH_Route))
  const bits = flagWord(header.flags)
  const type = routeTypeNames.get(numberOf(rt.RouteType, header.type))
  const { family } = header
  if (!isInternet(family) || bits & clonedFlag || !type) return null
  const values = routeAttributes.decode(payload.subarray(rt.__LENGTH_Route))
  return {
    table: values.table ?? header.table ?? 0,
    destination: `${values.destination ?? anyAddress(family)}/${header.dstLen ?? 0}`,
    type,
    linkIndex: values.link ?? null,
    gateway: values.gateway ?? null,
    source: values.source ?? null,
    protocol: numberOf(rt.RouteProtocol, header.protocol),
    onlink: (bits & onlinkFlag) !== 0,
    metric: family === inet6 && values.metric === usualMetric ? 0 : (values.metric ?? 0),
  }
}

/** How far the destination is, as `ip route` fills it in. */
function scopeOf(route: RouteConfiguration): number {
  if (route.type === 'local') return scopes.host
  if ((route.type ?? 'unicast') === 'unicast' && route.gateway === null) return scopes.link
  return scopes.universe
}

function routeRequest(
  verb: string,
  type: number,
  bits: number,
  scope: number,
  route: RouteConfiguration,
): Request {
  const { family, address, length } = parsePrefix(route.destination)
  const header = rt.formatRoute({
    family,
    dstLen: length,
    table: route.table < 256 ? route.table : anyTable,
    protocol: route.protocol,
    scope,
    type: routeTypes[route.type ?? 'unicast'],
    flags: routeFlags(route.onlink ?? false),
  })
  const values: Values<typeof routeAttributes.fields> = { table: route.table }
  if (length > 0) values.destination = address
  if (route.linkIndex !== null) values.link = route.linkIndex
  if (route.gateway !== null) values.gateway = route.gateway
  if (route.source !== null) values.source = route.source
  if (route.metric) values.metric = route.metric
  return {
    operation: `${verb} route`,
    subject: `${route.destination} in table ${route.table}`,
    type,
    flags: bits,
    payload: routeAttributes.encode(values, header),
  }
}

/** EEXIST: one with this destination, table and metric is there. ENODEV, ENETUNREACH: link or gateway. */
export function addRoute(route: RouteConfiguration): Request {
  return routeRequest('add', NEWROUTE, flags.create | flags.exclusive, scopeOf(route), route)
}

/** Adds, or puts in place of the route with the same destination, table and metric. */
export function replaceRoute(route: RouteConfiguration): Request {
  return routeRequest('replace', NEWROUTE, flags.create | flags.replace, scopeOf(route), route)
}

/** ESRCH: gone already (or its table is). */
export function deleteRoute(route: RouteConfiguration): Request {
  return routeRequest('delete', DELROUTE, 0, scopes.nowhere, route)
}
