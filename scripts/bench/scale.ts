/**
 * A mesh of thousands of nodes as one of them lives it: what is kept in memory, and how
 * long it takes from a change anywhere to this node's plan. Everything is as in an agent,
 * with a real etcd, but for the kernel: the changes to it are made out and not applied.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Collected } from '../../src/agent/inputs.js'
import type { Kernel } from '../../src/kernel/driver.js'
import type { RemoteContainer } from '../../src/model/cluster.js'
import { differences } from '../../src/model/differences.js'
import { Reconciler } from '../../src/reconcile/reconcile.js'
import { Runner } from '../../src/reconcile/runner.js'
import type { EtcdClient } from '../../src/store/etcd-client.js'
import { EtcdCluster } from '../../src/store/etcd-cluster.js'
import { Replica } from '../../src/store/etcd-replica.js'
import { unchanged } from '../../src/store/etcd-wire.js'
import { EtcdServers } from '../../test/helpers/etcd.js'
import { planSettings } from '../../test/helpers/plan-settings.js'
import { service } from '../../test/helpers/services.js'
import { waitFor } from '../../test/helpers/wait.js'
import type { Options } from './parts.js'
import { quantile, type Section } from './report.js'
import {
  aliveKey,
  nodeOf,
  pool,
  prefix,
  putAlive,
  putContainer,
  putNode,
  type World,
  writtenLabel,
} from './scale-world.js'
import { collectGarbage } from './watched.js'

/** Changes a second. */
const churn = 1000
/** Requests to etcd under way at once. */
const abreast = 32
/** As meshd has it unless told otherwise, milliseconds. */
const minGap = 20

/** A kernel that holds nothing and takes everything. */
const anyKernel: Kernel = {
  observe: async () => ({ objects: [], readings: new Map(), blind: new Map() }),
  apply: async changes => changes.map(change => ({ change, error: null })),
}

function memory(): number {
  collectGarbage()
  return process.memoryUsage.rss() / 1e6
}

/** Writes the whole mesh into etcd. */
async function fill(client: EtcdClient, world: World): Promise<void> {
  const perTransaction = 100
  for (let from = 1; from <= world.nodes; from += perTransaction) {
    const count = Math.min(perTransaction, world.nodes - from + 1)
    const operations = Array.from({ length: count }, (_, i) => putNode(world, from + i)).flat()
    await client.transact([], operations)
  }
}

/** One node's agent without its kernel. */
class NodeOfMany {
  /** Milliseconds from a container's write to the end of the pass that has it. */
  readonly latencies: number[] = []
  readonly passes: number[] = []
  /** When what was heard and is in no pass yet was written. */
  private heard: number[] = []
  private last: readonly RemoteContainer[] = []
  private readonly runner: Runner
  private readonly collected: Collected
  first = 0

  constructor(
    private readonly cluster: EtcdCluster,
    world: World,
  ) {
    const { name, subnet, address } = nodeOf(1)
    const membership = { number: 1, address, vni: 4097, port: 8473, mtu: 1450 }
    this.collected = new Collected(['store'], ['docker', 'cluster'], { name, subnet, pool, membership })
    const services = Array.from({ length: world.services }, (_, i) =>
      service(`s${i}`, [`${10_000 + i}:80`], { selector: { 'com.docker.swarm.service.name': `s${i}` } }),
    )
    this.collected.putServices('store', { services })
    this.collected.putContainers('docker', {
      containers: [],
      swarmServices: [],
      swarmPorts: [],
      declarations: null,
      ending: [],
    })
    const reconciler = new Reconciler(anyKernel, () => this.collected.inputs, planSettings)
    const pass = async (kind: 'fast' | 'full'): Promise<boolean> => {
      const stamps = this.heard
      this.heard = []
      const { duration } = await reconciler.pass(kind)
      const now = Date.now()
      if (kind === 'full') this.first = duration
      else this.passes.push(duration)
      for (const stamp of stamps) this.latencies.push(now - stamp)
      return true
    }
    // One full pass, and no other: there is no kernel to look at.
    this.runner = new Runner(pass, { minGap, resync: 3_600_000 })
  }

  /** Back after the first pass. */
  async start(containers: number): Promise<void> {
    this.cluster.start(
      snapshot => {
        for (const { labels } of differences(this.last, snapshot.containers).come)
          this.heard.push(Number(labels[writtenLabel]))
        this.last = snapshot.containers
        this.collected.putCluster('cluster', snapshot)
        if (this.first > 0) this.runner.mark('fast')
      },
      error => error && console.error(`bench: ${error.message}`),
    )
    await waitFor(() => this.last.length >= containers, 'all containers', 120)
    this.heard = []
    this.runner.start()
    await waitFor(() => this.first > 0, 'the first pass', 120)
    this.latencies.length = 0
  }

  stop(): Promise<void> {
    return this.runner.stop()
  }
}

interface Churn {
  readonly written: number
  readonly seconds: number
}

