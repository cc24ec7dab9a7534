/**
 * What the agent tells about itself: the JSON of the API and of `meshctl -o json`.
 * Fields are only ever added. Times are ISO 8601 in UTC, durations seconds unless
 * the name says `ms`; what does not apply is null, never left out.
 */
import type { Reach } from '../model/cluster.js'

/**
 * What an endpoint is doing. `starting`: runs, its health check has not passed yet;
 * `leaving`: no new connections, keeps those it has; `failed`: the mesh could not
 * connect it, `reason` says why.
 */
export type EndpointState = 'ready' | 'starting' | 'unhealthy' | 'paused' | 'leaving' | 'failed'

export interface PortView {
  /** As `publish` takes it: `8888:80/tcp`. */
  readonly spec: string
  readonly protocol: string
  /** `8888` or `8000-8099`. */
  readonly published: string
  readonly target: string
  /** Local address it is bound to; null: all. */
  readonly address: string | null
  /** In hex, as ipvsadm and iptables print it: `0x122b8`. */
  readonly fwmark: string
}

/** One endpoint behind one published port. */
export interface EndpointView {
  /** Container's name, or null for an endpoint that was given by address. */
  readonly container: string | null
  /** First 12 digits of the container's id. */
  readonly id: string | null
  /** Mesh address, or the address that was given; null while it has none. */
  readonly address: string | null
  /** Port where it answers; 0: the port that was asked for (port ranges). */
  readonly port: number
  /** Published port this row is about: `8888/tcp`. */
  readonly published: string
  readonly state: EndpointState
  /** Share of new connections; 0: none. */
  readonly weight: number
  /** Established connections, and those closing or (UDP) recently used; as the kernel counts. */
  readonly active: number
  readonly inactive: number
  /** Why it is not ready, in words; null when it is. */
  readonly reason: string | null
}

/** A port of a service's VIP, and the port of its endpoints it leads to. */
export interface VipPortView {
  /** As `service create --port` takes it: `8080:80/tcp`. */
  readonly spec: string
  readonly protocol: string
  /** `8080` or `5000-5009`. */
  readonly port: string
  readonly target: string
}

/** One endpoint as the VIP and the names of its service lead to it, whatever the port. */
export interface VipEndpointView extends Omit<EndpointView, 'published'> {
  /** Port where it answers whatever was asked for; 0: the target of the port that was asked for. */
  readonly port: number
}

export interface ServiceView {
  readonly name: string
  readonly ports: readonly PortView[]
  readonly scheduler: string
  /** Seconds. */
  readonly drain: number
  /** Labels that were asked for; null: found by name. */
  readonly selector: Readonly<Record<string, string>> | null
  /** Who asks for it: `meshctl`, `swarm` (labels of the Swarm service), or the path of the file that says so. */
  readonly origin: string
  /**
   * What is wrong with the labels of the Swarm service of that name, keeps it from being found by
   * name, or from being answered on a port here; a sentence each.
   */
  readonly problems: readonly string[]
  readonly endpoints: readonly EndpointView[]
  /** Its address in the mesh; null: it has none. */
  readonly vip: string | null
  /** All ports of the VIP: those that were asked for, and the targets of published ports. */
  readonly vipPorts: readonly VipPortView[]
  /** Empty for a service that has no VIP and is published. */
  readonly vipEndpoints: readonly VipEndpointView[]
  /** What its name stands for: `vip`, or `dnsrr`: the endpoints. */
  readonly endpointMode: string
  /** Whole names by which it is found: `web.mesh`. */
  readonly names: readonly string[]
  readonly aliases: readonly string[]
  /** Callers that share one of them see the service; none: all do. */
  readonly scopes: readonly string[]
  /** Seconds a client stays with its endpoint; 0: not at all. */
  readonly persistence: number
  /** `version=canary:5` each. */
  readonly weights: readonly string[]
}

export interface TroubleView {
  /** What it concerns: `docker`, `service web`, `/var/lib/mesh/mesh.json`. */
  readonly subject: string
  readonly message: string
  readonly since: string
}

export interface SourceView {
  readonly name: string
  /** `waiting`: nothing delivered yet, so nothing is removed from the kernel. */
  readonly state: 'waiting' | 'ready' | 'trouble'
  readonly message: string | null
}

export interface PassView {
  readonly at: string
  readonly ms: number
  /** A full pass compares the whole kernel state, a fast one what an event concerned. */
  readonly kind: 'full' | 'fast'
  readonly changes: number
  readonly failures: number
}

export interface CountsView {
  readonly services: number
  readonly ports: number
  readonly endpoints: number
  readonly ready: number
  /** Active connections. */
  readonly connections: number
}

