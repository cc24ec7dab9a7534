/**
 * How full the kernel's table of tracked connections is. Packets of new connections are dropped
 * when it is full, and nobody is told but the kernel's log.
 */
import { readFileSync } from 'node:fs'
import { runInNamespace } from '../netlink/addon.js'

export interface FlowTable {
  /** Connections that a namespace has in it. */
  readonly count: number
  /** How many each namespace may have; 0: any number. */
  readonly limit: number
}

/** Share of the limit from which on it is told. */
const crowded = 0.8

function read(name: 'count' | 'max'): number {
  return Number(readFileSync(`/proc/sys/net/netfilter/nf_conntrack_${name}`, 'latin1'))
}

/** How many connections each namespace may have; null: this kernel tracks none. */
export function flowLimit(): number | null {
  try {
    return read('max')
  } catch {
    return null
  }
}

/** That of the namespace at `path`, null: our own. Throws when there is none, or it tracks nothing. */
export function readFlowTable(path: string | null): FlowTable {
  const both = () => ({ count: read('count'), limit: read('max') })
  return path === null ? both() : runInNamespace(path, both)
}

export function isCrowded({ count, limit }: FlowTable): boolean {
  return limit > 0 && count >= limit * crowded
}
