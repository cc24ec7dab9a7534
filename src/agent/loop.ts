/**
 * The running loop: sources in, passes out. What a pass does is in reconcile/, what
 * people are told of it in pass-log.ts.
 */
import type { Logger } from 'pino'
import { reasonOf } from '../errors.js'
import type { PeerWatch } from '../health/peer-watch.js'
import type { Change } from '../kernel/change.js'
import type { Kernel } from '../kernel/driver.js'
import type { KernelObject } from '../kernel/objects.js'
import type { Reach } from '../model/cluster.js'
import { shortId } from '../model/container.js'
import type { Mesh } from '../model/mesh.js'
import type { ContainerSnapshot, ServiceSnapshot } from '../model/snapshot.js'
import { sandboxAddress } from '../planner/addresses.js'
import type { PlanSettings } from '../planner/base.js'
import { type Pass, Reconciler } from '../reconcile/reconcile.js'
import { type PassKind, Runner, type RunnerSettings } from '../reconcile/runner.js'
import type { Source } from '../sources/source.js'
import type { PassView, SourceView } from '../status/views.js'
import type { Cluster } from '../store/cluster.js'
import type { Store } from '../store/store.js'
import { announcement } from './announcement.js'
import type { HeldPorts } from './held-ports.js'
import type { Collected } from './inputs.js'
import { PassLog } from './pass-log.js'
import { Troubles } from './troubles.js'

export interface LoopOptions {
  readonly kernel: Kernel
  readonly collected: Collected
  readonly store: Store
  readonly files: readonly Source<ServiceSnapshot>[]
  readonly docker: Source<ContainerSnapshot>
  /** null: this is the only node. */
  readonly cluster: Cluster | null
  readonly peerWatch: PeerWatch
  readonly heldPorts: HeldPorts
  readonly plan: PlanSettings
  readonly runner: RunnerSettings
  readonly log: Logger
  /** Forgets connection-tracking entries that changes, or those of an agent before, have made stale. */
  readonly forget: (changes: readonly Change[], found: readonly KernelObject[]) => Promise<void>
  readonly onPass: (pass: Pass) => void
  /** Before a full pass: looks at what a plan depends on and nobody tells of. */
  readonly look: () => Promise<void>
  /** A source has delivered, and by now all have. */
  readonly onHeard: () => void
}

/** While destinations drain, their connections are counted so often, milliseconds. */
const drainCheck = 1000

export class Loop {
  readonly troubles = new Troubles()
  readonly reconciler: Reconciler
  readonly collected: Collected
  readonly store: Store
  private readonly options: LoopOptions
  private readonly runner: Runner
  private readonly passLog: PassLog
  private readonly waiters = new Set<{ began: boolean; resolve: () => void }>()
  private drainTimer: NodeJS.Timeout | null = null
  private started = false
  /** What was said last of other nodes. */
  private readonly reach = new Map<string, Reach>()
  /** What the other nodes were last told of before the kernel had it. */
  private foretold: ContainerSnapshot | null = null
  /** Containers that Swarm was last said to be about to stop. */
  private ending: ReadonlySet<string> = new Set()

  constructor(options: LoopOptions) {
    this.options = options
    this.collected = options.collected
    this.store = options.store
    this.reconciler = new Reconciler(options.kernel, () => options.collected.inputs, options.plan)
    this.passLog = new PassLog(this.troubles, this.reconciler.capacity, options.log)
    this.runner = new Runner((kind, signal) => this.pass(kind, signal), options.runner)
  }

  /** Begins to listen to the sources; passes begin when each has delivered once. */
  start(): void {
    const { store, files, docker, cluster, collected } = this.options
    for (const source of [store, ...files])
      source.start(
        snapshot => {
          collected.putServices(source.name, snapshot)
          this.heard()
        },
        error => this.trouble(source.name, error),
      )
    docker.start(
      snapshot => {
        collected.putContainers(docker.name, snapshot)
        this.heard()
      },
      error => this.trouble(docker.name, error),
    )
    cluster?.start(
      snapshot => {
        collected.putCluster(cluster.name, snapshot)
        this.watchPeers()
        this.heard()
      },
      error => this.trouble(cluster.name, error),
    )
  }

  /** Ends passes and sources; the kernel keeps what it has. */
  async stop(): Promise<void> {
    if (this.drainTimer) clearTimeout(this.drainTimer)
    this.options.peerWatch.stop()
    await this.runner.stop()
    await Promise.all(this.allSources.map(source => source.stop()))
  }

  private get allSources(): { readonly name: string; stop(): Promise<void> }[] {
    const { store, files, docker, cluster } = this.options
    return [store, ...files, docker, ...(cluster ? [cluster] : [])]
  }

  /** Resolves when a pass that began after this call is over; at once while sources are still awaited. */
  settled(): Promise<void> {
    if (!this.started) return Promise.resolve()
    return new Promise(resolve => {
      this.waiters.add({ began: false, resolve })
      this.runner.mark('fast')
    })
  }

  /** What the next full pass would change. */
  preview(): Promise<Change[]> {
    return this.runner.exclusive(() => this.reconciler.preview())
  }

