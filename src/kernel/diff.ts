/**
 * Wanted against observed, and the order in which the differences are applied.
 */
import type { Change } from './change.js'
import type {
  EntryObject,
  KernelObject,
  KernelState,
  Kind,
  LinkObject,
  SysctlObject,
  VxlanObject,
} from './objects.js'
import { meshLink, scopeSets } from './ownership.js'

/** Kinds, and parts of kinds that have a place of their own in the order. */
type Rank =
  | Kind
  | 'initial sysctl'
  | 'ipv6 switch'
  | 'host sysctl'
  | 'allowed'
  | 'scoped'
  | 'own jump'
  | 'door'

/**
 * From the inside out: a packet must never meet a port map that points at a virtual
 * service that is not there yet, nor a virtual service for some callers only that is not
 * closed to the others yet. Removal runs in reverse.
 */
const order: readonly Rank[] = [
  'namespace',
  'initial sysctl', // what links begin with, before there is one
  'link',
  'vxlan',
  'ipv6 switch', // before a link gets an address of IPv6, that it may
  'address',
  'neighbour',
  'forwarding',
  'route',
  'rule',
  'timeouts',
  'sysctl', // after the timeouts: net.ipv4.vs.* exists only once IPVS was used in the namespace
  'set',
  'allowed',
  'scoped',
  'chain',
  'own jump', // those of the sandbox: without virtual services and maps they lead nowhere, but they close what is scoped
  'host sysctl', // what the host had before is remembered by a rule, which must be there first
  'virtualService',
  'destination',
  'entry',
  'door', // the host's own set elements, after the sandbox's maps
  'jump',
]

const ranks = Object.fromEntries(order.map((rank, i) => [rank, i])) as Readonly<Record<Rank, number>>

/** Place of an object in the order. */
export function rankOf(object: KernelObject): number {
  switch (object.kind) {
    case 'sysctl':
      return ranks[rankOfSysctl(object)]
    case 'jump':
      return ranks[object.place === 'mesh' ? 'own jump' : 'jump']
    case 'entry':
      return ranks[rankOfEntry(object)]
    default:
      return ranks[object.kind]
  }
}

function rankOfEntry({ place, set }: EntryObject): Rank {
  if (set.startsWith(scopeSets.allowed)) return 'allowed'
  if (set.startsWith(scopeSets.scoped)) return 'scoped'
  return place === 'host' ? 'door' : 'entry'
}

const initial = /^net\.ipv[46]\.conf\.default\./

function rankOfSysctl({ place, name }: SysctlObject): Rank {
  if (place !== 'host' && initial.test(name)) return 'initial sysctl'
  if (name.endsWith('.disable_ipv6')) return 'ipv6 switch'
  return place === 'host' && linkParameter.exec(name)?.[1] !== meshLink ? 'host sysctl' : 'sysctl'
}

/** Whether two objects of one key hold the same configuration. */
export function sameObject(a: KernelObject, b: KernelObject): boolean {
  if (a === b) return true
  const left = a as unknown as Record<string, unknown>
  const right = b as unknown as Record<string, unknown>
  for (const name in left) if (!sameValue(left[name], right[name])) return false
  for (const name in right) if (left[name] === undefined && right[name] !== undefined) return false
  return true
}

function sameValue(x: unknown, y: unknown): boolean {
  if (x === y) return true
  if (Array.isArray(x) && Array.isArray(y))
    return x.length === y.length && x.every((item, i) => item === y[i])
  // Nothing but a virtual service's match is an object, and of objects of one key it is the same.
  return typeof x === 'object' && typeof y === 'object' && x !== null && y !== null
}

/** The changes by rank, in the order in which they came among those of one rank. */
function sorted(changes: readonly Change[], direction: 1 | -1): Change[] {
  const groups: Change[][] = order.map(() => [])
  for (const change of changes) (groups[rankOf(change.object)] as Change[]).push(change)
  return (direction > 0 ? groups : groups.reverse()).flat()
}

/** Whether the link is another one than the observed: its ends, or what a VXLAN device cannot change. */
export function isRemade(link: LinkObject | VxlanObject, from: KernelObject | undefined): boolean {
  if (link.kind === 'link')
    return from?.kind !== 'link' || from.peerPlace !== link.peerPlace || from.peerName !== link.peerName
  return (
    from?.kind !== 'vxlan' || from.vni !== link.vni || from.port !== link.port || from.local !== link.local
  )
}

/**
 * What is left of `observed` once the links to be made anew have taken along what sits
 * on them: addresses, neighbours, routes and the parameters of the link. A new MAC
 * costs a device its neighbours.
 */
function withoutLost(wanted: KernelState, observed: KernelState): KernelState {
  const ends = new Set<string>()
  const readdressed = new Set<string>()
  for (const [key, object] of wanted) {
    if (object.kind !== 'link' && object.kind !== 'vxlan') continue
    const from = observed.get(key)
    const end = `${object.place} ${object.name}`
    if (isRemade(object, from)) {
      ends.add(end)
      if (object.kind === 'link') ends.add(`${object.peerPlace} ${object.peerName}`)
    } else if (object.kind === 'vxlan' && from?.kind === 'vxlan' && from.mac !== object.mac)
      readdressed.add(end)
  }
  if (ends.size + readdressed.size === 0) return observed
  const isLost = (object: KernelObject) => {
    const seat = seatOf(object)
    return ends.has(seat) || (object.kind === 'neighbour' && readdressed.has(seat))
  }
  return new Map([...observed].filter(([, object]) => !isLost(object)))
}

const linkParameter = /^net\.ipv[46]\.(?:conf|neigh)\.([^.]+)\./

/** The end of a link that an object sits on, `host mesh0`; of any other object the empty text. */
function seatOf(object: KernelObject): string {
  if (object.kind === 'sysctl') return `${object.place} ${linkParameter.exec(object.name)?.[1] ?? ''}`
  return 'place' in object && 'link' in object ? `${object.place} ${object.link}` : ''
}

/**
 * What turns `observed` into `wanted`: adds and updates from the inside out, then
 * removals from the outside in. Add before remove, so that a replaced destination
 * always leaves another one behind it.
 */
export function diff(wanted: KernelState, observed: KernelState): Change[] {
  const make: Change[] = []
  const unmake: Change[] = []
  const staying = withoutLost(wanted, observed)
  for (const [key, object] of wanted) {
    const from = staying.get(key)
    if (!from) make.push({ type: 'add', object })
    else if (!sameObject(object, from)) make.push({ type: 'update', object, from })
  }
  for (const [key, object] of staying) if (!wanted.has(key)) unmake.push({ type: 'remove', object })
  return [...sorted(make, 1), ...sorted(unmake, -1)]
}
