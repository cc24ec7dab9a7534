/**
 * Kernel words: every kind of object the mesh keeps in the kernel, as plain
 * comparable values. Wanted and observed state are lists of the same objects;
 * readings (connection counts) travel apart from them.
 */

/**
 * A network namespace. `host` is the agent's own, `mesh` the sandbox,
 * `container:<full id>@<pid>` that of one run of a container: a restarted container
 * is another place, so everything in it is new.
 */
export type Place = 'host' | 'mesh' | `container:${string}`

/** Place of the run of a container whose first process is `pid`. */
export function containerPlace(id: string, pid: number): Place {
  return `container:${id}@${pid}`
}

/**
 * IPv4 or IPv6. Objects with an address show theirs by it; addresses of IPv6 are written
 * as RFC 5952 has it: `fd4d::1`.
 */
export type Family = 'inet' | 'inet6'

export function familyOf(address: string): Family {
  return address.includes(':') ? 'inet6' : 'inet'
}

/** The sandbox's existence: a namespace kept by a bind mount at `path`, with its loopback link up. */
export interface NamespaceObject {
  readonly kind: 'namespace'
  readonly place: Place
  /** `/run/netns/mesh`. */
  readonly path: string
  /** Observed only: without loopback every address counts as broadcast, and routes are refused. */
  readonly loopback?: 'down'
}

/** A veth pair: named by its end in `place`, the other end elsewhere. Both ends are up. */
export interface LinkObject {
  readonly kind: 'link'
  readonly place: Place
  readonly name: string
  readonly peerPlace: Place
  readonly peerName: string
  /** Bytes, 68–65535. */
  readonly mtu: number
}

/**
 * The VXLAN device between sandboxes: with group policy (`gbp`), without learning and
 * without a default destination, up. Its UDP socket stays in the host's namespace.
 */
export interface VxlanObject {
  readonly kind: 'vxlan'
  /** `mesh`; one that is observed in `host` never arrived in the sandbox, and has to go. */
  readonly place: Place
  readonly name: string
  /** VXLAN network identifier, 1–16777215. */
  readonly vni: number
  /** UDP port of all nodes, 1–65535; 0: observed with options of other people's choice. */
  readonly port: number
  /** This node's address in the underlay. */
  readonly local: string
  /** `02:4d:00:00:00:01`, small letters. */
  readonly mac: string
  /** Bytes, 68–65535; 0: observed down. */
  readonly mtu: number
}

/** A permanent neighbour: which MAC an address on a VXLAN device has. */
export interface NeighbourObject {
  readonly kind: 'neighbour'
  readonly place: Place
  readonly link: string
  readonly address: string
  /** Small letters. */
  readonly mac: string
}

/** A permanent entry of a VXLAN device's forwarding database: at which node a MAC is. */
export interface ForwardingObject {
  readonly kind: 'forwarding'
  readonly place: Place
  readonly link: string
  /** Small letters. */
  readonly mac: string
  /** The node's address in the underlay. */
  readonly destination: string
}

/** An address on a link, with its prefix; what the kernel itself gives a link, fe80::/10, is none. */
export interface AddressObject {
  readonly kind: 'address'
  readonly place: Place
  readonly link: string
  /** `10.254.0.1/32`, `fd4d::1/128`. */
  readonly address: string
}

/** A route. Ours carry protocol `meshProtocol`, by which they are recognised. */
export interface RouteObject {
  readonly kind: 'route'
  readonly place: Place
  /** Routing table id; 254 is main. */
  readonly table: number
  /** `0.0.0.0/0`, `10.254.0.5/32`, `::/0`. */
  readonly destination: string
  readonly link: string
  /** Next hop, or null for a destination on the link itself. Always installed `onlink`. */
  readonly gateway: string | null
  /** Preferred source, or null. */
  readonly source: string | null
  /** Packets to the destination are for the namespace itself, though `link` has no such address. */
  readonly type?: 'local'
}

/**
 * A policy rule `from SOURCE [to DESTINATION] [fwmark FWMARK[/MASK]] [ipproto udp sport PORTS] lookup
 * TABLE [suppress_prefixlength 0]`, or `… goto PRIORITY`; ours carry protocol `meshProtocol`.
 */
