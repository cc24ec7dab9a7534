/**
 * What people are told of passes: troubles and repairs for the API, the last pass, and
 * lines of the log. loop.ts runs the passes and calls this after each.
 */
import type { Logger } from 'pino'
import { reasonOf } from '../errors.js'
import type { Outcome } from '../kernel/change.js'
import { keyOf } from '../kernel/objects.js'
import type { Pass } from '../reconcile/reconcile.js'
import { describe } from '../status/describe.js'
import type { PassView } from '../status/views.js'
import type { Troubles } from './troubles.js'

export class PassLog {
  private readonly troubles: Troubles
  private readonly capacity: number
  private readonly log: Logger
  private latest: PassView | null = null

  /** `capacity`: how many addresses the node has for containers. */
  constructor(troubles: Troubles, capacity: number, log: Logger) {
    this.troubles = troubles
    this.capacity = capacity
    this.log = log
  }

  /** The last pass that came to its end; null: there was none yet. */
  get last(): PassView | null {
    return this.latest
  }

  note(pass: Pass): void {
    const failed = pass.outcomes.filter(({ error }) => error !== null)
    this.latest = {
      at: new Date().toISOString(),
      ms: Math.round(pass.duration * 10) / 10,
      kind: pass.kind,
      changes: pass.outcomes.length,
      failures: failed.length,
    }
    this.noteTroubles(pass, failed)
    this.logChanges(pass)
    this.noteRepairs(pass)
    const { kind, changes, failures, ms } = this.latest
    if (changes > 0) this.log.info({ kind, changes, failures, repairs: pass.repairs.length, ms }, 'pass')
  }

  /** A pass threw: nothing is known of what it did. */
  failed(error: unknown): void {
    const reason = reasonOf(error)
    if (this.troubles.set('kernel', reason)) this.log.error({ reason }, 'pass failed')
  }

  private noteTroubles(pass: Pass, failed: readonly Outcome[]): void {
    const { log, troubles } = this
    const now = new Map(
      failed.map(({ change, error }) => [`change ${keyOf(change.object)}`, reasonOf(error)]),
    )
    // Only a full pass has looked everywhere and may say that a failure is over.
    if (pass.kind === 'full')
      for (const reason of troubles.replace('change ', now)) log.error({ reason }, 'change failed')
    else
      for (const [subject, reason] of now)
        if (troubles.set(subject, reason)) log.error({ reason }, 'change failed')
    const blind = new Map([...pass.blind].map(([kind, error]) => [`kernel ${kind}`, reasonOf(error)]))
    for (const reason of troubles.replace('kernel', blind)) log.error({ reason }, 'kernel not readable')
    this.noteCapacity(pass.unaddressed.length)
  }

  /** `lacking`: containers that have no address. */
  private noteCapacity(lacking: number): void {
    const { capacity, log, troubles } = this
    const exhausted = `${capacity} of ${capacity} addresses of the node's subnet are taken and ${lacking} more are needed; give the node a larger share of the pool (--node-prefix)`
    if (troubles.set('addresses', lacking > 0 ? exhausted : null) && lacking > 0) log.error(exhausted)
  }

  private noteRepairs(pass: Pass): void {
    const repaired = pass.repairs.filter(({ error }) => error === null).map(({ change }) => describe(change))
    for (const change of repaired) this.log.warn({ change }, 'repaired')
    this.troubles.repaired(repaired)
  }

  private logChanges(pass: Pass): void {
    if (!this.log.isLevelEnabled('debug')) return
    for (const { change, error } of pass.outcomes)
      this.log.debug({ change: describe(change), ...(error ? { reason: reasonOf(error) } : {}) }, 'change')
  }
}
