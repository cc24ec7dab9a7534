/**
 * What the sources have delivered so far, put together for the loop: services of the
 * store and of watched files, containers, and this node. Says when everything has
 * been heard once, which is when the loop may begin to remove things.
 */
import { networkInterfaces } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { familyOf } from '../kernel/objects.js'
import { meshLink } from '../kernel/ownership.js'
import type { ClusterNode, ClusterSnapshot, HostNode, Reach, RemoteContainer } from '../model/cluster.js'
import { sameItems } from '../model/differences.js'
import { isServed, type Service } from '../model/service.js'
import type { ContainerSnapshot, Membership, Node, ServiceSnapshot } from '../model/snapshot.js'
import { nodeAddress } from '../planner/addresses.js'
import { type Inputs, sameInputs } from '../reconcile/pass.js'
import { type Combined, combine } from './combine.js'
import { allLeaving, endingRemote, leavingRemote, withEndings } from './endings.js'
import { SilentNodes } from './silent-nodes.js'

/** Addresses of the node itself, without loopback, the mesh's own link and what is good on one link only. */
export function ownAddresses(): string[] {
  const addresses: string[] = []
  for (const [link, list] of Object.entries(networkInterfaces()))
    for (const { internal, address } of list ?? [])
      if (!internal && link !== meshLink && !address.startsWith('fe80:')) addresses.push(address)
  return [...new Set(addresses)].sort()
}

/** This node, without what changes while the agent runs. */
export interface OwnNode extends Pick<Node, 'name' | 'subnet' | 'pool'> {
  /** null: it is the only node. */
  readonly membership: Omit<Membership, 'peers' | 'privateNetworks'> | null
}

const none: ReadonlySet<string> = new Set()

export class Collected {
  private readonly snapshots = new Map<string, ServiceSnapshot>()
  private readonly waiting: Set<string>
  private snapshot: ContainerSnapshot = {
    containers: [],
    swarmServices: [],
    swarmPorts: [],
    declarations: null,
    ending: [],
  }
  private combined: Combined = { services: [], origins: new Map(), clashes: [] }
  /** Those that answer somewhere, or whose containers have scopes by them. */
  private counting: readonly Service[] = []
  private node: OwnNode
  private cluster: ClusterSnapshot = { nodes: [], containers: [], ending: [] }
  private readonly silent = new SilentNodes()
  private known: readonly HostNode[] = []
  /** What the last list of other nodes' containers was made of; null: it is not to be used again. */
  private told: {
    readonly containers: readonly RemoteContainer[]
    readonly hosts: readonly HostNode[]
    readonly ending: ReadonlySet<string>
    readonly known: readonly RemoteContainer[] | null
  } = { containers: [], hosts: [], ending: none, known: null }
  private endings = none
  private given: Inputs | null = null
  private readonly reachOf: (node: string) => Reach
  private readonly left: (services: readonly Service[]) => readonly Service[]

  /**
   * `origins`: names of the store and the files, those that win a clash first; `others`: of all
   * other sources. `left`: what of the services is left for this node, the same list for the same.
   */
  constructor(
    origins: readonly string[],
    others: readonly string[],
    node: OwnNode,
    reachOf: (node: string) => Reach = () => 'reached',
    left: (services: readonly Service[]) => readonly Service[] = services => services,
  ) {
    for (const origin of origins) this.snapshots.set(origin, { services: [] })
    this.waiting = new Set([...origins, ...others])
    this.node = node
    this.reachOf = reachOf
    this.left = left
  }

  putServices(origin: string, snapshot: ServiceSnapshot): void {
    this.waiting.delete(origin)
    this.snapshots.set(origin, snapshot)
    this.combined = combine(this.snapshots)
    this.counting = this.combined.services.filter(each => isServed(each) || each.scopes.length > 0)
  }

  putContainers(source: string, snapshot: ContainerSnapshot): void {
    this.waiting.delete(source)
    this.snapshot = snapshot
    this.noteEndings()
  }

  putCluster(source: string, snapshot: ClusterSnapshot): void {
    this.waiting.delete(source)
    this.silent.heard(this.cluster, snapshot)
    this.cluster = snapshot
    this.noteEndings()
  }

  /** A manager knows them itself; what the others tell takes a little longer. */
  private noteEndings(): void {
    const now = new Set([...this.snapshot.ending, ...this.cluster.ending])
    if (!isDeepStrictEqual(now, this.endings)) this.endings = now
  }

  /** Whether every source has delivered once. */
  get complete(): boolean {
    return this.waiting.size === 0
  }

  isWaiting(source: string): boolean {
    return this.waiting.has(source)
  }

  get containers(): ContainerSnapshot {
    return this.snapshot
  }

  /** Containers that Swarm is about to stop, on whichever node; the same set as long as it has the same ones. */
  get ending(): ReadonlySet<string> {
    return this.endings
  }