  get lastPass(): PassView | null {
    return this.passLog.last
  }

  /** Whether Docker has said once which containers there are. */
  get hasHeardDocker(): boolean {
    return !this.collected.isWaiting(this.options.docker.name)
  }

  get sources(): SourceView[] {
    return this.allSources.map(({ name }) => {
      const message = this.troubles.get(name)
      const state = message === null ? (this.collected.isWaiting(name) ? 'waiting' : 'ready') : 'trouble'
      return { name, state, message }
    })
  }

  /** The other nodes are watched once the tunnel to them is there. */
  private watchPeers(): void {
    const { collected, peerWatch } = this.options
    if (!this.started || this.passLog.last === null) return
    const { name } = collected.own
    const peers = collected.nodes.nodes.filter(node => node.name !== name)
    peerWatch.watch(peers.map(node => ({ name: node.name, address: sandboxAddress(node.subnet) })))
  }

  /** What comes back from another node through the tunnel. */
  reachOf(node: string): Reach {
    return this.options.peerWatch.reachOf(node)
  }

  /** Another node was lost or found. */
  peersChanged(): void {
    const { collected, log, peerWatch } = this.options
    for (const { name } of collected.nodes.nodes) {
      const reach = peerWatch.reachOf(name)
      if ((this.reach.get(name) ?? 'reached') === reach) continue
      this.reach.set(name, reach)
      log.warn({ node: name, reach }, 'another node')
    }
    this.runner.mark('fast')
  }

  private trouble(source: string, error: Error | null): void {
    const { log } = this.options
    const news = this.troubles.set(source, error && reasonOf(error))
    if (!news) return
    if (error) log.warn({ source, reason: reasonOf(error) }, 'source in trouble')
    else log.info({ source }, 'source recovered')
  }

  private heard(): void {
    const { collected, log, plan } = this.options
    const clashes = new Map(
      collected.services.clashes.map(({ origin, reason }, i) => [`clash ${origin} ${i}`, reason]),
    )
    for (const reason of this.troubles.replace('clash ', clashes)) log.warn({ reason }, 'service left out')
    if (!collected.complete) return
    this.noteEndings()
    this.options.onHeard()
    if (this.started) {
      this.runner.mark('fast')
      return
    }
    this.started = true
    log.info({ services: collected.services.services.length, sandbox: plan.sandboxPath }, 'all sources heard')
    this.runner.start()
  }

  private noteEndings(): void {
    const { collected, log } = this.options
    if (collected.ending === this.ending) return
    const come = [...collected.ending].filter(id => !this.ending.has(id))
    if (come.length > 0) log.info({ containers: come.map(shortId) }, 'Swarm is about to stop containers')
    this.ending = collected.ending
  }

  private async pass(kind: PassKind, signal: AbortSignal): Promise<boolean | null> {
    for (const waiter of this.waiters) waiter.began = true
    try {
      if (kind === 'full') await this.options.look()
      await this.lookAtPorts(kind)
      const pass = await this.reconciler.pass(kind, signal, mesh => this.foretell(mesh))
      await this.told(pass)
      if (pass.gaveUp) return null
      return pass.outcomes.every(({ error }) => error === null) && pass.blind.size === 0
    } catch (error) {
      this.passLog.failed(error)
      return false
    } finally {
      for (const waiter of this.waiters)
        if (waiter.began) {
          this.waiters.delete(waiter)
          waiter.resolve()
        }
    }
  }

  /** Which published ports others have here; whether those are free by now only a full pass asks. */
  private async lookAtPorts(kind: PassKind): Promise<void> {
    const { collected, heldPorts } = this.options
    const asked = () => ({ services: collected.services.services, snapshot: collected.containers })
    await heldPorts.look(asked, kind === 'full')
  }

  private async told(pass: Pass): Promise<void> {
    const { log, forget, onPass } = this.options
    const first = this.passLog.last === null
    this.passLog.note(pass)
    if (first) this.watchPeers()
    const done = pass.outcomes.filter(({ error }) => error === null).map(({ change }) => change)
    await forget(done, pass.found).catch(error =>
      log.warn({ reason: reasonOf(error) }, 'stale flows not forgotten'),
    )
    onPass(pass)
    this.announce(this.reconciler.mesh)
    if (this.reconciler.draining > 0 && !this.drainTimer)
      this.drainTimer = setTimeout(() => {
        this.drainTimer = null
        this.runner.mark('full')
      }, drainCheck)
  }

  /** Whether others may lead to a container that is attached depends on nothing that a pass changes here. */
  private foretell(mesh: Mesh): void {
    const { containers } = this.collected
    if (this.foretold === containers) return
    this.foretold = containers
    this.announce(mesh)
  }

  private announce(mesh: Mesh): void {
    const { reconciler, collected } = this
    const { cluster, log } = this.options
    cluster
      ?.announce(announcement(mesh, reconciler, collected), collected.containers.ending)
      .catch(error => log.warn({ reason: reasonOf(error) }, 'containers not announced'))
  }
}
