/**
 * Questions about everything else, for the node's own resolvers. So many at a time and no
 * queue behind them: who comes too late is refused at once and can ask somebody else. One
 * resolver after the other is tried, those last that were silent lately.
 */
import type { Transport } from './answer.js'
import { fitted, isTruncated, type Query, rcodeOf, rcodes, withId, writeError } from './message.js'
import { Upstream, type UpstreamAddress } from './upstream.js'

export interface ForwarderOptions {
  /** Questions at a time. */
  readonly limit: number
  /** How long one resolver is waited for, milliseconds. */
  readonly patience: number
}

/** Clients wait for 5 s: two or three tries are over by then. */
export const usualForwarding: ForwarderOptions = { limit: 4096, patience: 1600 }

/** A resolver is asked after all others for so long after it was silent, milliseconds. */
const distrust = 10_000
/** So many questions are sent before others are looked at: answers that are known here go first. */
const turn = 8
/** Resolvers asked at most; and how often a single one is. */
const mostTries = 3
const leastTries = 2

export class Forwarder {
  private readonly options: ForwarderOptions
  private upstreams: readonly Upstream[] = []
  private readonly silentSince = new WeakMap<Upstream, number>()
  /** Questions that are the same to the last bit, but for their number, are asked once. */
  private readonly underWay = new Map<string, Promise<Buffer>>()
  private readonly queue: (() => void)[] = []
  private isScheduled = false
  private asking = 0

  constructor(options: ForwarderOptions) {
    this.options = options
  }

  /** Questions without an answer so far. */
  get pending(): number {
    return this.asking
  }

  /** From now on these, in this order; those that stay are known as before. */
  use(addresses: readonly UpstreamAddress[]): void {
    const before = this.upstreams
    this.upstreams = addresses.map(
      ({ address, port }) =>
        before.find(each => each.address === address && each.port === port) ??
        new Upstream({ address, port }),
    )
    for (const upstream of before) if (!this.upstreams.includes(upstream)) upstream.close()
  }

  /** The response, or an error as one; never rejects. */
  async ask(query: Query, transport: Transport): Promise<Buffer> {
    if (this.asking >= this.options.limit) return writeError(query, rcodes.refused)
    const key = transport + query.message.toString('latin1', 2)
    let response = this.underWay.get(key)
    if (!response) {
      response = this.inTurn(() => this.resolve(query, transport)).finally(() => this.underWay.delete(key))
      this.underWay.set(key, response)
    }
    this.asking++
    try {
      return withId(await response, query.message.readUInt16BE(0))
    } finally {
      this.asking--
    }
  }

  close(): void {
    for (const upstream of this.upstreams) upstream.close()
    this.upstreams = []
  }

  /** Sockets cost time; who asks for what the mesh knows is not to wait for it. */
  private inTurn(work: () => Promise<Buffer>): Promise<Buffer> {
    return new Promise(resolve => {
      this.queue.push(() => resolve(work()))
      this.schedule()
    })
  }

  private schedule(): void {
    if (this.isScheduled || this.queue.length === 0) return
    this.isScheduled = true
    setImmediate(() => {
      this.isScheduled = false
      for (const start of this.queue.splice(0, turn)) start()
      this.schedule()
    })
  }

  private async resolve(query: Query, transport: Transport): Promise<Buffer> {
    const tried = new Set<Upstream>()
    let last: Buffer | null = null
    for (let i = 0; i < mostTries; i++) {
      // Looked up each time: resolv.conf may have changed meanwhile.
      const order = this.inOrder()
      const upstream = order.find(each => !tried.has(each)) ?? (i < leastTries ? order[0] : undefined)
      if (!upstream) break
      tried.add(upstream)
      try {
        const response = await this.askOne(upstream, query, transport)
        this.silentSince.delete(upstream)
        if (!isUseless(response)) return transport === 'udp' ? fitted(response, query) : response
        last = response
      } catch {
        this.silentSince.set(upstream, performance.now())
      }
    }
    return last ?? writeError(query, rcodes.failure)
  }

  private async askOne(upstream: Upstream, query: Query, transport: Transport): Promise<Buffer> {
    const { patience } = this.options
    // Who comes over TCP wants more than a datagram holds.
    if (transport === 'tcp') return upstream.askTcp(query, patience)
    const response = await upstream.askUdp(query, patience)
    if (!isTruncated(response)) return response
    return upstream.askTcp(query, patience).catch(() => response)
  }

  private inOrder(): Upstream[] {
    const now = performance.now()
    const isSilent = (upstream: Upstream) => now - (this.silentSince.get(upstream) ?? -distrust) < distrust
    return [...this.upstreams].sort((a, b) => Number(isSilent(a)) - Number(isSilent(b)))
  }
}

/** Whether another resolver may know better. */
function isUseless(response: Buffer): boolean {
  const rcode = rcodeOf(response)
  return rcode === rcodes.failure || rcode === rcodes.refused || rcode === rcodes.notImplemented
}
