/**
 * Where the mesh and its peers do the same: nodes with Docker Engines, agents and a swarm,
 * on each node one container of a Swarm service, and clients outside at 192.168.77.254.
 * A service is published by Docker's ingress, by the mesh, by HAProxy, nginx and a DNAT
 * rule on node1, all at the same time; its container is reached directly as well.
 */
import { spawn } from 'node:child_process'
import { runInNamespace } from '../../src/netlink/addon.js'
import { ask } from '../../test/helpers/clients.js'
import { EtcdServers } from '../../test/helpers/etcd.js'
import { must, type Node, outside, startNodes } from '../../test/helpers/lab.js'
import { runIn } from '../../test/helpers/namespaces.js'
import { NodeMesh } from '../../test/helpers/node-mesh.js'
import { waitFor } from '../../test/helpers/wait.js'
import { type Balancer, type Forwarding, startHaproxy, startNginx } from './balancers.js'
import { counter, opener } from './load.js'

/** Ports of a container: of the test server, of iperf3, of the counter of datagrams. */
const http = 80
const load = 5201
const udp = 5202
/** The counter once more: what is published by the mesh alone, since its container answers that by way of the mesh. */
const meshUdp = 5203
/** Of small requests: one for each way, since ways may meet at an equal port of the client. */
const smalls = {
  direct: 5204,
  "Docker's mesh": 5205,
  mesh: 5206,
  HAProxy: 5207,
  nginx: 5208,
  DNAT: 5209,
} as const
export const containerPorts = (way: keyof typeof smalls) => ({ small: smalls[way], load })

/** Path of the namespace the clients are in. */
export const client = '/proc/self/ns/net'

/** One way to a container. */
export interface Way {
  readonly name: string
  readonly address: string
  /** Test server. */
  readonly http: number
  /** Small requests. */
  readonly small: number
  /** Bulk. */
  readonly load: number
  /** Datagrams; null: does not know them. */
  readonly udp: number | null
  /** Processor time that a program in between has spent so far, microseconds; null: there is none. */
  readonly spent: (() => number) | null
}

/** A service with one container. */
export interface Backend {
  readonly service: string
  readonly node: Node
  readonly id: string
  /** Path of the container's namespace. */
  readonly namespace: string
  /** Its address on the node's docker_gwbridge. */
  readonly address: string
  /** First port of its ways, in steps of 10. */
  readonly ports: number
}

/** Steps from a backend's first port. */
const steps = { "Docker's mesh": 0, mesh: 10, HAProxy: 20, nginx: 30, DNAT: 40 } as const
export type Published = keyof typeof steps

/** docker_gwbridge of a node; different ones, so that one route is enough to get there. */
function bridgeOf(node: Node): string {
  return `172.18.${node.name.slice(-1)}`
}

export interface StageOptions {
  readonly nodes: 1 | 2
  /** An overlay network that the services are on, too. */
  readonly network?: string
}

export class SwarmStage {
  private readonly balancers = new Map<Published, Balancer>()

  private constructor(
    readonly nodes: readonly Node[],
    /** One on each node. */
    readonly backends: readonly Backend[],
  ) {}

  /** The node that clients talk to. */
  get entry(): Node {
    return this.nodes[0]!
  }

