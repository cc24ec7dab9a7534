/**
 * The control plane at size: services with fixed endpoints on an empty sandbox, a pass
 * that finds nothing to do, and one endpoint's change among many services.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Change } from '../../src/kernel/change.js'
import type { Service } from '../../src/model/service.js'
import { service } from '../../test/helpers/mesh-node.js'
import { Topology } from '../../test/helpers/topology.js'
import type { Options } from './parts.js'
import { median, type Row, ratios, type Section } from './report.js'
import { ipvsadmRestore, rawNetlink } from './rivals.js'
import { collectGarbage, meanCpu, type Reading, type WatchedNode, watchedNode } from './watched.js'

const endpointsEach = 10

/** `count` services of one port and ten external endpoints each, no two alike. */
function manyServices(count: number): Service[] {
  return Array.from({ length: count }, (_, i) =>
    service(`s${i}`, [`${10_000 + i}:80`], {
      endpoints: Array.from({ length: endpointsEach }, (_, k) => ({
        address: `10.99.${i >> 4}.${((i & 15) << 4) + k + 1}`,
        port: 80,
      })),
    }),
  )
}

/** Samples of one figure over several rounds. */
class Rounds {
  private readonly samples = new Map<string, number[]>()

  add(name: string, value: number): void {
    const list = this.samples.get(name)
    if (list) list.push(value)
    else this.samples.set(name, [value])
  }

  of(name: string): number[] {
    return this.samples.get(name) ?? []
  }

  row(name: string, unit = 'ms', goal?: number): Row {
    return { name, unit, samples: this.of(name), ...(goal === undefined ? {} : { goal }) }
  }
}

function isIpvs({ object }: Change): boolean {
  return ['virtualService', 'destination', 'timeouts'].includes(object.kind)
}

const applied = ['ipvs', 'set', 'iptables', 'link', 'namespace', 'sysctl']

async function firstPass(topology: Topology, count: number, rounds: number): Promise<Section[]> {
  const services = manyServices(count)
  const first = new Rounds()
  const none = new Rounds()
  for (let round = 0; round < rounds; round++) {
    const { mesh, watch } = await watchedNode(topology)
    mesh.services = services
    collectGarbage()
    const pass = await watch.of(() => mesh.pass())
    const inDrivers = [...pass.split.values()].reduce((sum, each) => sum + each, 0)
    first.add('whole pass', pass.wall)
    first.add('observe', pass.split.get('observe') ?? 0)
    first.add('plan and compare', pass.wall - inDrivers)
    for (const name of applied) first.add(`apply ${name}`, pass.split.get(`apply ${name}`) ?? 0)
    first.add('messages', pass.changes)

    collectGarbage()
    const idle = await watch.of(() => mesh.pass())
    if (idle.result.outcomes.length > 0) throw new Error('a second pass changed something')
    none.add('wall', idle.wall)
    none.add('cpu', idle.cpu)
    none.add('observe', idle.split.get('observe') ?? 0)
    none.add('messages that change', idle.changes)
    none.add('messages that read', idle.queries)
    const changes = pass.result.outcomes.map(({ change }) => change).filter(isIpvs)
    await mesh.clean()

    await sleep(300) // the namespace's end is the kernel's work for a while
    first.add('raw netlink', await rawNetlink(changes))
    await sleep(300)
    first.add('ipvsadm -R', await ipvsadmRestore(changes))
    await sleep(300)
  }
  const raw = first.of('raw netlink')
  return [
    {
      title: `First full pass: ${count} services × ${endpointsEach} endpoints onto an empty sandbox`,
      rows: [
        first.row('whole pass'),
        first.row('observe'),
        first.row('plan and compare'),
        ...applied.map(name => first.row(`apply ${name}`)),
        first.row('raw netlink'),
        first.row('ipvsadm -R'),
        {
          name: 'apply ipvs ÷ raw netlink',
          unit: '×',
          goal: 1.5,
          samples: ratios(first.of('apply ipvs'), raw),
        },
        { name: 'ipvsadm -R ÷ raw netlink', unit: '×', samples: ratios(first.of('ipvsadm -R'), raw) },
        {
          name: 'whole pass ÷ ipvsadm -R',
          unit: '×',
          samples: ratios(first.of('whole pass'), first.of('ipvsadm -R')),
        },
        first.row('messages', 'messages'),
      ],
      remarks: [
        `In turn, ${rounds} rounds; the first is that of a fresh process: whole pass ${Math.round(first.of('whole pass')[0] ?? 0)} ms, apply ipvs ÷ raw netlink ${(ratios(first.of('apply ipvs'), raw)[0] ?? 0).toFixed(2)}.`,
        '“raw netlink”: the same IPVS messages, encoded beforehand, sent in the same batches through the same socket code.',
      ],
    },
    {
      title: `Full pass that finds nothing to change, ${count} services × ${endpointsEach} endpoints`,
      rows: [
        none.row('wall'),
        none.row('cpu'),
        none.row('observe'),
        none.row('messages that change', 'messages', 0),
        none.row('messages that read', 'messages'),
      ],
    },
  ]
}

