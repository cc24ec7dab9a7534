/**
 * What sources deliver: complete lists, never increments. A source that falls
 * behind sends a fresh snapshot, and that is a normal path.
 */
import type { NodeRecord } from './cluster.js'
import type { Container } from './container.js'
import type { Declaration } from './declaration.js'
import type { Service } from './service.js'

/** The containers of one node and what Docker says about names and ports. */
export interface ContainerSnapshot {
  readonly containers: readonly Container[]
  /** Names of Swarm services known (only a manager knows them all; a worker those of its own tasks). */
  readonly swarmServices: readonly string[]
  /** Ports that Swarm publishes itself, by ingress or host mode. */
  readonly swarmPorts: readonly {
    readonly protocol: string
    readonly port: number
    readonly service: string
    /** Not any more: the service published it before it was updated last. */
    readonly former: boolean
  }[]
  /**
   * What labels of Swarm's services declare, by name. null: this node cannot say, being no
   * manager, or one that cannot read them now.
   */
  readonly declarations: readonly Declaration[] | null
  /** Ids of containers of any node that Swarm is about to stop; only a manager knows of some. Sorted. */
  readonly ending: readonly string[]
}

/** Services by one source or the store. */
export interface ServiceSnapshot {
  readonly services: readonly Service[]
}

/** This node, as planning needs to know it. */
export interface Node {
  readonly name: string
  /** The node's share of the mesh pool, `10.254.0.0/24`: .1 sandbox, .2 the node itself, .3 … containers. */
  readonly subnet: string
  /** The whole pool, `10.254.0.0/16`. */
  readonly pool: string
  /** The node's own addresses on all its links, without loopback and what is good on one link only. */
  readonly addresses: readonly string[]
  /** Its part in a cluster; null: it is the only node. */
  readonly membership: Membership | null
}

/** What a node of a cluster knows of itself and of the others. */
export interface Membership {
  /** 1–65535, unique in the cluster. */
  readonly number: number
  /** Address at which the other nodes reach it. */
  readonly address: string
  /** VXLAN network identifier, 1–16777215, and UDP port, the same on all nodes. */
  readonly vni: number
  readonly port: number
  /** Bytes; MTU of the tunnel: that of the underlay less 50, or 70 where that is IPv6. */
  readonly mtu: number
  readonly peers: readonly NodeRecord[]
  /**
   * Networks of this node's containers. Other nodes may use the same ones, so a caller
   * from there is translated when its connection leaves the node.
   */
  readonly privateNetworks: readonly string[]
}
