/**
 * Several nodes of one mesh inside Topologies, who know of one another: what a store
 * would tell them is told by the test.
 */
import type { NodeIpv6, NodeRecord, RemoteContainer } from '../../src/model/cluster.js'
import type { Container } from '../../src/model/container.js'
import type { Membership, Node } from '../../src/model/snapshot.js'
import type { PlanSettings } from '../../src/planner/base.js'
import { MeshNode } from './mesh-node.js'
import { Topology } from './topology.js'

/** What a node with these settings announces of IPv6. */
function ipv6Of({ ipv6, vipPool6 = null }: Partial<PlanSettings>): NodeIpv6 | null {
  return ipv6 ? { pool: ipv6.pool, vipPool: vipPool6 } : null
}

/** Records of the nodes, which reach one another in IPv6 where they have it, as every one of them sees them; `numbers`: 1 … count unless given. */
export function recordsOf(
  topologies: readonly Topology[],
  numbers: readonly number[],
  settings: Partial<PlanSettings>,
): NodeRecord[] {
  const family = settings.ipv6 ? 'inet6' : 'inet'
  return topologies.map((topology, i) => ({
    name: `node${i + 1}`,
    number: numbers[i] ?? i + 1,
    subnet: `10.254.${i}.0/24`,
    address: topology.addressIn(family),
    ipv6: ipv6Of(settings),
  }))
}

/** One of the nodes as it sees itself and the others. */
export function nodeOf(
  record: NodeRecord,
  all: readonly NodeRecord[],
  membership: Partial<Membership> = {},
): Node {
  return {
    name: record.name,
    subnet: record.subnet,
    pool: '10.254.0.0/16',
    addresses: ['172.17.0.1', record.address],
    membership: {
      number: record.number,
      address: record.address,
      vni: 4097,
      port: 8473,
      mtu: record.address.includes(':') ? 1430 : 1450,
      peers: all.filter(other => other !== record),
      privateNetworks: ['172.17.0.0/16', 'fd17::/64'],
      ...membership,
    },
  }
}

/** What a node tells the others of a container of its own. */
export function told(mesh: MeshNode, container: Container): RemoteContainer {
  const { id, name, labels } = container
  return { node: mesh.node.name, id, name, labels, address: mesh.reconciler.addressOf(id)!, state: 'ready' }
}

/** One for each node, of which there are two at least. */
type ForEach<Item> = readonly [Item, Item, ...Item[]]

export interface MeshCluster {
  readonly topologies: ForEach<Topology>
  readonly records: ForEach<NodeRecord>
  readonly meshes: ForEach<MeshNode>
  /** Takes everything off the kernel. */
  destroy(): Promise<void>
}

/** So many nodes on one wire, from 2; `around` is done to each host before the mesh comes. */
export async function meshCluster(
  count: number,
  membership: Partial<Membership> = {},
  around: (topology: Topology) => void = () => {},
  numbers: readonly number[] = [],
  settings: Partial<PlanSettings> = {},
): Promise<MeshCluster> {
  const first = new Topology(null, Boolean(settings.ipv6))
  const topologies = [first, ...Array.from({ length: count - 1 }, () => new Topology(first))]
  for (const topology of topologies) around(topology)
  const records = recordsOf(topologies, numbers, settings)
  const meshes: MeshNode[] = []
  for (const [i, topology] of topologies.entries())
    meshes.push(
      await MeshNode.create(topology, undefined, settings, nodeOf(records[i]!, records, membership)),
    )
  return {
    topologies: topologies as unknown as ForEach<Topology>,
    records: records as unknown as ForEach<NodeRecord>,
    meshes: meshes as unknown as ForEach<MeshNode>,
    async destroy() {
      for (const mesh of meshes) await mesh.clean()
      for (const topology of [...topologies].reverse()) await topology.destroy()
    },
  }
}
