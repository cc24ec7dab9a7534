/**
 * What the nodes of a mesh tell one another, behind one interface: who is there, with
 * which number and subnet, and which containers run where.
 */
import type { ClusterNode, ClusterSnapshot, NodeIpv6, NodeRecord, RemoteContainer } from '../model/cluster.js'
import type { Source } from '../sources/source.js'
import type { Fence } from './store.js'

/** What a node asks for when it joins. */
export interface Claim {
  readonly name: string
  /** Address at which other nodes reach it, of the same family on every node. */
  readonly address: string
  /** `10.254.0.0/16`; the same on every node. */
  readonly pool: string
  /** Length of one node's subnet; the same on every node. */
  readonly nodePrefix: number
  /** Where VIPs come from, the same on every node; null: nowhere. */
  readonly vipPool: string | null
  /** What the node itself has of IPv6; null: nothing. */
  readonly ipv6: NodeIpv6 | null
}

export type OwnContainer = Omit<RemoteContainer, 'node'>

export interface Cluster extends Source<ClusterSnapshot> {
  /**
   * Takes this node's place, the former one if it had one, and holds it until `leave`
   * or `stop`. Refuses (InputError) a name or an address that another live node has,
   * and a pool other than the cluster's; throws MESH_STORE when the store is out of reach.
   * `onMoved`: the place was given to another node while this one was cut off, and this one
   * has another number now; it tells no more, and is to join anew.
   */
  join(claim: Claim, onMoved?: () => void): Promise<NodeRecord>
  /**
   * This node's complete list of containers, and the ids of those of any node that Swarm is
   * about to stop, where this one knows of some. It stays what the node has to tell, also
   * if the promise rejects because the store is out of reach: it is written then.
   */
  announce(containers: readonly OwnContainer[], ending?: readonly string[]): Promise<void>
  /** The agent ends and comes again: what it announced stays for `seconds`, from 1. Nothing may be announced after it. */
  pause(seconds: number): Promise<void>
  /** The node is gone for the others, at once; its number and subnet stay its own. */
  leave(): Promise<void>
  /**
   * Takes a role that one node has at a time, or finds that this node still has it: the
   * proof that store updates ask for, or null while another node has it. It is lost with
   * the node's lease. Throws MESH_STORE when the store is out of reach.
   */
  lead(role: string): Promise<Fence | null>
  /** Gives a role up, if this node has it; where that cannot be done it goes with the lease. */
  resign(role: string): Promise<void>
  /** Name of the node that has the role, as last known; null: none has it. */
  leader(role: string): string | null
  /** All nodes that have a place, as last known. Throws MESH_STORE if that was never known. */
  nodes(): readonly ClusterNode[]
  /** Asks a node to take no new connections, or to take them again. Throws MESH_NOT_FOUND. */
  drain(name: string, draining: boolean): Promise<void>
  /** Gives a node's number and subnet back. Throws MESH_NOT_FOUND, and InputError for a live one. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}
