/**
 * What the API tells of the nodes of the mesh, and asks of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError, MeshError } from '../errors.js'
import { type ClusterNode, differencesOfIpv6 } from '../model/cluster.js'
import { countedOnce } from '../status/counted-once.js'
import type { NodeView, ServiceView } from '../status/views.js'
import type { Cluster } from '../store/cluster.js'
import { announcement } from './announcement.js'
import type { Loop } from './loop.js'
import { absence } from './silent-nodes.js'

export interface NodesInput {
  readonly loop: Loop
  /** null: this is the only node. */
  readonly cluster: Cluster | null
  readonly services: () => Promise<readonly ServiceView[]>
}

/** How long a drain may take to come back from the store before it is answered, milliseconds. */
const patience = 2000

/** Throws MESH_STORE when the cluster was never seen. */
export async function nodeViews({ loop, cluster, services }: NodesInput): Promise<NodeView[]> {
  const { collected, reconciler } = loop
  const { node, remote = [] } = collected.inputs
  const own = announcement(reconciler.mesh, reconciler, collected).map(each => ({ ...each, node: node.name }))
  const connections = connectionsByAddress(await services())
  const holder = new Map<string, { containers: number; connections: number }>()
  const answering = new Set(
    reconciler.mesh.services.flatMap(({ endpoints }) => endpoints.map(({ id }) => id)),
  )
  for (const { node, id, address } of [...own, ...remote]) {
    if (!answering.has(id)) continue
    const sum = holder.get(node) ?? { containers: 0, connections: 0 }
    sum.containers++
    sum.connections += connections.get(address) ?? 0
    holder.set(node, sum)
  }
  const viewOf = (
    place: Omit<ClusterNode, 'number' | 'address' | 'told' | 'ipv6'> & Pick<NodeView, 'number' | 'address'>,
    notes: readonly string[],
  ) => ({
    name: place.name,
    number: place.number,
    subnet: place.subnet,
    address: place.address,
    own: place.name === node.name,
    live: place.live,
    reach: loop.reachOf(place.name),
    draining: place.draining,
    ...(holder.get(place.name) ?? { containers: 0, connections: 0 }),
    notes,
  })
  if (cluster) return cluster.nodes().map(each => viewOf(each, notesOn(loop, each)))
  return [viewOf({ ...node, number: null, address: null, live: true, draining: false }, [])]
}

/** What there is to say of other nodes, a sentence each: no trouble of this one. */
export function nodeNotes(loop: Loop): string[] {
  return loop.collected.nodes.nodes.flatMap(node => notesOn(loop, node))
}

function notesOn(loop: Loop, node: ClusterNode): string[] {
  const { collected } = loop
  const { name, live, address } = node
  if (name === collected.own.name) return []
  if (loop.reachOf(name) !== 'reached')
    return [
      `nothing comes back from node ${name} (${address}) through the tunnel; its containers get no connections from here`,
    ]
  const self = collected.nodes.nodes.find(each => each.name === collected.own.name)
  if (live) return self ? differencesOfIpv6(self.ipv6, node) : []
  if (!collected.isSilent(name)) return []
  return [`the agent of node ${name} is silent; its containers go on as last known, for ${absence} s at most`]
}

/** Active connections by the address they go to, as of the last full pass. */
function connectionsByAddress(services: readonly ServiceView[]): Map<string, number> {
  const sums = new Map<string, number>()
  for (const service of services)
    for (const { address, active } of countedOnce(service))
      if (address !== null) sums.set(address, (sums.get(address) ?? 0) + active)
  return sums
}

/** Returns when this node does as was asked, or is late in hearing of it; the others hear of it at the same time. */
export async function drainNode(input: NodesInput, name: string, draining: boolean): Promise<NodeView> {
  const cluster = clusterOf(input, name)
  await cluster.drain(name, draining)
  const end = performance.now() + patience
  const seen = () =>
    input.loop.collected.nodes.nodes.some(each => each.name === name && each.draining === draining)
  while (!seen() && performance.now() < end) await sleep(20)
  await input.loop.settled()
  return { ...(await viewOf(input, name)), draining }
}

export async function removeNode(input: NodesInput, name: string): Promise<NodeView> {
  const cluster = clusterOf(input, name)
  const view = await viewOf(input, name)
  await cluster.remove(name)
  return view
}

function clusterOf({ cluster }: NodesInput, name: string): Cluster {
  if (cluster) return cluster
  throw new InputError(
    'node',
    name,
    'this is the only node',
    'nodes that share an etcd (meshd --store etcd) can be drained and removed',
  )
}

async function viewOf(input: NodesInput, name: string): Promise<NodeView> {
  const view = (await nodeViews(input)).find(each => each.name === name)
  if (view) return view
  throw new MeshError(
    'MESH_NOT_FOUND',
    `node "${name}": not part of the mesh; \`meshctl node ls\` lists what is`,
  )
}
