/**
 * What a server does with a message: asks the zone, or others by the forwarder. Holds back
 * questions about the mesh for the moment in which the agent has just started and does
 * not know it yet.
 */
import { answer, type Transport } from './answer.js'
import type { Forwarder } from './forward.js'
import { type Query, rcodeOf, rcodes, writeError } from './message.js'
import type { ZoneChange } from './named.js'
import type { Zone } from './zone.js'

/** How long and how many questions are held back: milliseconds, less than clients wait. */
const holding = 3000
const mostHeld = 1000

/** What became of queries. */
export interface Counts {
  /** Answered here: out of the zone, or with an error for what they are. */
  answered: number
  forwarded: number
  /** Of those forwarded: got no answer, there being too many at a time or nobody who knew. */
  failed: number
}

interface Held {
  readonly again: () => void
  readonly timer: NodeJS.Timeout
}

export class Responder {
  readonly counts: Counts = { answered: 0, forwarded: 0, failed: 0 }
  private readonly zone: Zone
  private readonly forwarder: Forwarder
  private readonly held = new Set<Held>()

  constructor(zone: Zone, forwarder: Forwarder) {
    this.zone = zone
    this.forwarder = forwarder
  }

  /** From now on the zone is like that. */
  apply(change: ZoneChange): void {
    this.zone.apply(change)
    for (const { again, timer } of this.held) {
      clearTimeout(timer)
      again()
    }
    this.held.clear()
  }

  /** `caller`: the address it came from. `reply` may be called at once, later or never. */
  handle(message: Buffer, caller: string, transport: Transport, reply: (response: Buffer) => void): void {
    const verdict = answer(message, this.zone, caller, transport)
    if (verdict.kind === 'drop') return
    if (verdict.kind === 'answer') {
      this.counts.answered++
      reply(verdict.response)
    } else if (verdict.kind === 'wait') {
      this.hold(verdict.query, () => this.handle(message, caller, transport, reply), reply)
    } else {
      this.counts.forwarded++
      void this.forwarder.ask(verdict.query, transport).then(response => {
        const rcode = rcodeOf(response)
        if (rcode === rcodes.failure || rcode === rcodes.refused) this.counts.failed++
        reply(response)
      })
    }
  }

  private hold(query: Query, again: () => void, reply: (response: Buffer) => void): void {
    if (this.held.size >= mostHeld) {
      reply(writeError(query, rcodes.failure))
      return
    }
    const held: Held = {
      again,
      timer: setTimeout(() => {
        this.held.delete(held)
        reply(writeError(query, rcodes.failure))
      }, holding),
    }
    this.held.add(held)
  }

  close(): void {
    for (const { timer } of this.held) clearTimeout(timer)
    this.held.clear()
    this.forwarder.close()
  }
}