/** Something that others changed and the mesh put right. */
export interface RepairView {
  readonly at: string
  readonly what: string
}

export interface StatusView {
  readonly node: string
  readonly version: string
  /** Seconds since the agent started. */
  readonly uptime: number
  /** No troubles, and every source has delivered. */
  readonly healthy: boolean
  readonly troubles: readonly TroubleView[]
  readonly sources: readonly SourceView[]
  readonly lastPass: PassView | null
  readonly counts: CountsView
  /** The last few, newest first. */
  readonly repairs: readonly RepairView[]
  /** What is worth knowing and no trouble of this node, a sentence each. */
  readonly notes: readonly string[]
  /** null: this mesh has no VIPs. */
  readonly vips: VipsView | null
}

/** How much of the VIP pool is given out. */
export interface VipsView {
  /** `10.253.0.0/16` */
  readonly pool: string
  /** How many services it has VIPs for. */
  readonly size: number
  readonly used: number
}

/** One change the next pass would make. */
export interface ChangeView {
  readonly type: 'add' | 'update' | 'remove'
  /** `destination`, `route`, … */
  readonly kind: string
  /** `host`, `mesh`, or `container` and the short id. */
  readonly place: string
  /** The command an operator would type for it. */
  readonly text: string
}

export interface PublishView {
  readonly service: ServiceView
  /** Nothing of the name was published before. */
  readonly created: boolean
  /** What a person should know though it was done, a sentence each. */
  readonly warnings: readonly string[]
}

export interface UnpublishView {
  readonly name: string
  /** Ports that were taken away, as `8888:80/tcp`. */
  readonly removed: readonly string[]
  /** What is left of the service; null: it is gone. */
  readonly service: ServiceView | null
}

/** Ports of a Swarm service that changed hands, between the mesh and Docker's ingress. */
export interface AdoptView {
  readonly name: string
  /** As `8080:80/tcp`. */
  readonly ports: readonly string[]
  /** Whether Swarm is about to replace the service's tasks for it. */
  readonly replacing: boolean
  /** What a person should know though it was done, a sentence each. */
  readonly warnings: readonly string[]
}

/** A service that was removed. */
export interface RemoveView {
  readonly name: string
  /** The VIP that is free again; null: it had none. */
  readonly vip: string | null
  /** Ports that are published no more, as `8888:80/tcp`. */
  readonly removed: readonly string[]
}

/** What became of one service of a file. */
export interface ApplyView {
  readonly name: string
  readonly result: 'created' | 'changed' | 'unchanged'
  readonly ports: readonly string[]
  /** Its address in the mesh; null: it has none. */
  readonly vip: string | null
  readonly warnings: readonly string[]
}

export interface CleanView {
  /** What was removed, as the commands an operator would type. */
  readonly removed: readonly string[]
}

/** One node of the mesh; without a cluster there is this one. */
export interface NodeView {
  readonly name: string
  /** Its place in the cluster, 1–65535; null: it is the only node. */
  readonly number: number | null
  /** Its share of the pool, `10.254.3.0/24`. */
  readonly subnet: string
  /** Where the other nodes reach it; null: it is the only node. */
  readonly address: string | null
  /** Whether it is the node that was asked. */
  readonly own: boolean
  /** Whether its agent was heard of within the lease. */
  readonly live: boolean
  /** What comes back from it through the tunnel, as seen by the node that was asked. */
  readonly reach: Reach
  /** Asked to take no new connections. */
  readonly draining: boolean
  /** Containers on it that answer for services. */
  readonly containers: number
  /** Active connections to those, among the ones that came in through the node that was asked. */
  readonly connections: number
  /** What the node that was asked has to say of it, a sentence each. */
  readonly notes: readonly string[]
}

/** The resolver of this node. */
export interface NamesView {
  /** What names of services end in. */
  readonly domain: string
  /** Seconds that an answer may be kept. */
  readonly ttl: number
  /** Where it is to answer. */
  readonly addresses: readonly string[]
  /** Where it does. */
  readonly served: readonly string[]
  /** Whom it asks for all other names. */
  readonly upstreams: readonly string[]
  /** Since the agent started; `failed` of those forwarded. */
  readonly queries: { readonly answered: number; readonly forwarded: number; readonly failed: number }
}

export interface VersionView {
  readonly version: string
  /** Name of the node the agent runs on. */
  readonly node: string
}

/** Every error of the API: HTTP status by code, this as its body. */
export interface ErrorView {
  readonly error: {
    readonly code: string
    readonly message: string
    /** With MESH_BAD_INPUT only. */
    readonly field?: string
    readonly value?: string
    readonly remedy?: string
  }
}
