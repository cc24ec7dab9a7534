/**
 * A swarm whose nodes are one mesh over an etcd in the world outside: for tests of the
 * swarm layer that publish by labels.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { must, type Node, outside, type Running, startNodes } from './lab.js'
import { NodeMesh } from './node-mesh.js'
import { waitFor } from './wait.js'

const endpoint = `http://${outside}:2379`

export class SwarmMesh {
  private readonly meshes: ReadonlyMap<Node, NodeMesh>
  readonly agents = new Map<Node, Running>()

  private constructor(
    readonly nodes: readonly Node[],
    private readonly flags: readonly string[],
  ) {
    this.meshes = new Map(nodes.map(node => [node, new NodeMesh(node)]))
  }

  /** Boots the nodes, all of them managers, with an agent each that has these flags too. They end with the test. */
  static async start(t: Test, count: number, flags: readonly string[] = []): Promise<SwarmMesh> {
    const directory = mkdtempSync(join(tmpdir(), 'etcd-'))
    const options = [
      `--data-dir=${directory}`,
      '--listen-client-urls=http://0.0.0.0:2379',
      `--advertise-client-urls=${endpoint}`,
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--log-level=error',
      '--unsafe-no-fsync',
    ]
    const etcd = spawn('etcd', options, { stdio: 'ignore' })
    const mesh = new SwarmMesh(await startNodes(count, { managers: count }), flags)
    t.teardown(() => {
      for (const agent of mesh.agents.values()) agent.kill('SIGTERM')
      etcd.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    })
    t.afterEach(t => {
      if (t.passing()) return
      for (const [node, agent] of mesh.agents) t.comment(`${node.name}: ${agent.output.slice(-20_000)}`)
    })
    await waitFor(async () => (await fetch(`${endpoint}/health`)).ok, 'etcd', 30)
    for (const node of mesh.nodes) {
      await must(['ip', 'addr', 'add', `${mesh.clientOf(node)}/24`, 'dev', 'br0'])
      await mesh.startAgent(node)
    }
    return mesh
  }

  /** Back when the agent has made its first pass. */
  async startAgent(node: Node): Promise<void> {
    const flags = ['--store', 'etcd', '--etcd-endpoints', endpoint, '--lease', '4', ...this.flags]
    const agent = node.start('node', '--enable-source-maps', 'dist/src/cli/meshd.js', ...flags)
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

  /** Nodes whose agent writes what labels declare, as far as the agents know themselves. */
  writers(): Node[] {
    return this.nodes.filter(node => {
      const agent = this.agents.get(node)!
      const said = (text: string) => agent.output.lastIndexOf(text)
      return !agent.hasEnded && said('this node mirrors the labels') > said('mirrors labels no more')
    })
  }
}
