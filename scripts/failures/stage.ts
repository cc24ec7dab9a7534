/**
 * Where failures happen: nodes with Docker Engines in one swarm, usually three managers;
 * members of etcd outside the nodes, as on machines of their own; a Swarm service with a container on each node, published by Docker's ingress and, by its
 * label, by the mesh.
 */
import { writeFileSync } from 'node:fs'
import { type EtcdMember, EtcdServers } from '../../test/helpers/etcd.js'
import { must, type Node, outside, type Running, startNodes } from '../../test/helpers/lab.js'
import { NodeMesh } from '../../test/helpers/node-mesh.js'
import { sleep, waitFor } from '../../test/helpers/wait.js'
import { addClients, dockerPort, meshPort, type Ports, whoAnswers } from './watch.js'

const service = 'web'
/** Longest wait for a clean state, seconds. */
const whole = 150

/** At least two. */
export type Nodes = readonly [Node, Node, ...Node[]]

export class Stage {
  private readonly agents = new Map<Node, Running>()
  private readonly killed = new Set<EtcdMember>()

  private constructor(
    readonly nodes: Nodes,
    readonly etcd: EtcdServers,
  ) {}

  /** `members`: of etcd. Two nodes have one manager, more are all of them managers. */
  static async up(say: (text: string) => void, count: 2 | 3 = 3, members: 1 | 3 = 3): Promise<Stage> {
    say(`${count} nodes`)
    const nodes = (await startNodes(count, { docker: false })) as unknown as Nodes
    await addClients(nodes)
    say(`${members} members of etcd`)
    // Ended with the lab, like everything else here.
    const etcd = await EtcdServers.start({ teardown: () => {} }, { address: outside, members })
    const managers = count === 2 ? 1 : count
    say(`a swarm with ${managers} managers`)
    await must(['scripts/nodes', 'docker'])
    await must(['scripts/nodes', 'swarm', String(managers)])
    const stage = new Stage(nodes, etcd)
    for (const node of nodes) {
      say(`the agent of ${node.name}`)
      await stage.startAgent(node)
    }
    say('the service, published by both')
    await stage.addService(service, { mesh: meshPort, docker: dockerPort }, { Global: {} })
    await stage.clean()
    // One CPU stands for those of four machines: what a node does when it boots must not take it from the others.
    const least = count > 2 ? 100 : 300
    const weights = [
      ['command', 1000],
      ...nodes.map(node => [node.name, node === stage.victim ? least : 300]),
    ]
    for (const [place, weight] of weights) writeFileSync(`/sys/fs/cgroup/${place}/cpu.weight`, String(weight))
    return stage
  }

  /** The node that fails: manager of the swarm, but not its leader, which is the first. */
  get victim(): Node {
    return this.nodes.at(-1)!
  }
  get others(): readonly Node[] {
    return this.nodes.slice(0, -1)
  }

