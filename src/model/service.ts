/**
 * What a person publishes: a service, its ports, and which containers answer for it.
 */
import type { PortRange, Protocol, PublishedPort } from './ports.js'

/** Label → value that a container must carry. `mesh.container` stands for the container's name. */
export type Selector = Readonly<Record<string, string>>

/** Labels by which Docker marks the containers of its services. */
export const swarmServiceLabel = 'com.docker.swarm.service.name'
export const composeServiceLabel = 'com.docker.compose.service'
export const composeProjectLabel = 'com.docker.compose.project'
/** Not a real label: the container's own name, so that a name is a selector too. */
export const containerNameLabel = 'mesh.container'

/** IPVS schedulers of the kernel by their own short names (net/netfilter/ipvs/ip_vs_*.c). */
export const schedulers = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'sh',
  'dh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
] as const
export type Scheduler = (typeof schedulers)[number]

/**
 * An endpoint given by address. A loopback address means a process on the node that reads
 * it, the address of any node of the mesh a process there.
 */
export interface FixedEndpoint {
  /** IPv4 address. */
  readonly address: string
  /** Port where it answers; null: the target port of each published port. */
  readonly port: number | null
}

/** Who asks for a service of the store: a person by meshctl, or labels of the Swarm service of that name. */
export const declarers = ['meshctl', 'swarm'] as const
export type Declarer = (typeof declarers)[number]

/** A port at which a service's VIP answers, and the port of the endpoints it leads to: ranges of equal length. */
export interface VipPort {
  readonly protocol: Protocol
  readonly port: PortRange
  readonly target: PortRange
}

/** What a service's name stands for: its VIP, or the addresses of its endpoints. */
export const endpointModes = ['vip', 'dnsrr'] as const
export type EndpointMode = (typeof endpointModes)[number]

/**
 * A weight for the endpoints whose container carries the label. A number, `version=canary:5`,
 * is the weight of each of them, as others have 1: what they get together depends on
 * how many there are. A percentage, `version=canary:5%`, is the share of all of them
 * together, however many there are of them and of others.
 */
export interface LabelWeight {
  readonly label: string
  readonly value: string
  /** 0–65535, or percent, 0–100. */
  readonly weight: number
  readonly percent?: true
}

export interface Service {
  /** Unique in the mesh. */
  readonly name: string
  /** None: it was declared, but never so that it could be published. */
  readonly ports: readonly PublishedPort[]
  /** null: by name alone, whatever kind of thing turns out to bear it. */
  readonly selector: Selector | null
  readonly endpoints: readonly FixedEndpoint[]
  readonly scheduler: Scheduler
  /** Longest time a leaving endpoint keeps its connections, seconds, 0–86400. */
  readonly drain: number
  /** Its address in the mesh, out of the VIP pool, the same for its whole life; null: none. */
  readonly vip: string | null
  /** Ports of the VIP besides the targets of published ports (`vipPortsOf` has all). */
  readonly vipPorts: readonly VipPort[]
  readonly endpointMode: EndpointMode
  /** How long a client stays with its endpoint after its last connection, seconds, 1–86400; 0: not at all. */
  readonly persistence: number
  /** The first that an endpoint's container matches counts. */
  readonly weights: readonly LabelWeight[]
  /** Further names. */
  readonly aliases: readonly string[]
  /** Only callers that share one of them see the service; none: everybody does. */
  readonly scopes: readonly string[]
  readonly declaredBy: Declarer
  /**
   * What is wrong with the labels of the Swarm service of that name, which then change nothing here,
   * and, never stored, which published ports this node leaves to others; a sentence each.
   */
  readonly problems: readonly string[]
  /** Published ports that this node leaves to others who have them, and other nodes answer on. Never stored. */
  readonly elsewhere?: readonly PublishedPort[]
}

/**
 * Whether anything leads to the service. Nothing does where it was declared, but never so
 * that it could be had, or where its labels say no more than what scopes its containers have.
 */
export function isServed({ ports, elsewhere = [], vip, endpointMode }: Service): boolean {
  return ports.length > 0 || elsewhere.length > 0 || vip !== null || endpointMode === 'dnsrr'
}

export const defaultScheduler: Scheduler = 'rr'
/** Where there are weights. */
export const defaultWeightedScheduler: Scheduler = 'wrr'
export const defaultDrain = 30