  get services(): Combined {
    return this.combined
  }

  /** What one origin, the store or a file, has delivered last. */
  servicesOf(origin: string): readonly Service[] {
    return this.snapshots.get(origin)?.services ?? []
  }

  /** Whether a node's containers are believed in although its agent is not heard of. */
  isSilent(node: string): boolean {
    return this.silent.has(node)
  }

  /** This node, as far as it stays the same. */
  get own(): OwnNode {
    return this.node
  }

  /** Nodes and all their containers, as the cluster told last; empty without one. */
  get nodes(): ClusterSnapshot {
    return this.cluster
  }

  /** From now on the tunnel carries packets of so many bytes. */
  putTunnelMtu(mtu: number): void {
    if (this.node.membership?.mtu === mtu || !this.node.membership) return
    this.node = { ...this.node, membership: { ...this.node.membership, mtu } }
  }

  /** The nodes as places of processes, the same list as long as nothing about them changes. */
  private hosts(): readonly HostNode[] {
    const now = this.cluster.nodes.map(node => hostOf(node, this.reachOf(node.name)))
    if (!sameItems(now, this.known)) this.known = now
    return this.known
  }

  /** Containers of other nodes, the same list as long as nothing about them changes. */
  private remote(nodes: ReadonlyMap<string, ClusterNode>): readonly RemoteContainer[] {
    const { containers } = this.cluster
    const hosts = this.hosts()
    const silent = this.silent.containers()
    const { told, ending } = this
    const { known } = told
    const same = told.containers === containers && told.hosts === hosts && told.ending === ending
    if (silent.length === 0 && known && same) return known
    const remote = this.countedOf([containers, silent], nodes)
    this.told = { containers, hosts, ending, known: silent.length === 0 ? remote : null }
    return remote
  }

  /** Those that count, as they do; there may be a hundred thousand, which come node by node. */
  private countedOf(
    lists: readonly (readonly RemoteContainer[])[],
    nodes: ReadonlyMap<string, ClusterNode>,
  ): RemoteContainer[] {
    const remote: RemoteContainer[] = []
    let name = ''
    let state: HostNode['state'] = null
    for (const list of lists)
      for (const container of list) {
        if (container.node !== name) {
          name = container.node
          const node = nodes.get(name)
          state = node && name !== this.node.name ? stateOf(node, this.reachOf(name)) : null
        }
        if (state === null) continue
        const counted = state === 'leaving' ? leavingRemote(container) : container
        remote.push(this.ending.has(container.id) ? endingRemote(counted) : counted)
      }
    return remote
  }

  /** The same object as long as nothing has changed. */
  get inputs(): Inputs {
    const now = this.gathered()
    if (!this.given || !sameInputs(this.given, now)) this.given = now
    return this.given
  }

  private gathered(): Inputs {
    const { name, membership } = this.node
    const nodes = new Map(this.cluster.nodes.map(node => [node.name, node]))
    const containers = withEndings(this.snapshot, this.ending)
    return {
      services: this.left(this.counting),
      containers: nodes.get(name)?.draining ? allLeaving(containers) : containers,
      remote: this.remote(nodes),
      hosts: this.hosts(),
      node: {
        ...this.node,
        addresses: ownAddresses(),
        membership: membership && {
          ...membership,
          peers: this.cluster.nodes.filter(peer => peer.name !== name && isJoined(peer, membership)),
          privateNetworks: networksOf(this.snapshot),
        },
      },
    }
  }
}

/** What becomes of whatever runs on another node; null: nobody vouches for it, neither its agent nor its kernel. */
function stateOf(node: ClusterNode, reach: Reach): HostNode['state'] {
  if (reach === 'lost' || (reach === 'quiet' && !node.live)) return null
  return node.draining || reach === 'quiet' ? 'leaving' : 'ready'
}

/** Whether there can be a tunnel between them; the place of a node that is gone may be of the other family. */
function isJoined(peer: ClusterNode, own: Pick<Membership, 'address'>): boolean {
  return familyOf(peer.address) === familyOf(own.address)
}

const hosts = new WeakMap<ClusterNode, Map<HostNode['state'], HostNode>>()

/** A node as a place of processes; the same object each time. */
function hostOf(node: ClusterNode, reach: Reach): HostNode {
  const state = stateOf(node, reach)
  const byState = hosts.get(node) ?? new Map<HostNode['state'], HostNode>()
  hosts.set(node, byState)
  const { name, address, subnet } = node
  const host = byState.get(state) ?? { name, address, meshAddress: nodeAddress(subnet), state }
  byState.set(state, host)
  return host
}

/** Networks of all containers of this node, each once, in order. */
function networksOf({ containers }: ContainerSnapshot): string[] {
  return [...new Set(containers.flatMap(({ networks }) => networks))].sort()
}
