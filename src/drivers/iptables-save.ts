/**
 * The text that `iptables-save` or `ip6tables-save` prints, read: tables, chains, rules, and which of
 * them are the mesh's. Pure; iptables.ts runs the program and iptables-restore.ts
 * writes the other direction.
 */
import type { ChainObject, Family, JumpObject, KernelObject, Place, Table } from '../kernel/objects.js'
import { chainPrefix } from '../kernel/ownership.js'
import { normaliseRule, splitTarget } from './iptables-rule.js'

/** One chain of a saved table. */
export interface SavedChain {
  readonly name: string
  /** PREROUTING and its like; they have a policy, user-defined chains have none. */
  readonly builtIn: boolean
  /** `ACCEPT` or `DROP`; `-` of a user-defined chain. */
  readonly policy: string
  /** Rules without `-A CHAIN`, as printed. */
  readonly rules: string[]
}

export type SavedTables = ReadonlyMap<string, ReadonlyMap<string, SavedChain>>

/** Parses the output of `iptables-save`; comments, counters and empty lines are left out. */
export function parseSave(text: string): SavedTables {
  const tables = new Map<string, Map<string, SavedChain>>()
  let chains: Map<string, SavedChain> | null = null
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map()
      tables.set(line.slice(1).trim(), chains)
    } else if (line.startsWith(':') && chains) {
      const [name = '', policy = '-'] = line.slice(1).split(' ')
      chains.set(name, { name, builtIn: policy !== '-', policy, rules: [] })
    } else if (chains) {
      // `[packets:bytes]` stands in front where counters were asked for
      const found = /^(?:\[\d+:\d+\] )?-A (\S+) ?(.*)$/.exec(line)
      if (found) chains.get(found[1]!)?.rules.push(found[2]!)
    }
  }
  return tables
}

export function isOurs(chain: string): boolean {
  return chain.startsWith(chainPrefix)
}

/** A jump into a chain of ours as it stands in a built-in chain. */
export interface FoundJump {
  readonly from: string
  readonly to: string
  /** Match part, normalised. */
  readonly match: string
  /** The rule as printed, for deleting it by its own words. */
  readonly rule: string
  /** 1 is the first rule. */
  readonly position: number
  /** Only other jumps of ours stand before it. */
  readonly first: boolean
}

/** Every jump into our chains, from built-in chains and from chains of others. */
export function findJumps(chains: ReadonlyMap<string, SavedChain>): FoundJump[] {
  const jumps: FoundJump[] = []
  for (const chain of chains.values()) {
    if (isOurs(chain.name)) continue
    let first = true
    for (const [i, rule] of chain.rules.entries()) {
      const { match, target } = splitTarget(normaliseRule(rule))
      if (target !== null && isOurs(target))
        jumps.push({ from: chain.name, to: target, match, rule, position: i + 1, first })
      else first = false
    }
  }
  return jumps
}

/**
 * What a saved table set holds of ours. A jump that stands behind rules of others,
 * or more than once, is observed with a match that says so and that no wanted jump has.
 */
export function observedObjects(tables: SavedTables, place: Place, family: Family = 'inet'): KernelObject[] {
  const objects: KernelObject[] = []
  for (const [tableName, chains] of tables) {
    const table = tableName as Table
    for (const chain of chains.values()) {
      if (!isOurs(chain.name)) continue
      const rules = chain.rules.map(normaliseRule)
      objects.push({ kind: 'chain', place, family, table, name: chain.name, rules } satisfies ChainObject)
    }
    const byEnds = new Map<string, FoundJump[]>()
    for (const jump of findJumps(chains)) {
      if (!chains.get(jump.from)?.builtIn) continue
      const key = `${jump.from} ${jump.to}`
      byEnds.set(key, [...(byEnds.get(key) ?? []), jump])
    }
    for (const copies of byEnds.values()) objects.push(observedJump(copies, place, family, table))
  }
  return objects
}

function observedJump(copies: readonly FoundJump[], place: Place, family: Family, table: Table): JumpObject {
  const [jump] = copies
  const { from, to, match } = jump!
  const flaws = []
  if (copies.length > 1) flaws.push(`${copies.length} copies`)
  if (!jump!.first) flaws.push(`at rule ${jump!.position}`)
  const suffix = flaws.length > 0 ? ` (${flaws.join(', ')})` : ''
  return { kind: 'jump', place, family, table, from, to, match: `${match}${suffix}`.trimStart() }
}
