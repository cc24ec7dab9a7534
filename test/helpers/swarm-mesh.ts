/**
 * A swarm whose nodes are one mesh over an etcd in the world outside, with meshd in its
 * container on each: for tests of the swarm layer that publish by labels.
 */
import { spawn } from 'node:child_process'
import type { Test } from 'tap'
import { Load } from './clients.js'
import { EtcdServers } from './etcd.js'
import { must, type Node, outside, Running, startNodes } from './lab.js'
import { asMeshd, docker, giveImage } from './meshd-container.js'
import { NodeMesh } from './node-mesh.js'
import { sleep, waitFor } from './wait.js'

export class SwarmMesh {
  private readonly meshes: ReadonlyMap<Node, NodeMesh>
  readonly agents = new Map<Node, Running>()

  private constructor(
    readonly nodes: readonly Node[],
    /** Of every agent. */
    private readonly flags: readonly string[],
  ) {
    this.meshes = new Map(nodes.map(node => [node, new NodeMesh(node)]))
  }

  /** Boots the nodes, all of them managers, with an agent each that has these flags too. They end with the test. */
  static async start(t: Test, count: number, flags: readonly string[] = []): Promise<SwarmMesh> {
    const nodes = await startNodes(count, { managers: count })
    const { endpoints } = await EtcdServers.start(t, { address: outside, members: 1 })
    const store = ['--store', 'etcd', '--etcd-endpoints', endpoints.join(), '--lease', '4']
    const mesh = new SwarmMesh(nodes, [...store, ...flags])
    t.teardown(async () => {
      for (const agent of mesh.agents.values()) agent.kill('SIGKILL')
      await Promise.all([...mesh.agents.values()].map(({ ended }) => ended))
    })
    t.afterEach(t => {
      if (t.passing()) return
      for (const [node, agent] of mesh.agents) t.comment(`${node.name}: ${agent.output.slice(-20_000)}`)
    })
    for (const node of mesh.nodes) {
      await must(['ip', 'addr', 'add', `${mesh.clientOf(node)}/24`, 'dev', 'br0'])
      await giveImage(node, 'meshd:1')
      await mesh.startAgent(node)
    }
    return mesh
  }

  /** Back when the agent has made its first pass. */
  async startAgent(node: Node): Promise<void> {
    const container = ['run', '--rm', '--name', 'meshd', ...asMeshd, 'meshd:1']
    const agent = new Running(
      spawn('scripts/nodes', ['cli', node.name, ...container, ...this.flags], {
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    )
    this.agents.set(node, agent)
    await waitFor(
      async () => {
        if (agent.hasEnded) throw new Error(`meshd ended:\n${agent.output}`)
        const { healthy, lastPass } = await this.of(node).client.status()
        return healthy && lastPass !== null
      },
      `the agent of ${node.name}`,
      120,
    )
  }

  /** Ends an agent by SIGKILL; back when its container is gone. */
  async killAgent(node: Node): Promise<void> {
    await docker(node, 'kill', 'meshd')
    await this.agents.get(node)!.ended
  }

  of(node: Node): NodeMesh {
    return this.meshes.get(node)!
  }

  /** One client address for each entry node: from one address the same port may be used through two nodes. */
  clientOf(node: Node): string {
    return `192.168.77.20${node.name.slice(-1)}`
  }

  /** Sets labels of a Swarm service, and takes away those whose value is null. */
  label(name: string, labels: Record<string, string | null>): Promise<void> {
    return this.nodes[0]!.docker.updateService(name, spec => {
      const all = Object.entries({ ...spec.Labels, ...labels })
      spec.Labels = Object.fromEntries(all.filter(([, value]) => value !== null))
    })
  }

  /** Until every node publishes exactly these ports for the service. */
  async published(name: string, ...specs: string[]): Promise<void> {
    for (const node of this.nodes)
      await waitFor(
        async () => {
          const view = (await this.of(node).client.list()).find(each => each.name === name)
          return (view?.ports ?? []).map(({ spec }) => spec).join() === specs.join()
        },
        `${name} on ${specs.join() || 'no port'} by ${node.name}`,
        30,
        0.02,
      )
  }

  /** Until every node spreads new connections to the port over so many containers. */
  async settled(port: number, count: number, seconds = 60): Promise<void> {
    for (const node of this.nodes) await this.of(node).settled(port, count, seconds)
  }

  /**
   * Works while each node gets 20 new connections a second to a port, of which so many may fail.
   * The lab's one processor carries them beside all else.
   */
  async underLoad(
    t: Test,
    { port, allowed }: { readonly port: number; readonly allowed: number },
    work: () => Promise<void>,
  ): Promise<void> {
    const loads = this.nodes.map(node => {
      const options = { timeout: 20, localAddress: this.clientOf(node) }
      return new Load([`http://${node.address}:${port}/`], 20, options)
    })
    const stop = () => Promise.all(loads.map(load => load.stop()))
    t.teardown(stop)
    await sleep(0.5)
    const begun = performance.now()
    await work()
    const seconds = (performance.now() - begun) / 1000
    await sleep(0.5)
    const reports = await stop()
    const failures = reports.flatMap(({ failures }) =>
      failures.map(each => `${each.code} after ${Math.round(each.began - begun)} ms`),
    )
    const all = reports.reduce((sum, { ok, failed }) => sum + ok + failed, 0)
    const slowest = Math.round(Math.max(...reports.map(each => each.slowest)))
    t.comment(`${seconds.toFixed(1)} s, slowest answer ${slowest} ms, ${failures.length} of ${all} failed`)
    t.same(failures.slice(allowed), [], `at most ${allowed} requests fail`)
  }

  /** The services whose tasks have containers that run on a node, once for each of these. */
  async tasksOn(node: Node): Promise<string[]> {
    const all = await node.docker.call<{ Labels: Record<string, string> }[]>('GET', '/containers/json')
    return all.flatMap(({ Labels }) => Labels['com.docker.swarm.service.name'] ?? [])
  }

  /** Removes Swarm services; back when neither their tasks nor what the mesh knew of them is left. */
  async removeServices(...names: string[]): Promise<void> {
    const [one] = this.nodes as [Node]
    for (const name of names) await one.docker.removeService(name).catch(() => {})
    for (const node of this.nodes) {
      const left = async () => (await this.tasksOn(node)).some(name => names.includes(name))
      await waitFor(async () => !(await left()), `the end of ${names.join(', ')} on ${node.name}`, 120)
      const known = async () => (await this.of(node).client.list()).some(({ name }) => names.includes(name))
      await waitFor(async () => !(await known()), `${node.name} to forget ${names.join(', ')}`, 30)
    }
  }

  /** Nodes whose agent writes what labels declare, as far as the agents know themselves. */
  writers(): Node[] {
    return this.nodes.filter(node => {
      const agent = this.agents.get(node)!
      const said = (text: string) => agent.output.lastIndexOf(text)
      return !agent.hasEnded && said('this node mirrors the labels') > said('mirrors labels no more')
    })
  }
}
