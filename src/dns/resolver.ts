/**
 * The resolver as the agent has it: a thread of its own (worker.ts), told what is new, and
 * started again with all there is should it ever crash.
 */
import { Worker } from 'node:worker_threads'
import { reasonOf } from '../errors.js'
import { namespaceIdentity } from '../netlink/addon.js'
import type { Caller, NamedService, ZoneChange } from './named.js'
import { stampOf } from './resolv-conf.js'
import type { Counts } from './responder.js'
import type { UpstreamAddress } from './upstream.js'
import type { Order, Report, WorkerSettings } from './worker.js'

export interface ResolverOptions extends WorkerSettings {
  /** What is wrong, or null when nothing is any more. */
  readonly onTrouble: (message: string | null) => void
}

/** A thread that crashed is started again after so long, and not spoken of any more after so long; milliseconds. */
const restartAfter = 500
const forgiveAfter = 10_000

export class Resolver {
  private readonly options: ResolverOptions
  private worker: Worker | null = null
  private timer: NodeJS.Timeout | null = null
  private isStopped = false
  /** What it has been told, all changes together; null: nothing yet. */
  private services: ReadonlyMap<string, NamedService> | null = null
  private callers: ReadonlyMap<string, Caller> = new Map()
  /** What the thread was last told to look at. */
  private surroundings = ''
  private readonly servedAddresses = new Set<string>()
  private known: readonly UpstreamAddress[] = []
  private former: Counts = none
  private latest: Counts = none

  constructor(options: ResolverOptions) {
    this.options = options
  }

  start(): void {
    const { onTrouble, ...workerData } = this.options
    const settings: WorkerSettings = workerData
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: settings })
    worker.unref() // an agent that cannot begin ends, whatever goes on here
    this.worker = worker
    let reason = 'it ended'
    worker.on('message', (report: Report) => this.heard(report))
    worker.on('error', error => {
      reason = reasonOf(error)
    })
    worker.on('exit', () => {
      this.servedAddresses.clear()
      this.former = sum(this.former, this.latest)
      this.latest = none
      if (this.isStopped) return
      onTrouble(`the resolver's thread crashed and is started again: ${reason}`)
      this.timer = setTimeout(() => {
        this.start()
        this.timer = setTimeout(() => onTrouble(null), forgiveAfter)
      }, restartAfter)
    })
    if (this.services) this.tell(changeOf(null, this.services, new Map(), this.callers))
  }

  /** All services and callers there are; only what is new goes over to the thread. */
  update(services: ReadonlyMap<string, NamedService>, callers: ReadonlyMap<string, Caller>): void {
    const change = changeOf(this.services, services, this.callers, callers)
    const isFirst = this.services === null
    this.services = services
    this.callers = callers
    const isNews = change.services.length + change.gone.length + change.callers.length > 0
    if (isFirst || isNews) this.tell(change)
  }

  /**
   * To be called every few seconds, for nobody tells of another resolv.conf or sandbox. The thread, which
   * would take longer to wake up than this takes, is told if there is one.
   */
  look(): void {
    const { namespace, upstreams, resolvConf } = this.options
    const now = `${identityOf(namespace)} ${upstreams === null ? stampOf(resolvConf) : ''}`
    if (now !== this.surroundings) this.worker?.postMessage({ kind: 'look' } satisfies Order)
    this.surroundings = now
  }

  async stop(): Promise<void> {
    this.isStopped = true
    if (this.timer) clearTimeout(this.timer)
    const { worker } = this
    if (!worker) return
    const ended = new Promise<void>(resolve => worker.once('exit', () => resolve()))
    worker.postMessage({ kind: 'stop' } satisfies Order)
    const timer = setTimeout(() => void worker.terminate(), 1000)
    await ended
    clearTimeout(timer)
  }

  /** Addresses at which it answers now. */
  get served(): readonly string[] {
    return [...this.servedAddresses]
  }

  /** Whom it asks for everything else. */
  get upstreams(): readonly UpstreamAddress[] {
    return this.known
  }

  /** Since the agent started, a second old at most. */
  get counts(): Counts {
    return sum(this.former, this.latest)
  }

  private tell(change: ZoneChange): void {
    this.worker?.postMessage({ kind: 'change', change } satisfies Order)
  }

  private heard(report: Report): void {
    if (report.kind === 'served') this.servedAddresses.add(report.address)
    else if (report.kind === 'upstreams') this.known = report.upstreams
    else if (report.kind === 'counts') this.latest = report.counts
    else this.options.onTrouble(report.message)
  }
}

/** Of the sandbox; empty while there is none. */
function identityOf(namespace: string | null): string {
  try {
    return namespaceIdentity(namespace)
  } catch {
    return ''
  }
}

const none: Counts = { answered: 0, forwarded: 0, failed: 0 }

function sum(a: Counts, b: Counts): Counts {
  return {
    answered: a.answered + b.answered,
    forwarded: a.forwarded + b.forwarded,
    failed: a.failed + b.failed,
  }
}

/** What is new, told by reference: who makes these objects keeps those that stay the same. */
function changeOf(
  before: ReadonlyMap<string, NamedService> | null,
  services: ReadonlyMap<string, NamedService>,
  formerCallers: ReadonlyMap<string, Caller>,
  callers: ReadonlyMap<string, Caller>,
): ZoneChange {
  return {
    services: [...services].flatMap(([name, service]) => (before?.get(name) === service ? [] : [service])),
    gone: before ? [...before.keys()].filter(name => !services.has(name)) : [],
    callers: [
      ...[...formerCallers.keys()]
        .filter(address => !callers.has(address))
        .map(address => [address, null] as const),
      ...[...callers].filter(([address, caller]) => formerCallers.get(address) !== caller),
    ],
  }
}
