/**
 * Damage by hand and its repair: a node that serves two containers, and what each
 * case of damage is put through.
 */
import type { Test } from 'tap'
import type { Container } from '../../src/model/container.js'
import { describe } from '../../src/status/describe.js'
import { foreignView, type HostView } from './host-view.js'
import { MeshNode } from './mesh-node.js'
import { settleOthers } from './others.js'
import { service } from './services.js'
import { clientAddress, hostAddress, Topology } from './topology.js'

/** Something done by hand, and what the next full pass must say that it put right. */
export interface Damage {
  readonly title: string
  readonly commands: readonly [place: 'host' | 'mesh' | 'one', command: string][]
  /** Lines of `pass.repairs`, in any order; with `more`, there may be others. */
  readonly repairs: readonly string[]
  readonly more?: true
}

/** What every client gets while nothing is wrong. */
const everything = {
  tcp: ['one', 'two'],
  seenAs: clientAddress,
  bound: clientAddress,
  udp: clientAddress,
  loopback: '10.254.0.2',
  container: '172.17.0.12',
}

/**
 * `web` on two containers: TCP 8888 and UDP 5353 on every address, TCP 8084 on one.
 * On the host there are things of others, too.
 */
export class DamagedNode {
  readonly topology: Topology
  readonly mesh: MeshNode
  readonly one: Container
  readonly two: Container
  /** What others have on the host, as of the last look. */
  private others: HostView

  private constructor(topology: Topology, mesh: MeshNode, one: Container, two: Container) {
    this.topology = topology
    this.mesh = mesh
    this.one = one
    this.two = two
    this.others = foreignView(topology.host)
  }

  static async create(t: Test): Promise<DamagedNode> {
    const topology = new Topology()
    settleOthers(topology.host)
    const mesh = await MeshNode.create(topology)
    t.teardown(async () => {
      await mesh.clean()
      await topology.destroy()
    })
    const one = topology.addContainer('one', { labels: { app: 'web' } })
    const two = topology.addContainer('two', { labels: { app: 'web' } })
    for (const container of [one, two]) {
      await topology.serveTcp(container, 80, container.name)
      await topology.serveUdp(container, 53, container.name)
    }
    mesh.containers = [one, two]
    mesh.services = [
      service('web', ['8888:80', '5353:53/udp']),
      service('bound', [`${hostAddress}:8084:81`], { selector: { app: 'web' } }),
    ]
    for (const container of [one, two]) await topology.serveTcp(container, 81, container.name)
    const node = new DamagedNode(topology, mesh, one, two)
    await mesh.pass()
    await node.isServed(t, 'all is served before anything is damaged')
    t.strictSame(foreignView(topology.host), node.others, 'what is not ours is as it was')
    return node
  }

  /** Every way in leads to an endpoint that sees the client as it should. */
  async isServed(t: Test, message: string): Promise<void> {
    t.strictSame(await this.served(), everything, message)
  }

  /** Who answers on each way in, and which client address it sees. */
  private async served(): Promise<typeof everything> {
    const { topology } = this
    const { client, host } = topology
    const answers = []
    for (let i = 0; i < 4; i++) answers.push(await topology.ask(client, hostAddress, 8888))
    const udp = await topology.udpClient(client)
    return {
      tcp: [...new Set(answers.map(({ name }) => name))].sort(),
      seenAs: answers[0]!.address,
      bound: (await topology.ask(client, hostAddress, 8084)).address,
      udp: (await udp.ask(hostAddress, 5353))?.address ?? 'nobody',
      loopback: (await topology.ask(host, '127.0.0.1', 8888)).address,
      container: await this.seenFromTwo(),
    }
  }

  /** Which address `one` sees of `two`: its own. */
  private async seenFromTwo(): Promise<string> {
    for (let i = 0; i < 4; i++) {
      const { name, address } = await this.topology.ask(this.topology.pathOf(this.two), hostAddress, 8888)
      if (name === 'one') return address
    }
    return 'one never answered'
  }

  /** Does the damage, makes one full pass, and looks whether all is as it was and was told. */
  async repairs(t: Test, { title, commands, repairs, more }: Damage): Promise<void> {
    const { mesh, topology } = this
    for (const [place, command] of commands) mesh.run(place === 'one' ? this.one : place, command)
    // Flushing a table takes the rules of others along; those stay gone.
    const inHost = commands.some(([place]) => place === 'host')
    if (inHost) this.others = foreignView(topology.host)
    const pass = await mesh.pass()
    const told = pass.repairs.map(({ change }) => describe(change)).sort()
    if (more) for (const line of repairs) t.ok(told.includes(line), line)
    else t.strictSame(told, [...repairs].sort(), 'the repairs are told')
    await this.isServed(t, `all is served again after ${title}`)
    t.strictSame((await mesh.reconciler.preview()).map(describe), [], 'nothing is left to repair')
    if (inHost || more) t.strictSame(foreignView(topology.host), this.others, 'what is not ours is as it was')
  }
}
