/**
 * A mesh of thousands of nodes as it stands in etcd: keys and values as the store of each
 * node writes them.
 */
import { type NodeRecord, type RemoteContainer, subnetOfNode } from '../../src/model/cluster.js'
import { aliveValue, clusterKeys, containerValue } from '../../src/store/cluster-keys.js'
import { type Operation, put } from '../../src/store/etcd-wire.js'
import { idOf } from '../../test/helpers/containers.js'

export const prefix = '/mesh/'
export const pool = '10.0.0.0/8'
const keys = clusterKeys(prefix)

export interface World {
  readonly nodes: number
  readonly services: number
  /** Containers of a node. */
  readonly each: number
}

/** Label of a container that tells when it was written, milliseconds since 1970. */
export const writtenLabel = 'written'

export function nodeOf(number: number): NodeRecord {
  const address = `172.16.${number >> 8}.${number & 255}`
  return { name: `node${number}`, number, subnet: subnetOfNode(pool, 24, number)!, address, ipv6: null }
}

/** The `i`th container of a node; neighbours are of different services. */
function containerOf(world: World, number: number, i: number, state: RemoteContainer['state']) {
  const service = `s${(number * world.each + i) % world.services}`
  const { subnet, name: node } = nodeOf(number)
  const labels = { 'com.docker.swarm.service.name': service, [writtenLabel]: String(Date.now()) }
  const name = `${service}.${i}.${number}`
  return {
    node,
    id: idOf(`c${number}-${i}`),
    name,
    labels,
    address: subnet.replace('.0/24', `.${3 + i}`),
    state,
  }
}

/** Writes one container. */
export function putContainer(
  world: World,
  number: number,
  i: number,
  state: RemoteContainer['state'],
): Operation {
  const container = containerOf(world, number, i, state)
  return put(keys.container(container.node, container.id), containerValue(container))
}

export function putAlive(number: number): Operation {
  const { name, address } = nodeOf(number)
  return put(keys.alive(name), aliveValue({ address, agent: 'agent', told: true, ending: [] }))
}

export function aliveKey(number: number): string {
  return keys.alive(nodeOf(number).name)
}

/** Writes a node with all of its containers. */
export function putNode(world: World, number: number): Operation[] {
  const { name, subnet, address } = nodeOf(number)
  return [
    put(keys.node(name), JSON.stringify({ number, subnet, address, draining: false, ipv6: null })),
    put(keys.number(number), name),
    putAlive(number),
    ...Array.from({ length: world.each }, (_, i) => putContainer(world, number, i, 'ready')),
  ]
}