/** One container's endpoint comes and goes while so many other services are there. */
async function oneChange(node: WatchedNode, count: number, repeats: number): Promise<Map<string, Reading[]>> {
  const { mesh, topology, watch } = node
  const one = topology.addContainer('one', { labels: { app: 'one' } })
  const two = topology.addContainer('two', { labels: { app: 'one' } })
  mesh.services = [...manyServices(count), service('one', ['9000:80'], { drain: 0 })]
  mesh.containers = [one, two]
  await mesh.pass()
  const readings = new Map<string, Reading[]>([
    ['ready', []],
    ['not ready', []],
  ])
  const health = async (health: 'healthy' | 'unhealthy') => {
    mesh.containers = [one, { ...two, health }]
    return await watch.of(() => mesh.pass('fast'))
  }
  for (let i = -2; i < repeats; i++) {
    collectGarbage()
    const away = await health('unhealthy')
    const back = await health('healthy')
    if (i < 0) continue // the first two warm the compiler up
    readings.get('not ready')!.push(away)
    readings.get('ready')!.push(back)
  }
  await mesh.clean()
  await topology.removeContainer(one)
  await topology.removeContainer(two)
  mesh.containers = []
  return readings
}

async function changes(topology: Topology, counts: readonly number[], repeats: number): Promise<Section> {
  const rows: Row[] = []
  const walls: number[] = []
  for (const count of counts) {
    const readings = await oneChange(await watchedNode(topology), count, repeats)
    for (const [what, list] of readings) {
      const row = (name: string, unit: string, samples: number[]): Row => ({
        name: `${count} services, endpoint ${what}: ${name}`,
        unit,
        samples,
      })
      const wall = list.map(({ wall }) => wall)
      const messages = list.map(({ changes, queries }) => changes + queries)
      rows.push(
        row('wall', 'ms', wall),
        row('cpu', 'ms', [meanCpu(list)]),
        row('messages', 'messages', messages),
      )
      if (what === 'ready') walls.push(median(list.map(({ wall }) => wall)))
    }
  }
  rows.push({
    name: `wall of ${counts.at(-1)} services ÷ ${counts[0]}`,
    unit: '×',
    samples: [(walls.at(-1) ?? 0) / (walls[0] ?? 1)],
  })
  return { title: 'One endpoint changes: the fast pass', rows }
}

export async function reconcile({ quick }: Options): Promise<Section[]> {
  const topology = new Topology()
  const sections = await firstPass(topology, quick ? 200 : 1000, quick ? 3 : 5)
  return [...sections, await changes(topology, quick ? [10, 200] : [10, 100, 1000], quick ? 10 : 20)]
}
