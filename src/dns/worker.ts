/**
 * The resolver's thread: answers while the agent's own thread is busy with a pass. Started
 * by resolver.ts, which says here what words they exchange.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Forwarder, type ForwarderOptions } from './forward.js'
import { Listening } from './listening.js'
import type { ZoneChange, ZoneSettings } from './named.js'
import { type ResolvConfPaths, usualPaths, watchResolvConf } from './resolv-conf.js'
import { type Counts, Responder } from './responder.js'
import type { UpstreamAddress } from './upstream.js'
import { Zone } from './zone.js'

export interface WorkerSettings {
  readonly zone: ZoneSettings
  readonly port: number
  /** Path of the sandbox; null: our own namespace. */
  readonly namespace: string | null
  /** null: those of resolv.conf. */
  readonly upstreams: readonly UpstreamAddress[] | null
  /** The usual ones unless given. */
  readonly resolvConf?: ResolvConfPaths
  readonly forwarding: ForwarderOptions
}

/** What the agent's thread says. */
export type Order =
  | { readonly kind: 'change'; readonly change: ZoneChange }
  /** There may be another resolv.conf, or sandbox. */
  | { readonly kind: 'look' }
  | { readonly kind: 'stop' }

/** What is said to it. */
export type Report =
  | { readonly kind: 'served'; readonly address: string }
  | { readonly kind: 'trouble'; readonly message: string | null }
  | { readonly kind: 'upstreams'; readonly upstreams: readonly UpstreamAddress[] }
  | { readonly kind: 'counts'; readonly counts: Counts }

/** Counts are told so long after the first of the questions that changed them, milliseconds. */
const countsAfter = 1000

function main(settings: WorkerSettings): void {
  const tell = (report: Report) => parentPort?.postMessage(report)
  const { zone, port, namespace, upstreams, forwarding, resolvConf = usualPaths } = settings
  const forwarder = new Forwarder(forwarding)
  const responder = new Responder(new Zone(zone), forwarder)
  const use = (found: readonly UpstreamAddress[]) => {
    forwarder.use(found)
    tell({ kind: 'upstreams', upstreams: found })
  }
  const isOther = ({ address, port }: UpstreamAddress) => port !== 53 || !zone.resolver.includes(address)
  const lookAtFile = upstreams ? () => {} : watchResolvConf(zone.resolver, use, resolvConf)
  if (upstreams) use(upstreams.filter(isOther))
  const listening = new Listening({
    addresses: zone.resolver,
    port,
    namespace,
    handle: (...question) => {
      responder.handle(...question)
      tellCountsSoon()
    },
    onTrouble: message => tell({ kind: 'trouble', message }),
    onServed: address => tell({ kind: 'served', address }),
  })
  let told = ''
  let countsTimer: NodeJS.Timeout | null = null
  const tellCounts = () => {
    const { counts } = responder
    const text = JSON.stringify(counts)
    if (text !== told) tell({ kind: 'counts', counts })
    told = text
    // What is forwarded may yet fail.
    countsTimer = forwarder.pending > 0 ? setTimeout(tellCounts, countsAfter) : null
  }
  const tellCountsSoon = () => {
    countsTimer ??= setTimeout(tellCounts, countsAfter)
  }
  const look = () => {
    lookAtFile()
    void listening.look()
  }
  parentPort?.on('message', (order: Order) => {
    if (order.kind === 'change') {
      responder.apply(order.change)
      return tellCountsSoon() // of questions that waited for it
    }
    if (order.kind === 'look') return look()
    if (countsTimer) clearTimeout(countsTimer)
    listening.stop()
    responder.close()
    parentPort?.close()
  })
  void listening.look()
}

main(workerData as WorkerSettings)
