/**
 * How long the mesh takes to follow what happens to containers and nodes, and beside it
 * Docker's own ingress: the same containers, published by both, the same events, clients
 * of both at the same time. Everything goes in through a node on which the event is not.
 */
import type { Node } from '../../test/helpers/lab.js'
import { sleep, waitFor } from '../../test/helpers/wait.js'
import { failures } from '../failures/failures.js'
import { Stage } from '../failures/stage.js'
import { clientOf, dockerPort, meshPort, type Ports, patience, Watch } from '../failures/watch.js'
import { eventTime } from './docker-node.js'
import type { Options } from './parts.js'
import { type Row, ratios, type Section } from './report.js'
import { type Outcomes, Requests } from './requests.js'

/**
 * New connections a second to each of the two: what is asked of a container once in a while is seen
 * that late. More of them would take the processor from those that they are to find.
 */
const rate = 100
/** Most of Docker's time that the mesh may take. */
const goal = 0.2

/** A figure of each, one value per round. */
interface Both {
  readonly mesh: number[]
  readonly docker: number[]
}

const none = (): Both => ({ mesh: [], docker: [] })

/** Clients of both meshes through one node. */
class Clients {
  private readonly requests: Requests
  readonly mesh: Outcomes
  readonly docker: Outcomes

  constructor(entry: Node, ports: Ports) {
    const to = { to: entry.address, ports: [ports.mesh, ports.docker] }
    this.requests = new Requests({ from: clientOf(entry), ...to, rate, patience })
    this.mesh = this.requests.of(ports.mesh)
    this.docker = this.requests.of(ports.docker)
  }

  /** Until both have led to so many containers, or to this one. */
  served(wanted: number | string, seconds: number): Promise<unknown> {
    const isServed = ({ served }: Outcomes) =>
      typeof wanted === 'number' ? served.size >= wanted : served.has(wanted.slice(0, 12))
    return waitFor(
      () => isServed(this.mesh) && isServed(this.docker),
      `answers of ${wanted}: the mesh has those of ${this.mesh.served.size}, Docker's ingress of ${this.docker.served.size}`,
      seconds,
      0.02,
    )
  }

  stop(): Promise<void> {
    return this.requests.stop()
  }
}

/** Adds to both a value of what became of each one's requests. */
function note(
  both: Both,
  { mesh, docker }: Pick<Clients, 'mesh' | 'docker'>,
  value: (outcomes: Outcomes) => number,
): void {
  both.mesh.push(value(mesh))
  both.docker.push(value(docker))
}

/** When the first process of a container was started, performance.now(). */
async function startedAt(node: Node, id: string): Promise<number> {
  const { State } = await node.docker.inspect(id)
  return Date.parse((State as { StartedAt?: string }).StartedAt ?? '') - performance.timeOrigin
}

/** A container is told to stop, and Swarm starts another one in its place. */
async function replaced(stage: Stage, stop: Both, failed: Both, start: Both): Promise<void> {
  const [entry, node] = stage.nodes
  const old = await stage.containerOn(node)
  const clients = new Clients(entry, { mesh: meshPort, docker: dockerPort })
  await clients.served(old, 10)
  await node.docker.container(old, 'stop')
  const told = (await eventTime(node, old, 'kill')) - performance.timeOrigin
  const next = await waitFor(
    async () => (await stage.containersOn(node, 'web')).find(id => id !== old),
    'the next container',
    60,
  )
  await clients.served(next, 60)
  await clients.stop()
  const began = await startedAt(node, next)
  note(stop, clients, ({ served, failures }) => {
    const last = Math.max(served.get(old.slice(0, 12))?.last ?? 0, ...failures.map(({ began }) => began))
    return Math.max(0, last - told)
  })
  note(failed, clients, ({ failures }) => failures.length)
  note(start, clients, ({ served }) => Math.max(0, served.get(next.slice(0, 12))!.first - began))
}

