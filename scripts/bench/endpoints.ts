/**
 * Many endpoints behind one port: how evenly connections are spread, and what one costs.
 * The endpoints are addresses of one server, outside the mesh: what is measured is the
 * choice among them and not what as many processes would do to the machine.
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { runInNamespace } from '../../src/netlink/addon.js'
import { MeshNode } from '../../test/helpers/mesh-node.js'
import { runIn } from '../../test/helpers/namespaces.js'
import { service } from '../../test/helpers/services.js'
import { Topology } from '../../test/helpers/topology.js'
import { answered, connections, type Figures, inTurn, opener } from './load.js'
import type { Options } from './parts.js'
import { ratios, type Section } from './report.js'

const sizes = [1, 10, 100, 1000]
const firstPort = 8000

interface Way {
  readonly name: string
  readonly count: number
  readonly port: number
}

/** How many connections each destination of the port's virtual service has had. */
function served(mesh: MeshNode, { port, count }: Way): number[] {
  const lines = mesh.run('mesh', `ipvsadm -Ln --stats --exact -f ${0x10000 + port}`).split('\n')
  const counts = lines.flatMap(line => /-> \S+ +(\d+)/.exec(line)?.[1] ?? []).map(Number)
  if (counts.length !== count) throw new Error(`${counts.length} destinations are there, ${count} should be`)
  return counts
}

export async function endpoints({ quick }: Options): Promise<Section[]> {
  // Few enough that tracking knows all of them at a time.
  const rounds = quick ? 3 : 6
  const seconds = 0.4
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  const server = topology.addContainer('server')
  const path = topology.pathOf(server)
  runIn(path, ['ip', 'route', 'add', 'local', '10.1.0.0/16', 'dev', 'lo'])
  runIn(topology.host, ['ip', 'route', 'add', '10.1.0.0/16', 'via', server.addresses[0]!])
  runInNamespace(path, () => spawn(opener, ['serve', '80'], { stdio: 'ignore' }))
  const ways = sizes.map((count, i): Way => ({ name: `${count}`, count, port: firstPort + i }))
  const address = (i: number) => ({ address: `10.1.${Math.floor(i / 250)}.${(i % 250) + 1}`, port: 80 })
  mesh.services = ways.map(({ name, count, port }) =>
    service(`of${name}`, [`${port}:80`], { endpoints: Array.from({ length: count }, (_, i) => address(i)) }),
  )
  await mesh.pass()
  await answered(topology.client, { address: topology.address, small: firstPort })

  const before = new Map(ways.map(way => [way, served(mesh, way)]))
  const series = await inTurn(
    ways,
    rounds,
    ({ port }): Figures => connections(topology.client, { address: topology.address, small: port }, seconds),
  )
  // The kernel sums its counters up every other second.
  await sleep(4500)
  const spread = ways.map(way => {
    const counts = served(mesh, way).map((count, i) => count - before.get(way)![i]!)
    const even = counts.reduce((sum, count) => sum + count, 0) / counts.length
    return { ...way, even, most: Math.max(...counts.map(count => Math.abs(count - even))) }
  })
  const named = (count: number) => (count === 1 ? '1 endpoint' : `${count} endpoints`)
  return [
    {
      title: 'Endpoints behind one port: new connections',
      rows: [
        ...ways.map(({ name, count }) => ({
          name: named(count),
          unit: '/s',
          samples: series.of(name, 'rate'),
        })),
        ...ways.map(({ name, count }) => ({
          name: `${named(count)}: processor time of a connection`,
          unit: 'µs',
          samples: series.of(name, 'cpu'),
        })),
        ...ways.slice(1).map(({ name, count }) => ({
          name: `${named(count)} ÷ 1 endpoint`,
          unit: '×',
          samples: ratios(series.of(name, 'rate'), series.of('1', 'rate')),
        })),
        ...spread.slice(1).map(({ count, even, most }) => ({
          name: `${named(count)}: largest deviation from ${even.toFixed(1)} connections each`,
          unit: 'connections',
          samples: [most],
        })),
      ],
      remarks: [
        'Scheduler rr. The endpoints are addresses of one server outside the mesh, which sees the sandbox as its client.',
      ],
    },
  ]
}