  /** Creates a service of test servers that both meshes publish; `mode`: the API's word for how many there are. */
  async addService(name: string, ports: Ports, mode: unknown): Promise<void> {
    await this.nodes[0].docker.call('POST', '/services/create', {
      Name: name,
      Mode: mode,
      Labels: { 'mesh.publish': `${ports.mesh}:80` },
      TaskTemplate: {
        // Serves for one more second after SIGTERM, as a program does that knows of balancers.
        ContainerSpec: { Image: 'mesh-test:1', Args: ['web', '--linger', '1'] },
      },
      EndpointSpec: {
        Mode: 'vip',
        Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: ports.docker, PublishMode: 'ingress' }],
      },
    })
  }

  async startAgent(node: Node): Promise<void> {
    const settings = ['--store', 'etcd', '--etcd-endpoints', this.etcd.endpoints.join(',')]
    this.agents.set(node, await node.startAgent(...settings))
  }

  async killAgent(node: Node): Promise<void> {
    this.agents.get(node)!.kill('SIGKILL')
    await this.agents.get(node)!.ended
  }

  meshOf(node: Node): NodeMesh {
    return new NodeMesh(node)
  }

  /** Those of a service's containers on a node that run. */
  async containersOn(node: Node, name: string): Promise<string[]> {
    const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.swarm.service.name=${name}`] }))
    const found = await node.docker.call<{ Id: string }[]>('GET', `/containers/json?filters=${filters}`)
    return found.map(({ Id }) => Id)
  }

  /** The service's container on a node. */
  async containerOn(node: Node): Promise<string> {
    const [found] = await this.containersOn(node, service)
    if (!found) throw new Error(`no container of ${service} on ${node.name}`)
    return found
  }

  /** SIGKILL for a program of a node; the name is matched in the node's own PID namespace. */
  async killProgram(node: Node, name: string): Promise<void> {
    await node.must('pkill', '-KILL', '-x', name)
  }

  /** Kills so many members of etcd, the one that leads first. */
  async killMembers(count: number): Promise<void> {
    const known = await Promise.all(
      this.etcd.members.map(async member => {
        const answer = await fetch(`${member.endpoint}/v3/maintenance/status`, { method: 'POST', body: '{}' })
        const { header, leader } = (await answer.json()) as { header: { member_id: string }; leader: string }
        return { member, leads: header.member_id === leader }
      }),
    )
    const byLead = known.sort((a, b) => Number(b.leads) - Number(a.leads)).map(({ member }) => member)
    for (const member of byLead.slice(0, count)) this.killed.add(member)
    await Promise.all([...this.killed].map(member => member.stop()))
  }

  async startMembers(): Promise<void> {
    for (const member of this.killed) member.start()
    this.killed.clear()
    await this.etcd.ready()
  }

  /** Loses what a node sends, and with `both` what it gets as well. `share`: percent; 0 loses nothing more. */
  async lose(node: Node, share: number, both = false): Promise<void> {
    const sides = [['-n', node.name, 'qdisc', 'replace', 'dev', 'eth0']]
    if (both || share === 0) sides.push(['qdisc', 'replace', 'dev', node.name])
    for (const side of sides) {
      const rule = share === 0 ? ['root', 'noqueue'] : ['root', 'netem', 'loss', `${share}%`]
      await must(['tc', ...side, ...rule])
    }
  }

  /** Until both meshes lead from every node to every container; a sentence for each that had to be helped. */
  async clean(): Promise<string[]> {
    const [first] = this.nodes
    await waitFor(() => this.managersReady(), 'all managers', whole, 0.5)
    await first.tasks(service, this.nodes.length, whole)
    for (const node of this.nodes) {
      await this.meshOf(node).settled(meshPort, this.nodes.length, whole)
      await waitFor(() => this.agentReady(node), `the agent of ${node.name}`, whole, 0.3)
    }
    await waitFor(() => this.leadsEverywhere(meshPort), 'the mesh', whole, 0.3)
    const dockers = () => waitFor(() => this.leadsEverywhere(dockerPort), "Docker's ingress", 60, 0.3)
    try {
      await dockers()
      return []
    } catch {
      await first.docker.updateService(service, spec => {
        spec.TaskTemplate.ForceUpdate = (spec.TaskTemplate.ForceUpdate ?? 0) + 1
      })
      await sleep(5)
      await dockers()
      await this.clean()
      return [
        "Docker's ingress did not lead to all containers 60 s later; a forced update of the service mended it",
      ]
    }
  }

  private async managersReady(): Promise<boolean> {
    type Manager = { Status: { State: string }; ManagerStatus?: { Reachability: string } }
    const managers = await this.nodes[0].docker.call<Manager[]>('GET', '/nodes')
    return managers.every(
      ({ Status, ManagerStatus }) =>
        Status.State === 'ready' && (ManagerStatus?.Reachability ?? 'reachable') === 'reachable',
    )
  }

  /** Throws what keeps it from that. */
  private async agentReady(node: Node): Promise<boolean> {
    const { client } = this.meshOf(node)
    const [{ healthy, troubles }, nodes] = await Promise.all([client.status(), client.nodes()])
    const lost = nodes.filter(({ live, reach }) => !live || reach !== 'reached')
    const reasons = [
      ...troubles.map(each => each.message),
      ...lost.map(({ name, reach }) => `${name} is ${reach}`),
    ]
    if (reasons.length > 0) throw new Error(reasons.join('; '))
    return healthy
  }

  private async leadsEverywhere(port: number): Promise<boolean> {
    const wanted = await Promise.all(this.nodes.map(node => this.containerOn(node)))
    for (const node of this.nodes) {
      const { containers, failed } = await whoAnswers(node, port, 3 * this.nodes.length)
      if (failed > 0 || !wanted.every(id => containers.has(id.slice(0, 12)))) return false
    }
    return true
  }
}
