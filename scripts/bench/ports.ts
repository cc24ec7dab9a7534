/**
 * What published ports cost those who use one of them: the mesh and Docker's layout with
 * more and more of them, beside a mesh with one. Three hosts on one wire, a client, and on
 * each host a container of the same make.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Container } from '../../src/model/container.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import { MeshNode } from '../../test/helpers/mesh-node.js'
import { runIn } from '../../test/helpers/namespaces.js'
import { service } from '../../test/helpers/services.js'
import { Topology } from '../../test/helpers/topology.js'
import { DockerLayout } from './docker-layout.js'
import { answered, bulk, connections, inTurn, opener, type Series } from './load.js'
import type { Options } from './parts.js'
import { type Row, ratios, type Section } from './report.js'

const first = 10_000
/** How many ports are published, one number after the other. */
const sizes = [1, 100, 1000, 5000, 10_000]
/**
 * Ports of the containers: of iperf3, and the first of those of small requests. Each number of
 * published ports has one of these: where a published port takes another's place, what is left of
 * connections by that one (TIME_WAIT) would hold up clients that come by the same source ports.
 */
const load = 5201
const small = 80
const smallOf = (count: number) => small + sizes.indexOf(count)

interface Way {
  readonly name: string
  readonly address: string
  readonly small: number
  readonly load: number
}

/** Starts the servers of a container; they end with this process's namespaces. */
export function serve(path: string): ChildProcess[] {
  return [
    [opener, 'serve', ...sizes.map(count => String(smallOf(count)))],
    ['iperf3', '-s', '-p', String(load)],
  ].map(([program = '', ...args]) => runInNamespace(path, () => spawn(program, args, { stdio: 'ignore' })))
}

/** A published port for each target, in the middle of `count` ports that lead to the first of them. */
function portsOf(count: number): { published: number; target: number }[] {
  const middle = Math.floor((count - 1) / 2)
  const ports = Array.from({ length: count }, (_, i) => ({
    published: first + i,
    target: smallOf(count),
  }))
  return [...ports.slice(0, middle + 1), { published: first - 1, target: load }, ...ports.slice(middle + 1)]
}

class MeshHost {
  private constructor(
    private readonly mesh: MeshNode,
    readonly topology: Topology,
    readonly container: Container,
  ) {}

  static async up(topology: Topology): Promise<MeshHost> {
    const mesh = await MeshNode.create(
      topology,
      undefined,
      {},
      {
        name: 'node1',
        subnet: '10.254.0.0/24',
        pool: '10.254.0.0/16',
        addresses: ['172.17.0.1', topology.address],
        membership: null,
      },
    )
    const container = topology.addContainer('web', { labels: { app: 'web' } })
    serve(topology.pathOf(container))
    mesh.containers = [container]
    return new MeshHost(mesh, topology, container)
  }

  /** A service for each port. */
  async publish(count: number): Promise<void> {
    this.mesh.services = portsOf(count).map(({ published, target }) =>
      service(`s${published}`, [`${published}:${target}`], { selector: { app: 'web' } }),
    )
    await this.mesh.pass()
  }
}

/** The way to the port in the middle of `count`. */
function wayTo(name: string, { address }: Topology, count: number): Way {
  return { name, address, small: first + Math.floor((count - 1) / 2), load: first - 1 }
}

function rows(series: Series, count: number, unit: string): Row[] {
  const mesh = series.of('mesh', 'rate')
  const docker = series.of("Docker's layout", 'rate')
  const one = series.of('mesh, 1 port', 'rate')
  const at = (name: string, samples: readonly number[]) => ({ name, unit, samples })
  return [
    at('direct', series.of('direct', 'rate')),
    at('mesh, 1 port', one),
    at('mesh', mesh),
    at("Docker's layout", docker),
    {
      name: "mesh ÷ Docker's layout",
      unit: '×',
      samples: ratios(mesh, docker),
      ...(count >= 5000 ? { atLeast: 10 } : {}),
    },
    {
      name: 'mesh ÷ mesh, 1 port',
      unit: '×',
      samples: ratios(mesh, one),
      ...(count >= 10_000 ? { atLeast: 0.95 } : {}),
    },
  ]
}

/** What each adds to the processor time of a direct connection. */
function addedRows(series: Series, count: number): Row[] {
  const direct = series.of('direct', 'cpu')
  const added = (name: string) => series.of(name, 'cpu').map((value, round) => value - direct[round]!)
  const names = ['mesh', "Docker's layout"] as const
  return [
    ...names.map(name => ({
      name: `${name}: processor time added to the direct way`,
      unit: 'µs',
      samples: added(name),
    })),
    ...(count < 1000
      ? []
      : [
          {
            name: "what the mesh adds ÷ what Docker's layout adds",
            unit: '×',
            samples: ratios(added('mesh'), added("Docker's layout")),
            ...(count >= 5000 ? { goal: 0.1 } : {}),
          },
        ]),
  ]
}

export async function ports({ quick }: Options): Promise<Section[]> {
  const rounds = quick ? 2 : 4
  const lone = await MeshHost.up(new Topology())
  const { client, host } = lone.topology
  const many = await MeshHost.up(new Topology(lone.topology))
  const beside = new Topology(lone.topology)
  const container = beside.addContainer('web', { attach: 'none' })
  serve(beside.pathOf(container))
  const docker = new DockerLayout(beside.host, beside.pathOf(container))

  for (const side of ['-s', '-d'])
    runIn(host, ['iptables', '-I', 'FORWARD', side, '172.17.0.0/16', '-j', 'ACCEPT'])
  runIn(client, ['ip', 'route', 'add', '172.17.0.0/16', 'via', lone.topology.address])
  // Packets as a link without offload carries them: what every one of them costs.
  runIn(client, ['ip', 'link', 'set', 'wire', 'gso_max_segs', '1'])
  await lone.publish(1)
  const direct = { name: 'direct', address: lone.container.addresses[0]!, small, load }

  const sections: Section[] = []
  for (const size of quick ? [5000] : sizes) {
    await many.publish(size)
    const all = portsOf(size)
    docker.publish(
      all,
      all.filter(({ published, target }) => target === load || published === wayTo('', beside, size).small),
    )
    const ways = [
      direct,
      wayTo('mesh, 1 port', lone.topology, 1),
      wayTo('mesh', many.topology, size),
      wayTo("Docker's layout", beside, size),
    ]
    for (const way of ways) await answered(client, way)
    const opened = await inTurn(ways, rounds, way => connections(client, way, 0.5))
    const carried = await inTurn(ways, rounds, way =>
      bulk(client, way.address, way.load, { streams: 1, seconds: 1 }),
    )
    const published = size === 1 ? '1 published port' : `${size} published ports`
    sections.push(
      {
        title: `Bulk in packets of 1,500 bytes, ${published}`,
        rows: rows(carried, size, 'Gbit/s'),
      },
      {
        title: `New connections, ${published}`,
        rows: [...rows(opened, size, '/s'), ...addedRows(opened, size)],
      },
    )
  }
  return [
    ...sections.slice(0, -1),
    {
      ...sections.at(-1)!,
      remarks: [
        "Docker's layout: the rules of an Engine 20.10, generated, for as many services with a port each; the mesh has as many services.",
        'Where client, server and balancer share one processor, client and server have a good part of it: what a balancer adds to the direct way is its own.',
        'Asked is the port in the middle, and beside it one more for bulk. “mesh, 1 port”: another host, measured in the same rounds.',
      ],
    },
  ]
}
