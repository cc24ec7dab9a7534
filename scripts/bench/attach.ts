/**
 * A container starts on a node that has many: from the snapshot that names it to its
 * veth, address, rules and destination in the kernel. Docker's share is in start.ts.
 */
import { service } from '../../test/helpers/services.js'
import { Topology } from '../../test/helpers/topology.js'
import type { Options } from './parts.js'
import type { Section } from './report.js'
import { collectGarbage, meanCpu, type Reading, watchedNode } from './watched.js'

export async function attach({ quick }: Options): Promise<Section[]> {
  const others = quick ? 20 : 100
  const repeats = quick ? 5 : 20
  const { topology, mesh, watch } = await watchedNode(new Topology())
  const started = (name: string) => topology.addContainer(name, { labels: { app: 'web' } })
  mesh.services = [service('web', ['8888:80', '5353:53/udp'], { drain: 0 })]
  mesh.containers = Array.from({ length: others }, (_, i) => started(`c${i}`))
  const whole = await watch.of(() => mesh.pass())

  const readings: Reading[] = []
  for (let i = -1; i < repeats; i++) {
    const before = mesh.containers
    const one = started('one')
    mesh.containers = [...before, one]
    collectGarbage()
    const reading = await watch.of(() => mesh.pass('fast'))
    const address = mesh.reconciler.addressOf(one.id)
    const table = topology.run(topology.sandboxPath, 'ipvsadm', '-Ln')
    if (address === null || !table.includes(`${address}:80 `)) throw new Error('the destination is missing')
    if (i >= 0) readings.push(reading)
    mesh.containers = before
    await mesh.pass('fast')
    await topology.removeContainer(one)
  }
  const part = (name: string, unit: string, of: (reading: Reading) => number) => ({
    name,
    unit,
    samples: readings.map(of),
  })
  const driver = (name: string) => part(`apply ${name}`, 'ms', ({ split }) => split.get(`apply ${name}`) ?? 0)
  return [
    {
      title: `One container joins ${others} on the mesh: snapshot → destination, the loop alone`,
      rows: [
        { ...part('wall', 'ms', ({ wall }) => wall), goal: 50 },
        { name: 'cpu', unit: 'ms', samples: [meanCpu(readings)] },
        driver('link'),
        driver('set'),
        driver('ipvs'),
        part('messages', 'messages', ({ changes, queries }) => changes + queries),
        { name: `first full pass with all ${others}`, unit: 'ms', samples: [whole.wall] },
      ],
    },
  ]
}