  static async up({ nodes: count, network }: StageOptions): Promise<SwarmStage> {
    const nodes = await startNodes(count)
    for (const node of nodes) await makeBridge(node)
    await must(['scripts/nodes', 'swarm', '1'])
    const etcd = count > 1 ? await EtcdServers.start({ teardown: () => {} }, { address: outside }) : null
    const flags = etcd ? ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(',')] : []
    for (const node of nodes) await node.startAgent(...flags)
    const first = nodes[0]!
    if (network)
      await first.docker.call('POST', '/networks/create', {
        Name: network,
        Driver: 'overlay',
        Attachable: true,
      })
    for (const [i, node] of nodes.entries()) await createService(first, node, i, network)
    const backends: Backend[] = []
    for (const [i, node] of nodes.entries()) backends.push(await backendOn(first, node, i))
    for (const node of nodes.slice(1)) {
      const way = [`${bridgeOf(node)}.0/24`, 'via', node.address]
      runIn(new NodeMesh(first).host, ['ip', 'route', 'add', ...way])
    }
    for (const node of nodes)
      await must(['ip', 'route', 'add', `${bridgeOf(node)}.0/24`, 'via', node.address])
    const stage = new SwarmStage(nodes, backends)
    for (const { namespace } of backends)
      for (const [program = '', ...args] of [
        ['iperf3', '-s', '-p', String(load)],
        [counter, 'serve', String(udp)],
        [counter, 'serve', String(meshUdp)],
        [opener, 'serve', ...Object.values(smalls).map(String)],
      ])
        runInNamespace(namespace, () => spawn(program, args, { stdio: 'ignore' }))
    return stage
  }

  /** HAProxy, nginx and DNAT on the entry node, in front of every backend. */
  startPeers(): void {
    const { host } = new NodeMesh(this.entry)
    const forwardings = (peer: Published): Forwarding[] =>
      this.backends.flatMap(({ address, ports }) => [
        { protocol: 'tcp', port: ports + steps[peer], to: `${address}:${http}` },
        { protocol: 'tcp', port: ports + steps[peer] + 1, to: `${address}:${load}` },
        { protocol: 'udp', port: ports + steps[peer] + 1, to: `${address}:${udp}` },
        { protocol: 'tcp', port: ports + steps[peer] + 2, to: `${address}:${smalls[peer]}` },
      ])
    this.balancers.set('HAProxy', startHaproxy(host, forwardings('HAProxy')))
    this.balancers.set('nginx', startNginx(host, forwardings('nginx')))
    for (const { protocol, port, to } of forwardings('DNAT')) {
      const match = ['-p', protocol, '-d', this.entry.address, '--dport', String(port)]
      runIn(host, ['iptables', '-t', 'nat', '-I', 'PREROUTING', ...match, '-j', 'DNAT', '--to', to])
    }
    // What another node answers has to come back this way.
    for (const { address } of this.backends.slice(1))
      runIn(host, ['iptables', '-t', 'nat', '-I', 'POSTROUTING', '-d', address, '-j', 'MASQUERADE'])
  }

  /** Without any balancing. */
  direct({ address }: Backend): Way {
    return { name: 'direct', address, http, ...containerPorts('direct'), udp, spent: null }
  }

  by(peer: Published, { ports }: Backend): Way {
    const port = ports + steps[peer]
    const { address } = this.entry
    const spent = this.balancers.get(peer)?.spent ?? null
    return {
      name: peer,
      address,
      http: port,
      load: port + 1,
      small: port + 2,
      udp: peer === 'HAProxy' ? null : port + 1,
      spent,
    }
  }

  /** Every way to a backend, once each of them answers. */
  async ways(backend: Backend): Promise<Way[]> {
    const ways = [
      this.direct(backend),
      ...(['mesh', "Docker's mesh", 'DNAT', 'HAProxy', 'nginx'] as const).map(peer => this.by(peer, backend)),
    ]
    for (const way of ways) await answers(way, backend)
    return ways
  }
}

/** Until the container answers there. */
async function answers(way: Way, { id }: Backend): Promise<void> {
  await waitFor(
    async () => (await ask(`http://${way.address}:${way.http}/`)).container === id.slice(0, 12),
    `an answer: ${way.name}`,
    90,
    0.2,
  )
}

/** The bridge that Docker would make when it joins a swarm, with addresses of our choice; open for clients outside. */
async function makeBridge(node: Node): Promise<void> {
  await node.docker.call('POST', '/networks/create', {
    Name: 'docker_gwbridge',
    Driver: 'bridge',
    IPAM: { Config: [{ Subnet: `${bridgeOf(node)}.0/24` }] },
    Options: {
      'com.docker.network.bridge.name': 'docker_gwbridge',
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.enable_ip_masquerade': 'true',
    },
  })
  runIn(new NodeMesh(node).host, [
    'iptables',
    '-I',
    'DOCKER-USER',
    '-d',
    `${bridgeOf(node)}.0/24`,
    '-j',
    'ACCEPT',
  ])
}

function portsOf(index: number): number {
  return 8000 + 100 * index
}

/** A service with a container on one node, published by Docker and by the mesh. */
async function createService(manager: Node, node: Node, index: number, network?: string): Promise<void> {
  const docker = portsOf(index) + steps["Docker's mesh"]
  const mesh = portsOf(index) + steps.mesh
  const published = (protocol: string, PublishedPort: number, TargetPort: number) => ({
    Protocol: protocol,
    PublishedPort,
    TargetPort,
    PublishMode: 'ingress',
  })
  await manager.docker.call('POST', '/services/create', {
    Name: `web${index}`,
    Mode: { Replicated: { Replicas: 1 } },
    Labels: {
      'mesh.publish': `${mesh}:${http},${mesh + 1}:${load}/tcp,${mesh + 1}:${meshUdp}/udp,${mesh + 2}:${smalls.mesh}`,
    },
    TaskTemplate: {
      ContainerSpec: { Image: 'mesh-test:1' },
      Placement: { Constraints: [`node.hostname==${node.name}`] },
      Networks: network ? [{ Target: network }] : [],
    },
    EndpointSpec: {
      Mode: 'vip',
      Ports: [
        published('tcp', docker, http),
        published('tcp', docker + 1, load),
        published('udp', docker + 1, udp),
        published('tcp', docker + 2, smalls["Docker's mesh"]),
      ],
    },
  })
}

async function backendOn(manager: Node, node: Node, index: number): Promise<Backend> {
  const service = `web${index}`
  await manager.tasks(service, 1)
  const [task] = await manager.docker.runningTasks(service)
  const id = task?.Status.ContainerStatus?.ContainerID
  if (id === undefined) throw new Error(`${service} has no container`)
  const namespace = await new NodeMesh(node).containerNamespace(id)
  const found = new RegExp(`inet (${bridgeOf(node)}\\.\\d+)/`).exec(runIn(namespace, ['ip', '-4', 'addr']))
  if (!found) throw new Error(`${service} is not on docker_gwbridge`)
  return { service, node, id, namespace, address: found[1]!, ports: portsOf(index) }
}
