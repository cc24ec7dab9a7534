/**
 * The control plane at size: services with containers on other nodes onto an empty sandbox, a pass
 * that finds nothing to do, and one endpoint's change among many services.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container } from '../../src/model/container.js'
import type { Service } from '../../src/model/service.js'
import type { PlanSettings } from '../../src/planner/base.js'
import { service } from '../../test/helpers/services.js'
import { Topology } from '../../test/helpers/topology.js'
import { endpointsEach, freshly } from './first-pass.js'
import { publishedServices, remoteContainers, roomyNode, vipPool, vipServices } from './many-services.js'
import type { Options } from './parts.js'
import { median, type Row, ratios, type Section } from './report.js'
import { ipvsadmOneByOne, ipvsadmRestore, ipvsChanges, rawNetlink } from './rivals.js'
import { Rounds } from './rounds.js'
import { collectGarbage, meanCpu, type Reading, type WatchedNode, watchedNode } from './watched.js'

/** What there is to be reconciled. */
interface Task {
  /** `1,000 services × 10 endpoints` */
  readonly title: string
  readonly services: readonly Service[]
  /** Containers of each, all on other nodes. */
  readonly each: number
  readonly settings: Partial<PlanSettings>
  readonly rounds: number
  /** ipvsadm is run for so many entries, and the rest is reckoned. */
  readonly oneByOne: number
  /** Whether raw netlink and ipvsadm do the same beside it. */
  readonly rivals: 'none' | 'netlink' | 'all'
  /** Most resident memory, MB. */
  readonly memory?: number
}

/** What a task took. */
interface Taken {
  readonly sections: readonly Section[]
  /** One endpoint's changes, by what happened to it. */
  readonly changes: ReadonlyMap<string, readonly Reading[]>
}

const applied = ['ipvs', 'set', 'iptables', 'link', 'namespace', 'sysctl']

/** Figures of a task, by what they are of. */
class Figures {
  readonly first = new Rounds()
  readonly none = new Rounds()

  noteFirst({ wall, cpu, changes, split }: Reading): void {
    const inDrivers = [...split.values()].reduce((sum, each) => sum + each, 0)
    this.first.add('whole pass', wall)
    this.first.add('cpu', cpu)
    this.first.add('observe', split.get('observe') ?? 0)
    this.first.add('plan and compare', wall - inDrivers)
    for (const name of applied) this.first.add(`apply ${name}`, split.get(`apply ${name}`) ?? 0)
    this.first.add('messages', changes)
  }

  noteNone({ wall, cpu, changes, queries, split }: Reading): void {
    this.none.add('wall', wall)
    this.none.add('cpu', cpu)
    this.none.add('observe', split.get('observe') ?? 0)
    this.none.add('messages that change', changes)
    this.none.add('messages that read', queries)
    this.none.add('resident memory', process.memoryUsage.rss() / 1e6)
  }

  sections({ title, rounds, rivals, oneByOne, memory }: Task): Section[] {
    const { first, none } = this
    const raw = first.of('raw netlink')
    const ours = first.of('apply ipvs')
    const rows: Row[] = [
      ...['whole pass', 'cpu', 'observe', 'plan and compare'].map(name => first.row(name)),
      ...applied.map(name => first.row(`apply ${name}`)),
    ]
    const remarks: string[] = []
    if (rivals !== 'none') {
      rows.push(first.row('raw netlink'), {
        name: 'apply ipvs ÷ raw netlink',
        unit: '×',
        samples: ratios(ours, raw),
      })
      remarks.push(
        `In turn, ${rounds} rounds in one process.`,
        '“raw netlink”: the same IPVS messages, encoded beforehand, sent in the same batches through the same socket code.',
      )
    }
    if (rivals === 'all') {
      const restored = first.of('ipvsadm -R')
      rows.push(
        first.row('ipvsadm -R'),
        first.row('ipvsadm, a run for each entry'),
        { name: 'ipvsadm -R ÷ raw netlink', unit: '×', samples: ratios(restored, raw) },
        { name: 'whole pass ÷ ipvsadm -R', unit: '×', samples: ratios(first.of('whole pass'), restored) },
      )
      remarks.push(`“a run for each entry” is reckoned from the first ${oneByOne} of them.`)
    }
    rows.push(first.row('messages', 'messages'))
    return [
      { title: `First full pass: ${title} onto an empty sandbox`, rows, remarks },
      {
        title: `Full pass that finds nothing to change, ${title}`,
        rows: [
          none.row('wall'),
          none.row('cpu'),
          none.row('observe'),
          none.row('messages that change', 'messages', 0),
          none.row('messages that read', 'messages'),
          none.row('resident memory', 'MB', memory),
        ],
        remarks: ['“resident memory”: of this process, the bench included.'],
      },
    ]
  }
}

