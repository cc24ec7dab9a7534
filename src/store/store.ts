/**
 * What nodes share, behind one interface: `embedded` (a file on one machine) now,
 * `etcd` (many machines) later. Services are kept by name; whoever writes gets
 * uniqueness of published ports from the store, in one transaction.
 */
import type { Service } from '../model/service.js'
import type { ServiceSnapshot } from '../model/snapshot.js'
import type { Source } from '../sources/source.js'

/** Proof of a role that one node of a cluster has at a time (`Cluster.lead`). */
export interface Fence {
  readonly key: string
  /** Revision at which this node took the role. */
  readonly revision: number
}

export interface Store extends Source<ServiceSnapshot> {
  /** All services, sorted by name. */
  list(): Promise<readonly Service[]>
  /**
   * One atomic change: `change` gets what is stored now and returns what shall be
   * stored instead; it throws to refuse. It may be called again if somebody else
   * wrote in between, so it must be pure. Resolves once the result is durable. With a
   * `fence` nothing is written, and MESH_STORE thrown, once that role is no longer this node's.
   */
  update(
    change: (services: readonly Service[]) => readonly Service[],
    fence?: Fence | null,
  ): Promise<readonly Service[]>
  close(): Promise<void>
}
