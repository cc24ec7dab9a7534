/**
 * What is wrong at the moment, by subject, with the time it began; and what was
 * repaired lately. Health is the absence of troubles.
 */
import type { RepairView, TroubleView } from '../status/views.js'

/** How many repairs are remembered. */
const remembered = 100

export class Troubles {
  private readonly bySubject = new Map<string, TroubleView>()
  private readonly mended: RepairView[] = []

  /** Notes a trouble, or with null its end. Returns whether this is news. */
  set(subject: string, message: string | null): boolean {
    const before = this.bySubject.get(subject)
    if (message === null) return this.bySubject.delete(subject)
    if (before?.message === message) return false
    const since = before?.since ?? new Date().toISOString()
    this.bySubject.set(subject, { subject, message, since })
    return true
  }

  /** Replaces all troubles whose subject begins with `prefix` by these. Returns those that are news. */
  replace(prefix: string, troubles: ReadonlyMap<string, string>): string[] {
    for (const subject of this.bySubject.keys())
      if (subject.startsWith(prefix) && !troubles.has(subject)) this.bySubject.delete(subject)
    return [...troubles]
      .filter(([subject, message]) => this.set(subject, message))
      .map(([, message]) => message)
  }

  /** Notes the repairs of one pass: the newest pass comes first, and of a pass what it did first. */
  repaired(whats: readonly string[]): void {
    const at = new Date().toISOString()
    this.mended.unshift(...whats.map(what => ({ at, what })))
    this.mended.length = Math.min(this.mended.length, remembered)
  }

  get(subject: string): string | null {
    return this.bySubject.get(subject)?.message ?? null
  }

  get list(): TroubleView[] {
    return [...this.bySubject.values()]
  }

  get repairs(): readonly RepairView[] {
    return this.mended
  }
}