async function run(topology: Topology, pair: readonly [Container, Container], task: Task): Promise<Taken> {
  const figures = new Figures()
  let changes: Taken['changes'] = new Map()
  const remote = remoteContainers(task.services, task.each)
  const repeats = 30
  for (let round = 0; round < task.rounds; round++) {
    const node = await watchedNode(topology, task.settings, roomyNode)
    const { mesh, watch } = node
    mesh.services = [...task.services, service('one', ['9000:80'], { drain: 0 })]
    mesh.containers = [...pair]
    mesh.remote = remote
    collectGarbage()
    // What it tells is of no use here, and no agent keeps it either.
    figures.noteFirst(await watch.of(() => mesh.pass()))
    for (let again = task.rounds > 1 ? 1 : 3; again > 0; again--) {
      collectGarbage()
      const idle = await watch.of(() => mesh.pass())
      if (idle.result.outcomes.length > 0) throw new Error('a second pass changed something')
      figures.noteNone(idle)
    }
    if (round === task.rounds - 1) changes = await oneChange(node, pair, repeats)
    const ipvs = task.rivals === 'none' ? [] : await ipvsChanges(mesh)
    await mesh.clean()
    mesh.containers = []

    if (task.rivals === 'none') continue
    await sleep(300) // the namespace's end is the kernel's work for a while
    figures.first.add('raw netlink', await rawNetlink(ipvs))
    await sleep(300)
    if (task.rivals === 'netlink') continue
    figures.first.add('ipvsadm -R', await ipvsadmRestore(ipvs))
    await sleep(300)
    if (round > 0) continue
    figures.first.add('ipvsadm, a run for each entry', await ipvsadmOneByOne(ipvs, task.oneByOne))
    await sleep(300)
  }
  return { sections: figures.sections(task), changes }
}

/** What an agent does when it begins, `rounds` times. */
function beginnings(count: number, rounds: number, goal: number): Section {
  const figures = new Rounds()
  for (let round = 0; round < rounds; round++) {
    const { whole, applyIpvs, rawNetlink } = freshly(count)
    figures.add('whole pass', whole)
    figures.add('apply ipvs', applyIpvs)
    figures.add('raw netlink', rawNetlink)
  }
  const samples = ratios(figures.of('apply ipvs'), figures.of('raw netlink'))
  return {
    title: `The same by agents that have just begun: ${count} services × ${endpointsEach} endpoints`,
    rows: [
      ...['whole pass', 'apply ipvs', 'raw netlink'].map(name => figures.row(name)),
      { name: 'apply ipvs ÷ raw netlink', unit: '×', samples, goal },
    ],
    remarks: [
      'Each of them in a process of its own, which sends the same messages by raw netlink after its pass.',
    ],
  }
}

/** One container's endpoint comes and goes while all the other services are there. */
async function oneChange(
  { mesh, watch }: WatchedNode,
  [one, two]: readonly [Container, Container],
  repeats: number,
): Promise<Map<string, Reading[]>> {
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
    // What the collection has moved about is touched anew, once.
    await health('unhealthy')
    await health('healthy')
    const away = await health('unhealthy')
    const back = await health('healthy')
    if (i < 0) continue // the first two warm the compiler up
    readings.get('not ready')!.push(away)
    readings.get('ready')!.push(back)
  }
  return readings
}

/** `all`: by the number of services. */
function changes(all: ReadonlyMap<number, Taken['changes']>): Section {
  const rows: Row[] = []
  const medians = new Map<string, number[]>()
  for (const [count, readings] of all)
    for (const [what, list] of readings) {
      const name = (figure: string) => `${count} services, endpoint ${what}: ${figure}`
      const wall = list.map(({ wall }) => wall)
      const messages = list.map(({ changes, queries }) => changes + queries)
      rows.push(
        { name: name('wall'), unit: 'ms', samples: wall },
        { name: name('cpu'), unit: 'ms', samples: [meanCpu(list)] },
        { name: name('messages'), unit: 'messages', samples: messages },
      )
      for (const [figure, value] of [
        [`${what}: wall`, median(wall)],
        [`${what}: messages`, median(messages)],
      ] as const)
        medians.set(figure, [...(medians.get(figure) ?? []), value])
    }
  const counts = [...all.keys()]
  for (const [figure, values] of medians)
    rows.push({
      name: `${figure} among ${counts.at(-1)} services ÷ among ${counts[0]}`,
      unit: '×',
      samples: [values.at(-1)! / values[0]!],
      goal: figure.endsWith('messages') ? 1 : 1.5,
    })
  return { title: 'One endpoint changes: the fast pass', rows }
}

export async function reconcile({ quick }: Options): Promise<Section[]> {
  const topology = new Topology()
  const pair = [
    topology.addContainer('one', { labels: { app: 'one' } }),
    topology.addContainer('two', { labels: { app: 'one' } }),
  ] as const
  const sizes = quick ? [50, 300] : [100, 1000, 10_000]
  const sections: Section[] = []
  const byCount = new Map<number, Taken['changes']>()
  for (const count of sizes) {
    const largest = count >= 10_000
    const taken = await run(topology, pair, {
      title: `${count} services × ${endpointsEach} endpoints`,
      services: publishedServices(count),
      each: endpointsEach,
      settings: {},
      rounds: largest ? 1 : quick ? 2 : 5,
      oneByOne: quick ? 40 : 300,
      rivals: largest ? 'netlink' : 'all',
      ...(largest ? { memory: 250 } : {}),
    })
    sections.push(...taken.sections)
    if (count === 1000) sections.push(beginnings(count, 7, 1.3))
    byCount.set(count, taken.changes)
  }
  const vips = quick ? 300 : 10_000
  const taken = await run(topology, pair, {
    title: `${vips} services with a VIP of 3 ports × 2 endpoints`,
    services: vipServices(vips),
    each: 2,
    settings: { vipPool },
    rounds: 1,
    oneByOne: 0,
    rivals: 'none',
  })
  return [...sections, ...taken.sections, changes(byCount)]
}
