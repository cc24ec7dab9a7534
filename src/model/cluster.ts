/**
 * Many nodes as one mesh: who they are, which share of the pool each has, and the
 * containers each of them tells the others about. Pure.
 */
import { addressOf, numberOf } from './ipv4.js'
import type { CandidateState } from './mesh.js'

/** Node numbers fill 16 bits of a packet's mark; 0 means no node. */
export const largestNodeNumber = 65_535

/** A node's place in the mesh; it keeps it for as long as nobody removes the node. */
export interface NodeRecord {
  /** Unique in the mesh. */
  readonly name: string
  /** 1–65535, unique in the mesh. The subnet is the `number - 1`th of the pool. */
  readonly number: number
  /** Its share of the pool, `10.254.3.0/24`. */
  readonly subnet: string
  /** Address at which other nodes reach it, outside the mesh; of one family on all nodes. */
  readonly address: string
  /** null: its mesh is of IPv4 alone. */
  readonly ipv6: NodeIpv6 | null
}

/** Where a node has the addresses of IPv6 that go with those of IPv4; all nodes should have them at the same place. */
export interface NodeIpv6 {
  /** Those of the pool: `fd4d:6573:68::/96`. */
  readonly pool: string
  /** Those of VIPs; null: there are none. */
  readonly vipPool: string | null
}

export interface ClusterNode extends NodeRecord {
  /** Whether its agent was heard of within the lease. The kernel of a node whose agent is gone may well go on working. */
  readonly live: boolean
  /** Whether its agent has said which containers it has; one that has just started has not. */
  readonly told: boolean
  /** Asked to take no new connections (`meshctl node drain`). */
  readonly draining: boolean
}

/**
 * What comes back from a node through the tunnel: `quiet` nothing for a second, it
 * gets no new connections; `lost` nothing for so long that those it had are
 * given up.
 */
export type Reach = 'reached' | 'quiet' | 'lost'

/** A node as a place of endpoints: a process of its own may be given by the node's address. */
export interface HostNode {
  /** Name of the node. */
  readonly name: string
  /** Address at which other nodes reach it, outside the mesh. */
  readonly address: string
  /** Its own IPv4 address in the mesh. */
  readonly meshAddress: string
  /** What an endpoint there can be at best; null: nothing there can be reached. */
  readonly state: 'ready' | 'leaving' | null
}

/** A container of any node, as that node told. */
export interface RemoteContainer {
  /** Name of the node it runs on. */
  readonly node: string
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Its IPv4 address in the mesh, out of its node's subnet. */
  readonly address: string
  readonly state: CandidateState
}

/** Complete and never changed; what did not change between two snapshots is the same object in both. */
export interface ClusterSnapshot {
  /** Every node that has a place, live or not, by number. */
  readonly nodes: readonly ClusterNode[]
  /** Of live nodes, by node and id. */
  readonly containers: readonly RemoteContainer[]
  /** Ids of containers that Swarm is about to stop, as its managers told. Sorted. */
  readonly ending: readonly string[]
}

/** How many nodes a pool has room for, 0–65535, when each gets a subnet of `prefix` bits. */
export function nodesInPool(pool: string, prefix: number): number {
  const bits = prefix - Number(pool.split('/')[1])
  return bits < 0 ? 0 : Math.min(2 ** bits, largestNodeNumber)
}

/**
 * The subnet of a node: number 1 has the first of the pool. `10.254.0.0/16`, 24, 4 →
 * `10.254.3.0/24`; null past the end of the pool.
 */
export function subnetOfNode(pool: string, prefix: number, number: number): string | null {
  if (number < 1 || number > nodesInPool(pool, prefix)) return null
  const [first = ''] = pool.split('/')
  return `${addressOf(numberOf(first) + (number - 1) * 2 ** (32 - prefix))}/${prefix}`
}

/** In what a node's IPv6 differs from this one's, and what that means, a sentence each. */
export function differencesOfIpv6(own: NodeIpv6 | null, { name, ipv6 }: NodeRecord): string[] {
  const unreached = 'connections of IPv6 that come in at one of them do not reach endpoints on the other'
  if (own === null || ipv6 === null)
    return own === ipv6
      ? []
      : [
          `node ${name} has --ipv6 ${ipv6 ? 'on' : 'off'}, this one ${own ? 'on' : 'off'}: ${unreached}; ` +
            'start every meshd with the same --ipv6',
        ]
  const differences: string[] = []
  const tell = (setting: string, theirs: string, ours: string, effect: string) =>
    differences.push(
      `node ${name} has --${setting} ${theirs}, this one ${ours}: ${effect}; ` +
        `start every meshd with the same --${setting}`,
    )
  if (ipv6.pool !== own.pool) tell('pool6', ipv6.pool, own.pool, unreached)
  if (ipv6.vipPool !== own.vipPool)
    tell(
      'vip-pool6',
      ipv6.vipPool ?? 'none',
      own.vipPool ?? 'none',
      'VIPs have other addresses of IPv6 there than here',
    )
  return differences
}
