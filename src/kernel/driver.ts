/**
 * What the reconcile loop asks of a driver. One driver per kind (or few kinds) of
 * kernel object; each sees only its own.
 */
import type { Change, Outcome } from './change.js'
import type { DestinationReading, KernelObject, Kind, Place } from './objects.js'

/** How the namespaces are entered: place → path of its namespace file, null for the host's own. */
export type Places = ReadonlyMap<Place, string | null>

export interface Observation {
  /**
   * Only objects the mesh owns, normalised so that they compare with wanted ones. The same list
   * as long as nothing has changed in the kernel, so that nobody looks through it again: mostly
   * nothing has, and a look comes every few seconds.
   */
  readonly objects: readonly KernelObject[]
  /** Connection counts by destination key; only the IPVS driver has any. */
  readonly readings?: ReadonlyMap<string, DestinationReading>
}

/** What could be read, and what could not. */
export interface Sight extends Observation {
  /** Kinds whose driver could not observe: they are left alone in this pass. */
  readonly blind: ReadonlyMap<Kind, Error>
}

/** All drivers behind one face. */
export interface Kernel {
  /** Rejects with the signal's reason where it was aborted before all was read. */
  observe(places: Places, signal?: AbortSignal): Promise<Sight>
  /** In the order given; never throws. */
  apply(changes: readonly Change[], places: Places): Promise<Outcome[]>
}

export interface Driver {
  readonly name: string
  readonly kinds: readonly Kind[]
  /**
   * What the kernel holds of ours in these places. A place that is gone (its
   * namespace file does not open: ENOENT, EINVAL) holds nothing; any other failure throws.
   * A driver that has much to read throws the signal's reason once it is aborted.
   */
  observe(places: Places, signal?: AbortSignal): Promise<Observation>
  /**
   * Makes the changes in the given order, in as few kernel calls as it can, and
   * tells of each what came of it. Never throws for one change's failure. Adding
   * what is there already and removing what is gone succeed.
   */
  apply(changes: readonly Change[], places: Places): Promise<Outcome[]>
}
