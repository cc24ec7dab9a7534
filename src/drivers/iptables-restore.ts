/**
 * The text for `iptables-restore --noflush` that makes given changes of chains and
 * jumps. Pure; it is told what the kernel holds, so that a jump is deleted in each of
 * its copies, by the words it stands there in, and nothing is asked for twice.
 */
import type { Change } from '../kernel/change.js'
import type { ChainObject, JumpObject, Table } from '../kernel/objects.js'
import { normaliseRule } from './iptables-rule.js'
import { type FoundJump, findJumps, type SavedTables } from './iptables-save.js'

/** A line of restore text and the change it serves; null for `*nat` and `COMMIT`. */
export interface RestoreLine {
  readonly text: string
  readonly change: Change | null
}

type ChainChange = Change & { readonly object: ChainObject }
type JumpChange = Change & { readonly object: JumpObject }

function isChainChange(change: Change): change is ChainChange {
  return change.object.kind === 'chain'
}

function isJumpChange(change: Change): change is JumpChange {
  return change.object.kind === 'jump'
}

/**
 * Lines for all changes, table by table; empty when the kernel is so already.
 * Within a table chains come first and jumps after them; what is removed goes in
 * the reverse order. A table is committed as a whole or not at all.
 */
export function restoreLines(changes: readonly Change[], saved: SavedTables): RestoreLine[] {
  const lines: RestoreLine[] = []
  const tables = new Set(changes.filter(c => isChainChange(c) || isJumpChange(c)).map(tableOf))
  for (const table of tables) {
    const own = changes.filter(change => tableOf(change) === table)
    const body = tableLines(own, saved, table)
    if (body.length === 0) continue
    lines.push({ text: `*${table}`, change: null }, ...body, { text: 'COMMIT', change: null })
  }
  return lines
}

function tableOf(change: Change): Table {
  return (change.object as ChainObject | JumpObject).table
}

function tableLines(changes: readonly Change[], saved: SavedTables, table: Table): RestoreLine[] {
  const chains = saved.get(table) ?? new Map()
  const jumps = findJumps(chains)
  const lines: RestoreLine[] = []
  const line = (text: string, change: Change) => lines.push({ text, change })

  const written = changes.filter(isChainChange).filter(change => change.type !== 'remove')
  // of a chain that is there already this line drops its rules, within the same commit
  for (const change of written) line(`:${change.object.name} - [0:0]`, change)
  for (const change of written)
    for (const rule of change.object.rules) line(`-A ${change.object.name} ${rule}`, change)

  for (const change of changes.filter(isJumpChange)) {
    const { from, to, match } = change.object
    const copies = jumps.filter(jump => jump.from === from && jump.to === to)
    if (change.type !== 'remove' && isInPlace(copies, match)) continue
    for (const copy of copies) line(`-D ${from} ${copy.rule}`, change)
    if (change.type !== 'remove') line(`-I ${from} 1 ${[match, '-j', to].filter(Boolean).join(' ')}`, change)
  }

  const removed = changes.filter(isChainChange).filter(c => c.type === 'remove' && chains.has(c.object.name))
  for (const change of removed)
    for (const text of foreignReferences(change, changes, jumps)) line(text, change)
  // first all flushed, then all deleted: chains of ours may refer to one another
  for (const change of removed) line(`-F ${change.object.name}`, change)
  for (const change of removed) line(`-X ${change.object.name}`, change)
  return lines
}

function isInPlace(copies: readonly FoundJump[], match: string): boolean {
  return copies.length === 1 && copies[0]!.first && copies[0]!.match === normaliseRule(match)
}

/** Jumps into a chain to be removed that nobody else removes: left in a chain of others they would hold it. */
function foreignReferences(
  change: ChainChange,
  changes: readonly Change[],
  jumps: readonly FoundJump[],
): string[] {
  const { name } = change.object
  const handled = new Set(changes.filter(isJumpChange).map(jump => `${jump.object.from} ${jump.object.to}`))
  return jumps
    .filter(jump => jump.to === name && !handled.has(`${jump.from} ${jump.to}`))
    .map(jump => `-D ${jump.from} ${jump.rule}`)
}

/** The line number, from 1, that a restore program complains of; null where it names none. */
export function failingLine(stderr: string): number | null {
  const found = /\bline:? (\d+)/i.exec(stderr)
  return found ? Number(found[1]) : null
}
