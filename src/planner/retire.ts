/**
 * How a destination leaves. It is not removed from under its connections: first it
 * gets weight 0, then it goes when its active connections have ended or its drain
 * time is over. Pure; the start of a drain is read from the destination itself, so a
 * restarted agent goes on where the last one stopped.
 */
import {
  type DestinationObject,
  type DestinationReading,
  type KernelState,
  keyOfVirtualService,
  type ServiceMatch,
  type VirtualServiceObject,
} from '../kernel/objects.js'

/** A handshake under way when the weight became 0 counts as inactive; it has this long to end, seconds. */
const settle = 1

export interface RetireInput {
  /** Destinations and virtual services that the kernel holds, or was last known to hold. */
  readonly held: KernelState
  readonly wanted: KernelState
  /** Connection counts by destination key, as far as they were read. */
  readonly readings: ReadonlyMap<string, DestinationReading>
  /** Whether packets to this address can still arrive: its container runs. */
  readonly alive: (address: string) => boolean
  /** Drain time of the service whose virtual service this is, seconds. */
  readonly drainOf: (match: ServiceMatch) => number
  /** Seconds since 1970. */
  readonly now: number
}

/**
 * The objects that must stay although the plan no longer has them: destinations that
 * drain, and the virtual services they belong to.
 */
export function retire(input: RetireInput): (DestinationObject | VirtualServiceObject)[] {
  const { wanted, readings, alive, drainOf, now } = input
  const staying: DestinationObject[] = []
  for (const [key, object] of input.held) {
    if (object.kind !== 'destination' || wanted.has(key) || !alive(object.address)) continue
    if (object.weight > 0 || object.drainingSince === 0) {
      if (drainOf(object.service) > 0) staying.push({ ...object, weight: 0, drainingSince: now })
      continue
    }
    // Both are whole seconds, rounded down: so many have surely passed, and up to one more.
    const age = now - object.drainingSince - 1
    const reading = readings.get(key)
    const idle = age >= settle && reading?.active === 0
    if (!idle && age < drainOf(object.service)) staying.push(object)
  }
  const bare = new Set(staying.map(({ service }) => keyOfVirtualService(service)))
  const kept = [...bare].flatMap(key => {
    const service = input.held.get(key)
    return service?.kind === 'virtualService' && !wanted.has(key) ? [service] : []
  })
  return [...kept, ...staying]
}