/** A service of two containers gets so many more; from the start of each, and of the last, to its first answer. */
async function scaled(stage: Stage, replicas: number, each: Both, all: Both): Promise<void> {
  const [entry] = stage.nodes
  const ports = { mesh: meshPort + 1, docker: dockerPort + 1 }
  await stage.addService('many', ports, { Replicated: { Replicas: 2 } })
  await entry.tasks('many', 2)
  const before = new Clients(entry, ports)
  await before.served(2, 60)
  await before.stop()
  const former = new Set(before.mesh.served.keys())
  const clients = new Clients(entry, ports)
  await entry.docker.scale('many', replicas)
  await clients.served(replicas, 180)
  await clients.stop()
  const begun = new Map<string, number>()
  for (const node of stage.nodes)
    for (const id of await stage.containersOn(node, 'many'))
      if (!former.has(id.slice(0, 12))) begun.set(id.slice(0, 12), await startedAt(node, id))
  const last = Math.max(...begun.values())
  for (const [id, at] of begun)
    note(each, clients, ({ served }) => Math.max(0, (served.get(id)?.first ?? Number.NaN) - at))
  const allServed = ({ served }: Outcomes) => Math.max(...[...served.values()].map(({ first }) => first))
  note(all, clients, outcomes => Math.max(0, allServed(outcomes) - last))
}

/** A node's power is lost; until the last request that failed began. */
async function died(stage: Stage, rounds: number): Promise<Both> {
  const [off, on] = failures.find(({ name }) => name === 'power')!.steps
  const both = none()
  for (let round = 0; round < rounds; round++) {
    if (round > 0) {
      await on!.act(stage)
      await stage.clean()
    }
    const watch = new Watch(stage.others)
    await watch.steady()
    const began = performance.now()
    await off!.act(stage)
    await watch.until(began, off!.limits)
    const { mesh, docker } = await watch.end(began)
    both.mesh.push((mesh.clean ?? off!.limits.most) * 1000)
    both.docker.push((docker.clean ?? off!.limits.most) * 1000)
  }
  return both
}

function rows(name: string, { mesh, docker }: Both): Row[] {
  return [
    { name: `${name}: mesh`, unit: 'ms', samples: mesh },
    { name: `${name}: Docker’s ingress`, unit: 'ms', samples: docker },
    { name: `${name}: mesh ÷ Docker’s`, unit: '×', goal, samples: ratios(mesh, docker) },
  ]
}

export async function convergence({ quick }: Options): Promise<Section[]> {
  const stage = await Stage.up(() => {}, 2, 1)
  const [stop, failed, start] = [none(), none(), none()]
  for (let round = 0; round < (quick ? 1 : 12); round++) {
    await replaced(stage, stop, failed, start)
    await sleep(1)
  }
  const replicas = quick ? 6 : 20
  const [each, all] = [none(), none()]
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    await scaled(stage, replicas, each, all)
    await stage.nodes[0].docker.removeService('many')
    await stage.clean()
  }
  const death = await died(stage, quick ? 1 : 2)
  return [
    {
      title: 'How long it takes until another node knows: the mesh beside Docker’s ingress',
      rows: [
        ...rows('a container runs → its first answer', start),
        ...rows('a container is told to stop → the last connection sent there', stop),
        { name: 'requests lost by that stop: mesh', unit: 'requests', samples: failed.mesh },
        { name: 'requests lost by that stop: Docker’s ingress', unit: 'requests', samples: failed.docker },
        ...rows(`scale 2 → ${replicas}: one runs → its first answer`, each),
        ...rows(`scale 2 → ${replicas}: the last one runs → all have answered`, all),
        ...rows('a node’s power is lost → the last request that fails', death),
      ],
      remarks: [
        `Two nodes, one Swarm, the same containers published by both; ${rate} new connections a second to each of the two, all through the first node, while the container that it is about is on the second, so that a container of two is seen up to ${(2000 / rate).toFixed(0)} ms late, and one of ${replicas} up to ${((replicas * 1000) / rate).toFixed(0)} ms. Both nodes, their Engines, agents and the clients share one CPU.`,
        '“runs”: the time at which Docker says that the first process of the container was started (StartedAt); pulling, creating and starting it is the same for both, and is not in these figures. 0: it was served before that time.',
        '“is told to stop”: the stop signal of `docker stop`, by Docker’s event; the server serves for one more second and ends. A connection was sent there if that container answered it or if it failed.',
        '“power is lost”: all that runs on the node ends at once and its link with it; a client gives up after 2 s, the figure is when the last request began that failed.',
      ],
    },
  ]
}