function startChurn(endpoint: string, seconds: number, { nodes, services, each }: World): Promise<Churn> {
  const writer = fileURLToPath(new URL('scale-writer.js', import.meta.url))
  const argv = [writer, endpoint, ...[churn, seconds, nodes, services, each].map(String)]
  const child = spawn('node', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', part => {
    text += part
  })
  return new Promise((resolve, reject) => {
    child.on('close', status =>
      status === 0 ? resolve(JSON.parse(text)) : reject(new Error(`the writer ended with ${status}`)),
    )
  })
}

/** How many a second of `work` are done, several at once, each by one of as many workers. */
async function rateOf(seconds: number, work: (worker: number) => Promise<unknown>): Promise<number> {
  const began = performance.now()
  let done = 0
  await Promise.all(
    Array.from({ length: abreast }, async (_, worker) => {
      while (performance.now() - began < seconds * 1000) {
        await work(worker)
        done++
      }
    }),
  )
  return done / ((performance.now() - began) / 1000)
}

/** What one member of etcd takes of what agents send. */
async function etcdRates(client: EtcdClient, world: World, rounds: number, seconds: number) {
  const revisions = new Map<number, number>()
  const announce = async (worker: number): Promise<void> => {
    // As the store of a node announces one container of its own.
    const number = 2 + worker
    const before = revisions.get(number) ?? (await client.get(aliveKey(number)))?.revision ?? 0
    const operations = [putContainer(world, number, 0, 'ready'), putAlive(number)]
    const { succeeded, revision } = await client.transact([unchanged(aliveKey(number), before)], operations)
    if (!succeeded) throw new Error('a write of the bench was refused')
    revisions.set(number, revision)
  }
  const leases = await Promise.all(Array.from({ length: abreast }, () => client.grant(600)))
  const rates: { announced: number[]; renewed: number[] } = { announced: [], renewed: [] }
  for (let round = 0; round < rounds; round++) {
    rates.announced.push(await rateOf(seconds, announce))
    rates.renewed.push(await rateOf(seconds, worker => client.keepAlive(leases[worker]!.id)))
  }
  return rates
}

export async function scale({ quick }: Options): Promise<Section[]> {
  const world: World = quick
    ? { nodes: 500, services: 1000, each: 20 }
    : { nodes: 5000, services: 10_000, each: 20 }
  const containers = world.nodes * world.each
  const seconds = quick ? 4 : 20
  const empty = memory()
  const servers = await EtcdServers.start({ teardown: () => {} }, { members: 1 })
  const client = servers.client()
  try {
    await fill(client, world)
    const rates = await etcdRates(client, world, quick ? 1 : 3, quick ? 1 : 3)
    const replica = new Replica(client, prefix)
    const cluster = new EtcdCluster(client, replica, prefix, 2)
    const node = new NodeOfMany(cluster, world)
    await node.start(containers)
    const full = memory()
    const cpu = process.cpuUsage()
    const { written, seconds: lasted } = await startChurn(servers.endpoints[0]!, seconds, world)
    const { user, system } = process.cpuUsage(cpu)
    await waitFor(() => node.latencies.length >= written, 'all changes', 60)
    const after = memory()
    await node.stop()
    await replica.stop()
    const { latencies, passes } = node
    const at = (share: number) => [quantile(latencies, share)]
    return [
      {
        title: `${world.nodes} nodes, ${world.services} services, ${containers} endpoints: one node’s agent, ${churn} changes a second for ${seconds} s`,
        rows: [
          { name: 'first plan, with the changes it makes out', unit: 'ms', samples: [node.first] },
          { name: 'change written → in the plan, half of all within', unit: 'ms', samples: at(0.5) },
          { name: '99 % within', unit: 'ms', samples: at(0.99) },
          { name: 'changes written', unit: 'a second', samples: [written / lasted] },
          { name: 'passes', unit: 'a second', samples: [passes.length / lasted] },
          { name: 'a pass', unit: 'ms', samples: passes },
          { name: 'of one processor', unit: '%', samples: [(user + system) / 1e4 / lasted] },
          { name: 'memory (RSS) after the first pass', unit: 'MB', samples: [full] },
          { name: 'and after the churn', unit: 'MB', samples: [after] },
          { name: 'of it the bench with nothing', unit: 'MB', samples: [empty] },
        ],
        remarks: [
          'Written by a process of its own, some twenty changes in a transaction, so that etcd has time; half of the changes take an endpoint away, half bring it back.',
          `“in the plan”: etcd’s watch, merge, plan and comparison are done. At least ${minGap} ms lie between two passes (--min-gap). The kernel’s part is in the tables of “reconcile”.`,
        ],
      },
      {
        title: 'What one etcd takes of what agents send',
        rows: [
          { name: 'announcements of one container', unit: 'a second', samples: rates.announced },
          { name: 'renewals of leases', unit: 'a second', samples: rates.renewed },
        ],
        remarks: [
          `One member (Debian’s etcd-server, without fsync) with ${containers} endpoints in it, by its JSON gateway, ${abreast} requests at once; the client shares the machine with it, so these are the least.`,
          `An agent renews its lease four times in its time: with ${world.nodes} nodes and --lease 2 that is ${world.nodes * 2} a second, with --lease 20 a tenth of that.`,
        ],
      },
    ]
  } finally {
    client.close()
    await servers.end()
  }
}
