/**
 * Wanted against observed, and the order in which the differences are applied.
 */
import type { Change } from './change.js'
import type { KernelObject, KernelState, Kind } from './objects.js'

/**
 * From the inside out: a packet must never meet a port map that points at a virtual
 * service that is not there yet. Removal runs in reverse.
 */
const order: readonly Kind[] = [
  'namespace',
  'link',
  'address',
  'route',
  'rule',
  'timeouts',
  'sysctl', // after the timeouts: net.ipv4.vs.* exists only once IPVS was used in the namespace
  'set',
  'chain',
  'foreignService',
  'virtualService',
  'destination',
  'entry',
  'jump',
]

/** Rank of an object; the host's own set elements come after the sandbox's maps. */
export function rankOf(object: KernelObject): number {
  const rank = order.indexOf(object.kind) * 2
  return object.kind === 'entry' && object.place === 'host' ? rank + 1 : rank
}

/** Whether two objects of one key hold the same configuration. */
export function sameObject(a: KernelObject, b: KernelObject): boolean {
  if (a === b) return true
  const left = a as unknown as Record<string, unknown>
  const right = b as unknown as Record<string, unknown>
  for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const x = left[name]
    const y = right[name]
    if (x === y) continue
    if (Array.isArray(x) && Array.isArray(y) && x.length === y.length && x.every((item, i) => item === y[i]))
      continue
    return false
  }
  return true
}

/**
 * What turns `observed` into `wanted`: adds and updates from the inside out, then
 * removals from the outside in. Add before remove, so that a replaced destination
 * always leaves another one behind it.
 */
export function diff(wanted: KernelState, observed: KernelState): Change[] {
  const make: Change[] = []
  const unmake: Change[] = []
  for (const [key, object] of wanted) {
    const from = observed.get(key)
    if (!from) make.push({ type: 'add', object })
    else if (!sameObject(object, from)) make.push({ type: 'update', object, from })
  }
  for (const [key, object] of observed) if (!wanted.has(key)) unmake.push({ type: 'remove', object })
  make.sort((a, b) => rankOf(a.object) - rankOf(b.object))
  unmake.sort((a, b) => rankOf(b.object) - rankOf(a.object))
  return [...make, ...unmake]
}
