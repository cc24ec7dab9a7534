/**
 * A node of the mesh inside a Topology: the real planner, loop and drivers on the real
 * kernel; only the sources are played by the test.
 */
import { release } from 'node:os'
import { kernelOf } from '../../src/agent/kernel.js'
import { createDrivers } from '../../src/drivers/all.js'
import { forgetFlows, staleFlows } from '../../src/drivers/conntrack.js'
import { findVariant } from '../../src/drivers/iptables-variant.js'
import { Sockets } from '../../src/drivers/sockets.js'
import type { Change } from '../../src/kernel/change.js'
import { diff } from '../../src/kernel/diff.js'
import type { Driver, Kernel, Places } from '../../src/kernel/driver.js'
import { containerPlace, type KernelObject, type SysctlObject, stateOf } from '../../src/kernel/objects.js'
import type { HostNode, RemoteContainer } from '../../src/model/cluster.js'
import type { Container } from '../../src/model/container.js'
import type { Service } from '../../src/model/service.js'
import type { Node } from '../../src/model/snapshot.js'
import { noNeeds, type PlanSettings, planBase } from '../../src/planner/base.js'
import { type Pass, Reconciler } from '../../src/reconcile/reconcile.js'
import type { PassKind } from '../../src/reconcile/runner.js'
import { describe } from '../../src/status/describe.js'
import { runIn } from './namespaces.js'
import { addresses, hostAddress, type Topology } from './topology.js'

const onlyNode: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.254.0.0/16',
  addresses: ['172.17.0.1', hostAddress],
  membership: null,
}

export class MeshNode {
  services: Service[] = []
  containers: Container[] = []
  /** Containers of other nodes. */
  remote: RemoteContainer[] = []
  /** The nodes of the mesh as places of processes. */
  hosts: readonly HostNode[] = []
  node: Node
  now = Math.floor(Date.now() / 1000)
  /** So many changes the next pass makes before the agent is killed in the midst of it; null: all. */
  private killedAfter: number | null = null
  private madeBefore: readonly Change[] = []
  kernel: Kernel
  reconciler: Reconciler
  readonly settings: PlanSettings
  readonly topology: Topology
  private sockets = new Sockets()
  private readonly newDrivers: (sockets: Sockets) => Driver[]

  private constructor(
    topology: Topology,
    newDrivers: (sockets: Sockets) => Driver[],
    settings: PlanSettings,
    node: Node,
  ) {
    this.node = node
    this.topology = topology
    this.newDrivers = newDrivers
    this.settings = settings
    this.kernel = this.newKernel()
    this.reconciler = this.newReconciler()
  }

  /**
   * `around`: what stands between the loop and each driver, to watch it. `changed`:
   * settings other than the usual ones.
   */
  static async create(
    topology: Topology,
    around: (driver: Driver) => Driver = driver => driver,
    changed: Partial<PlanSettings> = {},
    node = onlyNode,
  ): Promise<MeshNode> {
    const settings: PlanSettings = {
      sandboxPath: topology.sandboxPath,
      mtu: 1500,
      tcpTimeout: 7500,
      tcpFinTimeout: 120,
      udpTimeout: 300,
      kernelRelease: release(),
      formerIpForward: '1',
      ipv6: null,
      ...changed,
    }
    const base = planBase(node, settings, noNeeds)
    const sysctls = base.filter((object): object is SysctlObject => object.kind === 'sysctl')
    const { variant } = await findVariant(topology.host)
    const newDrivers = (sockets: Sockets) =>
      createDrivers({ variant, ipv6: settings.ipv6 !== null, sockets, sysctls }).map(around)
    const own = settings.ipv6 ? [addresses.inet6.bridge, topology.addressIn('inet6')] : []
    return new MeshNode(topology, newDrivers, settings, { ...node, addresses: [...node.addresses, ...own] })
  }

  private newKernel(): Kernel {
    const { observe, apply } = kernelOf(this.newDrivers(this.sockets))
    return {
      observe,
      apply: async (changes, places) => {
        if (this.killedAfter === null) return apply(changes, places)
        this.madeBefore = changes.slice(0, this.killedAfter)
        await apply(this.madeBefore, places)
        throw new Error('killed')
      },
    }
  }

  private newReconciler(): Reconciler {
    return new Reconciler(
      this.kernel,
      () => ({
        services: this.services,
        containers: {
          containers: this.containers,
          swarmServices: [],
          swarmPorts: [],
          declarations: null,
          ending: [],
        },
        node: this.node,
        remote: this.remote,
        hosts: this.hosts,
      }),
      this.settings,
      this.topology.host,
      () => this.now,
    )
  }

  /** What a restarted agent begins with: nothing but the kernel and its sources. */
  restart(): void {
    this.sockets.close()
    this.sockets = new Sockets()
    this.killedAfter = null
    this.kernel = this.newKernel()
    this.reconciler = this.newReconciler()
  }

  /** A pass in the midst of which the agent is killed, and its restart. Returns the changes it had made. */
  async killedPass(kind: PassKind, after: number): Promise<readonly Change[]> {
    this.killedAfter = after
    this.madeBefore = []
    try {
      await this.reconciler.pass(kind)
    } catch (error) {
      if ((error as Error).message !== 'killed') throw error
    }
    this.restart()
    return this.madeBefore
  }

  /** One pass, all of whose changes must succeed. */
  async pass(kind: PassKind = 'full'): Promise<Pass> {
    const pass = await this.reconciler.pass(kind)
    for (const { change, error } of pass.outcomes)
      if (error) throw new Error(`${describe(change)}: ${error.message}`, { cause: error })
    const stale = staleFlows(
      pass.outcomes.map(({ change }) => change),
      pass.found,
    )
    await forgetFlows(stale, this.sockets, this.places())
    return pass
  }

  /** Changes of a pass as an operator would type them. */
  static text(pass: Pass): string[] {
    return pass.outcomes.map(({ change }) => describe(change))
  }

  /** Runs a command line in host, sandbox or a container; words are split at blanks. */
  run(where: 'host' | 'mesh' | Container, command: string): string {
    const path =
      where === 'host'
        ? this.topology.host
        : where === 'mesh'
          ? this.settings.sandboxPath
          : this.topology.pathOf(where)
    return runIn(path, command.split(' '))
  }

  places(): Places {
    return new Map([
      ['host', this.topology.host],
      ['mesh', this.settings.sandboxPath],
      ...this.containers.map(
        ({ id, pid }) =>
          [containerPlace(id, pid), `/proc/${pid}/ns/net`] as [ReturnType<typeof containerPlace>, string],
      ),
    ])
  }

  /** All that the kernel holds of the mesh, as text, with containers by name instead of their addresses. */
  async held(): Promise<string[]> {
    const { objects } = await this.kernel.observe(this.places())
    const names = new Map(this.containers.map(({ id, name }) => [this.reconciler.addressOf(id) ?? id, name]))
    const text = (object: KernelObject) =>
      JSON.stringify(object).replaceAll(/\d+\.\d+\.\d+\.\d+/g, address => names.get(address) ?? address)
    return objects.map(text).sort()
  }

  /** Takes everything off the kernel. */
  async wipe(): Promise<void> {
    const sight = await this.kernel.observe(this.places())
    const ours = sight.objects.filter(({ kind }) => kind !== 'sysctl' && kind !== 'timeouts')
    await this.kernel.apply(diff(new Map(), stateOf(ours)), this.places())
  }

  /** Takes everything off, and is done. */
  async clean(): Promise<void> {
    await this.wipe()
    this.sockets.close()
  }
}
