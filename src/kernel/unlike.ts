/**
 * What of wanted and observed needs a closer look. Of ten thousand virtual services with their
 * destinations mostly all are as they should be: those are found alike group by group, and
 * get neither keys nor places in maps.
 */
import {
  type DestinationObject,
  type KernelObject,
  keyOf,
  keyOfVirtualService,
  stateOf,
  type VirtualServiceObject,
} from './objects.js'

/** A virtual service and the destinations that come right behind it. */
interface Group {
  readonly service: VirtualServiceObject
  readonly destinations: readonly DestinationObject[]
}

export interface Unlike {
  readonly wanted: Map<string, KernelObject>
  readonly observed: Map<string, KernelObject>
}

/** Parts a list into groups and what belongs to none. */
function split(
  objects: readonly KernelObject[],
  onGroup: (group: Group) => void,
  onOther: (object: KernelObject) => void,
): void {
  for (let at = 0; at < objects.length; ) {
    const service = objects[at++]!
    if (service.kind !== 'virtualService') {
      onOther(service)
      continue
    }
    const first = at
    while (objects[at]?.kind === 'destination') at++
    onGroup({ service, destinations: objects.slice(first, at) as DestinationObject[] })
  }
}

function put(state: Map<string, KernelObject>, { service, destinations }: Group): void {
  state.set(keyOf(service), service)
  for (const destination of destinations) state.set(keyOf(destination), destination)
}

/**
 * Wanted and observed objects by key, without the virtual services that are alike in both with
 * all their destinations; nothing that is done with other objects depends on those. Each
 * destination of `wanted`, which comes in slices, and of `observed` comes behind its virtual
 * service, and no virtual service comes twice.
 */
export function unlike(wanted: Iterable<readonly KernelObject[]>, observed: readonly KernelObject[]): Unlike {
  const groups = new Map<string, Group>()
  const result: Unlike = { wanted: new Map(), observed: new Map() }
  const observe = (object: KernelObject) => result.observed.set(keyOf(object), object)
  split(observed, group => groups.set(keyOfVirtualService(group.service.match), group), observe)
  const want = (object: KernelObject) => result.wanted.set(keyOf(object), object)
  const wantGroup = (group: Group) => {
    const key = keyOfVirtualService(group.service.match)
    const found = groups.get(key)
    if (found && isAlike(group, found)) groups.delete(key)
    else put(result.wanted, group)
  }
  for (const slice of wanted) split(slice, wantGroup, want)
  for (const group of groups.values()) put(result.observed, group)
  return result
}

function isAlike(some: Group, other: Group): boolean {
  const { scheduler, persistence } = some.service
  const count = some.destinations.length
  if (scheduler !== other.service.scheduler || persistence !== other.service.persistence) return false
  if (count !== other.destinations.length) return false
  // The kernel tells first of those that came last.
  const isMirrored = some.destinations.every((each, i) => isSame(each, other.destinations[count - 1 - i]!))
  if (isMirrored) return true
  const byKey = stateOf(other.destinations)
  return some.destinations.every(each => {
    const same = byKey.get(keyOf(each))
    return same?.kind === 'destination' && isSame(each, same)
  })
}

function isSame(a: DestinationObject, b: DestinationObject): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.drainingSince === b.drainingSince
  )
}
