/**
 * What the resolver is told of the mesh: services with their names and addresses, and
 * who asks from which address. Plain data, handed to the resolver's thread. Pure.
 */
import type { VipPort } from '../model/service.js'

export interface NamedEndpoint {
  /** Mesh addresses, or the one that was given; IPv4 first where there are both. */
  readonly addresses: readonly string[]
  /** Where it answers whatever the target port; null: at the target. */
  readonly port: number | null
}

export interface NamedService {
  /** `web`, or `project/web`. */
  readonly name: string
  readonly aliases: readonly string[]
  /** Whole names that end in `.local`. */
  readonly localNames: readonly string[]
  /** What the name stands for: VIPs, IPv4 first; none: the endpoints. */
  readonly vips: readonly string[]
  /** Those that are to get new connections. */
  readonly endpoints: readonly NamedEndpoint[]
  readonly ports: readonly VipPort[]
  /** Who sees it: callers that share one; none: all. */
  readonly scopes: readonly string[]
}

/** A container of this node, by an address it calls from. */
export interface Caller {
  readonly scopes: readonly string[]
  /** Its compose project, whose services it may call by their short names. */
  readonly project: string | null
}

/** What stays the same while the agent runs. */
export interface ZoneSettings {
  /** In lower case, without a dot at either end: `mesh`. */
  readonly domain: string
  /** Seconds that an answer may be kept. */
  readonly ttl: number
  /** Addresses of the resolver itself. */
  readonly resolver: readonly string[]
  /** Subnets whose addresses have names here and nowhere else: `10.254.0.0/16`. */
  readonly pools: readonly string[]
}

/** What is new since the last one; the first has everything. */
export interface ZoneChange {
  /** New, or other than before. */
  readonly services: readonly NamedService[]
  /** Names of services that are gone. */
  readonly gone: readonly string[]
  /** By address; null: nobody calls from there any more. */
  readonly callers: readonly (readonly [string, Caller | null])[]
}