export interface RuleObject {
  readonly kind: 'rule'
  readonly place: Place
  readonly priority: number
  /** `10.254.0.5/32`, or `0.0.0.0/0` (`::/0`) for packets whose source is not chosen yet. */
  readonly source: string
  /** Only packets to this prefix. */
  readonly destination?: string
  /** 0 in a rule with `goto`. */
  readonly table: number
  /** Priority of the rule to go on with, larger than this one's; no part of what identifies a rule to the kernel. */
  readonly goto?: number
  /** Only packets with this mark, 0–4294967295. */
  readonly fwmark?: number
  /** The bits of the mark that are compared; all of them unless given. */
  readonly fwmask?: number
  /** Only UDP packets from these ports: `53` or `8000-8099`. */
  readonly udpPorts?: string
  /** The table's default route does not count (suppress_prefixlength 0). */
  readonly exceptDefault?: true
}

export interface SysctlObject {
  readonly kind: 'sysctl'
  readonly place: Place
  /** Dotted: `net.ipv4.vs.conntrack`. */
  readonly name: string
  readonly value: string
}

export type SetType = 'bitmap:port' | 'hash:ip' | 'hash:net' | 'hash:ip,port' | 'hash:net,net'

/** An ipset. bitmap:port sets range over 0–65535; `skbinfo` sets map elements to marks. */
export interface SetObject {
  readonly kind: 'set'
  readonly place: Place
  readonly name: string
  readonly type: SetType
  /** Of its addresses; a bitmap:port set, which has none and serves both, is `inet`. */
  readonly family: Family
  readonly skbinfo: boolean
}

/** One element of an ipset, as `ipset` prints it: `8888`, `10.0.0.1,tcp:80`, `fd4d::9,fd4d::3`. */
export interface EntryObject {
  readonly kind: 'entry'
  readonly place: Place
  readonly set: string
  readonly element: string
  /** fwmark that `-j SET --map-mark` gives, or null in a set without skbinfo. */
  readonly mark: number | null
}

export type Table = 'raw' | 'mangle' | 'nat' | 'filter'

/** A user-defined iptables chain (`MESH-…`) with all its rules in `iptables-save` form without the `-A CHAIN`. */
export interface ChainObject {
  readonly kind: 'chain'
  readonly place: Place
  readonly family: Family
  readonly table: Table
  readonly name: string
  readonly rules: readonly string[]
}

/** The one jump into a chain of ours; it must be the first rule of `from`. */
export interface JumpObject {
  readonly kind: 'jump'
  readonly place: Place
  readonly family: Family
  readonly table: Table
  /** Built-in chain: `PREROUTING`. */
  readonly from: string
  readonly to: string
  /** Match part in `iptables-save` form, may be empty: `-m addrtype --dst-type LOCAL`. */
  readonly match: string
}

/**
 * How packets are matched to a virtual service: by fwmark, those of one family, or by
 * protocol, address and port. The kernel asks for the fwmark first.
 */
export type ServiceMatch =
  | { readonly fwmark: number; readonly family: Family }
  | {
      /** IPPROTO_*, linux/in.h: 6 tcp, 17 udp, 132 sctp. */
      readonly protocol: number
      readonly address: string
      readonly port: number
    }

/** A match by the fwmark of packets of IPv4, unless another family is given. */
export function byFwmark(fwmark: number, family: Family = 'inet'): ServiceMatch {
  return { fwmark, family }
}

/** `keyOf` the virtual service of a match. */
export function keyOfVirtualService(match: ServiceMatch): string {
  return `virtualService ${keyOfMatch(match)}`
}

/** `74424`, `74424 inet6` or `6 10.253.0.5:80`. */
function keyOfMatch(match: ServiceMatch): string {
  if ('fwmark' in match) return match.family === 'inet' ? `${match.fwmark}` : `${match.fwmark} inet6`
  return `${match.protocol} ${atPort(match.address, match.port)}`
}

/** `10.254.0.5:80`, `[fd4d::5]:80` */
export function atPort(address: string, port: number): string {
  return familyOf(address) === 'inet6' ? `[${address}]:${port}` : `${address}:${port}`
}

