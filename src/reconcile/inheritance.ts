/**
 * Drains that were under way when this agent started. Docker does not tell a new
 * agent that a container was sent its stop signal a moment ago; the kernel does, by
 * the destination's draining start. Such a destination stays at weight 0 for as long
 * as a container may take to stop, unless it was started anew meanwhile.
 */
import { type DestinationObject, type KernelObject, type KernelState, keyOf } from '../kernel/objects.js'

/** Docker's stop timeout (10 s) and something for slow machines, seconds. */
const holdTime = 15

export class Inheritance {
  private readonly held = new Map<string, DestinationObject>()

  /** Notes which wanted destinations the kernel holds as draining, on links that are still theirs. */
  take(observed: KernelState, wanted: KernelState, now: number): void {
    const links = new Map<string, string>()
    for (const object of observed.values())
      if (object.kind === 'route' && object.place === 'mesh')
        links.set(object.destination.replace(/\/(?:32|128)$/, ''), `link mesh ${object.link}`)
    for (const [key, object] of observed) {
      if (object.kind !== 'destination' || object.weight !== 0 || object.drainingSince === 0) continue
      if (!wanted.has(key) || now - object.drainingSince >= holdTime) continue
      const link = links.get(object.address)
      const was = link && observed.get(link)
      const will = link && wanted.get(link)
      const sameRun =
        was && will && 'peerPlace' in was && 'peerPlace' in will && was.peerPlace === will.peerPlace
      if (!link || sameRun) this.held.set(key, object)
    }
  }

  /** Keys of the destinations held. */
  keys(): string[] {
    return [...this.held.keys()]
  }

  /** Puts the held destinations over the planned ones until their time is over. */
  hold(wanted: Map<string, KernelObject>, now: number): void {
    for (const [key, object] of this.held) {
      if (now - object.drainingSince >= holdTime) this.held.delete(key)
      else if (wanted.has(keyOf(object))) wanted.set(key, object)
    }
  }
}
