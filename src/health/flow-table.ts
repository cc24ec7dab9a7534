/**
 * How many connections the kernel tracks at most. Packets of new ones are dropped when there are
 * so many, and nobody is told but the kernel's log.
 */
import { readFileSync } from 'node:fs'

/** Share of the limit from which on it is told. */
const crowded = 0.8

/** How many connections each namespace may have, 0: any number; null: this kernel tracks none. */
export function flowLimit(): number | null {
  try {
    return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'latin1'))
  } catch {
    return null
  }
}

/** Whether a namespace that has so many has hardly room for more. */
export function isCrowded(count: number, limit: number): boolean {
  return limit > 0 && count >= limit * crowded
}
