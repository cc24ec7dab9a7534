/**
 * What a pass is given, and what it tells.
 */
import { isDeepStrictEqual } from 'node:util'
import { MeshError } from '../errors.js'
import type { Outcome } from '../kernel/change.js'
import type { Places } from '../kernel/driver.js'
import { containerPlace, type KernelObject, type Kind, keyOf, type Place } from '../kernel/objects.js'
import type { HostNode, RemoteContainer } from '../model/cluster.js'
import type { Container } from '../model/container.js'
import type { Service } from '../model/service.js'
import type { ContainerSnapshot, Node } from '../model/snapshot.js'
import { linkOf } from '../planner/attachment.js'
import type { Plan } from '../planner/slices.js'
import type { PassKind } from './runner.js'

export interface Inputs {
  readonly services: readonly Service[]
  readonly containers: ContainerSnapshot
  readonly node: Node
  /** Containers of other nodes; missing: there are no other nodes. */
  readonly remote?: readonly RemoteContainer[]
  /** Nodes whose processes may be endpoints; the same list as long as none of them changes. */
  readonly hosts?: readonly HostNode[]
}

/** Whether they say the same; lists that do are the same object. */
export function sameInputs(some: Inputs, other: Inputs): boolean {
  return (
    some.services === other.services &&
    some.containers === other.containers &&
    some.remote === other.remote &&
    some.hosts === other.hosts &&
    isDeepStrictEqual(some.node, other.node)
  )
}

export interface Pass {
  /** A full pass that gave up is a fast one, which it has made. */
  readonly kind: PassKind
  /** Whether it was to be a full one and gave up its look at the kernel. */
  readonly gaveUp: boolean
  readonly outcomes: readonly Outcome[]
  /** Outcomes that put right what somebody else had changed in the kernel. */
  readonly repairs: readonly Outcome[]
  /**
   * Set elements and virtual services that the first pass of an agent found as they should be. The agent
   * before may have been killed when it had made them and not yet forgotten the flows
   * that were there before; later passes have none.
   */
  readonly found: readonly KernelObject[]
  /** Attachments that got no address because the node's subnet is exhausted. */
  readonly unaddressed: readonly string[]
  /** Kinds of object that could not be read, with the reason. */
  readonly blind: ReadonlyMap<Kind, Error>
  /** Milliseconds. */
  readonly duration: number
}

/** Whether it has a network to look at: it runs, is paused, or is about to run. */
export function runs({ pid, state }: Container): boolean {
  return pid !== 0 && (state === 'running' || state === 'paused' || state === 'created')
}

/** Where to look: `paths` of host and sandbox, and the containers that are to be looked into. */
export function placesOf({ containers }: Inputs, paths: Places, isMeant: (id: string) => boolean): Places {
  const places = new Map<Place, string | null>(paths)
  for (const container of containers.containers)
    if (runs(container) && container.network === 'own' && isMeant(container.id))
      places.set(containerPlace(container.id, container.pid), `/proc/${container.pid}/ns/net`)
  return places
}

/**
 * Outcomes without those of containers that ended while the pass was under way: their
 * namespace is gone, and with it all that could be said of it. Docker will tell.
 */
export function pertinent(outcomes: readonly Outcome[]): Outcome[] {
  const gone = new Set<string | null>()
  const link = ({ change }: Outcome) => linkOf(change.object, new Map())
  for (const outcome of outcomes)
    if (outcome.error instanceof MeshError && outcome.error.code === 'MESH_NOT_FOUND') gone.add(link(outcome))
  gone.delete(null)
  return outcomes.filter(outcome => !outcome.error || !gone.has(link(outcome)))
}

/** Whether it decides what becomes of the first datagram of a flow. */
function isDoor({ kind }: KernelObject): boolean {
  return kind === 'entry' || kind === 'virtualService'
}

/** The doors of the plan that were there already. */
export function foundDoors(plan: Plan, observed: readonly KernelObject[]): KernelObject[] {
  const held = new Set<string>()
  for (const object of observed) if (isDoor(object)) held.add(keyOf(object))
  const found: KernelObject[] = []
  if (held.size === 0) return found
  for (const slice of plan.slices())
    for (const object of slice) if (isDoor(object) && held.has(keyOf(object))) found.push(object)
  return found
}