/** An IPVS virtual service, in the sandbox, which is the mesh's alone: one that is not wanted has to go. */
export interface VirtualServiceObject {
  readonly kind: 'virtualService'
  readonly match: ServiceMatch
  readonly scheduler: string
  /** Persistence timeout in seconds; 0: none. */
  readonly persistence: number
}

/** One destination of a virtual service, forwarding method masquerade. */
export interface DestinationObject {
  readonly kind: 'destination'
  /** Its virtual service, by what it is matched. */
  readonly service: ServiceMatch
  readonly address: string
  /** 0 keeps the port the packet came with. */
  readonly port: number
  /** Share of new connections; 0: it gets none, which is so of every one that drains. */
  readonly weight: number
  /**
   * When the mesh began to drain it, seconds since 1970; 0 when it does not. Kept
   * in the kernel as the destination's upper threshold (no meaning to the kernel at
   * weight 0), so that a drain outlives the agent and a weight 0 set by hand differs.
   */
  readonly drainingSince: number
}

/** IPVS timeouts of the sandbox, seconds (IPVS_CMD_SET_CONFIG). */
export interface TimeoutsObject {
  readonly kind: 'timeouts'
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

export type KernelObject =
  | NamespaceObject
  | LinkObject
  | VxlanObject
  | AddressObject
  | NeighbourObject
  | ForwardingObject
  | RouteObject
  | RuleObject
  | SysctlObject
  | SetObject
  | EntryObject
  | ChainObject
  | JumpObject
  | VirtualServiceObject
  | DestinationObject
  | TimeoutsObject

export type Kind = KernelObject['kind']

/** What identifies an object among those of its kind; all else about it is configuration. */
export function keyOf(object: KernelObject): string {
  switch (object.kind) {
    case 'namespace':
      return `namespace ${object.place}`
    case 'link':
      return `link ${object.place} ${object.name}`
    case 'vxlan':
      return `vxlan ${object.place} ${object.name}`
    case 'neighbour':
      return `neighbour ${object.place} ${object.link} ${object.address}`
    case 'forwarding':
      return `forwarding ${object.place} ${object.link} ${object.mac}`
    case 'address':
      return `address ${object.place} ${object.link} ${object.address}`
    case 'route':
      return `route ${object.place} ${object.table} ${object.destination}`
    case 'rule':
      return `rule ${object.place} ${object.priority} ${object.source} ${object.table} ${object.udpPorts ?? ''}${object.destination ?? ''}${markOf(object)}`
    case 'sysctl':
      return `sysctl ${object.place} ${object.name}`
    case 'set':
      return `set ${object.place} ${object.name}`
    case 'entry':
      return `entry ${object.place} ${object.set} ${object.element}`
    case 'chain':
      return `chain ${object.place} ${tableOf(object)} ${object.name}`
    case 'jump':
      return `jump ${object.place} ${tableOf(object)} ${object.from} ${object.to}`
    case 'virtualService':
      return keyOfVirtualService(object.match)
    case 'destination':
      return `destination ${keyOfMatch(object.service)} ${atPort(object.address, object.port)}`
    case 'timeouts':
      return 'timeouts'
  }
}

/** `nat`, or `ip6 nat`. */
function tableOf({ family, table }: ChainObject | JumpObject): string {
  return family === 'inet6' ? `ip6 ${table}` : table
}

/** ` fwmark 18`, ` fwmark 18/255`, or the empty text. */
function markOf({ fwmark, fwmask }: RuleObject): string {
  if (fwmask !== undefined) return ` fwmark ${fwmark ?? 0}/${fwmask}`
  return fwmark === undefined ? '' : ` fwmark ${fwmark}`
}

/** Counters of a destination, read with it and never compared. */
export interface DestinationReading {
  readonly active: number
  readonly inactive: number
}

/** Wanted or observed state: objects by key. */
export type KernelState = ReadonlyMap<string, KernelObject>

export function stateOf(objects: Iterable<KernelObject>): Map<string, KernelObject> {
  const state = new Map<string, KernelObject>()
  for (const object of objects) state.set(keyOf(object), object)
  return state
}
