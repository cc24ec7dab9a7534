/**
 * Driver of chains and jumps: `iptables-save` to see what is there, where something has changed since the
 * last time; one `iptables-restore --noflush` per place and family to apply. Chains and rules of others are
 * never named in what it writes. The text itself is read and written by iptables-save.ts and
 * iptables-restore.ts.
 */
import { MeshError, ProgramError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { ChainObject, Family, JumpObject, KernelObject, Place } from '../kernel/objects.js'
import { fingerprintOf, noTables } from './iptables-fingerprint.js'
import { failingLine, type RestoreLine, restoreLines } from './iptables-restore.js'
import { observedObjects, parseSave, type SavedTables } from './iptables-save.js'
import type { Variant } from './iptables-variant.js'
import { groupByPlace, Outcomes, pathOf, placeIsGone } from './places.js'
import { loadModule, runProgram } from './programs.js'
import { sameList } from './same-list.js'

/** Chains of ours exist in these places only; containers are left alone. */
const ownPlaces: readonly Place[] = ['host', 'mesh']

/** One of the iptables of the kernel: variant and family, in the namespace at `path`. */
interface Iptables {
  readonly variant: Variant
  readonly family: Family
  readonly path: string | null
}

/** `iptables-legacy`, `ip6tables-nft`. */
function programOf({ variant, family }: Iptables): string {
  return `${family === 'inet6' ? 'ip6tables' : 'iptables'}-${variant}`
}

/** What was seen last in a place, and by what to tell whether it still is so. */
interface Seen {
  readonly fingerprint: string | null
  readonly tables: SavedTables
  readonly objects: readonly KernelObject[]
}

/** `ipv6`: whether ip6tables is wanted. Where it is not, it is read only as long as it holds something of ours. */
export function createIptablesDriver(variant: Variant, ipv6 = false): Driver {
  let mayHoldIpv6 = true
  let last: readonly KernelObject[] = []
  const seen = new Map<string, Seen>()
  const see = async (iptables: Iptables, place: Place): Promise<Seen> => {
    const key = `${iptables.family} ${place}`
    const before = seen.get(key)
    seen.delete(key)
    // Before the rules themselves: a change in between is seen by the next look.
    const fingerprint = await fingerprintOf(variant, iptables.family, iptables.path)
    if (fingerprint === null) return read(iptables, place)
    const now = before?.fingerprint === fingerprint ? before : await read(iptables, place, fingerprint)
    seen.set(key, now)
    return now
  }
  const observePlace = async (family: Family, place: Place, places: Places) => {
    try {
      return (await see({ variant, family, path: pathOf(places, place) }, place)).objects
    } catch (error) {
      if (placeIsGone(error)) return []
      throw error
    }
  }
  const observeAll = async (places: Places) => {
    const own = ownPlaces.filter(place => places.has(place))
    const look = (family: Family) =>
      Promise.all(own.map(place => observePlace(family, place, places))).then(found => found.flat())
    if (ipv6) return (await Promise.all([look('inet'), look('inet6')])).flat()
    const objects = await look('inet')
    if (!mayHoldIpv6) return objects
    // Nobody wants it: a machine without ip6tables has none either.
    const left = await look('inet6').catch(() => [])
    mayHoldIpv6 = left.length > 0
    return [...objects, ...left]
  }
  return {
    name: 'iptables',
    kinds: ['chain', 'jump'],
    async observe(places) {
      last = sameList(last, await observeAll(places))
      return { objects: last }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      for (const [place, all] of groupByPlace(changes))
        for (const family of ['inet', 'inet6'] as const) {
          const own = all.filter(({ object }) => (object as ChainObject | JumpObject).family === family)
          if (own.length === 0) continue
          try {
            const iptables = { variant, family, path: pathOf(places, place) }
            await applyInPlace(iptables, own, async () => (await see(iptables, place)).tables, outcomes)
          } catch (error) {
            outcomes.failAll(own, error)
          }
        }
      return outcomes.list(changes)
    },
  }
}

/** `fingerprint`: from before; null where there is none. */
async function read(iptables: Iptables, place: Place, fingerprint: string | null = null): Promise<Seen> {
  const argv = [`${programOf(iptables)}-save`]
  const text = fingerprint === noTables ? '' : (await runProgram(argv, iptables.path)).stdout
  const tables = parseSave(text)
  return { fingerprint, tables, objects: observedObjects(tables, place, iptables.family) }
}

async function applyInPlace(
  iptables: Iptables,
  changes: readonly Change[],
  saved: () => Promise<SavedTables>,
  outcomes: Outcomes,
): Promise<void> {
  const error = await restore(iptables, restoreLines(changes, await saved()))
  if (error === null) return
  // one bad rule must not keep the others out: each on its own, and it alone keeps the error
  if (changes.length === 1 || isLocked(error)) for (const change of changes) outcomes.fail(change, error)
  else await applySingly(iptables, changes, saved, outcomes)
}

/** Whether somebody else held the lock of iptables all the time that was waited for it: no rule is to blame. */
function isLocked(error: Error): boolean {
  return error instanceof ProgramError && error.stderr.includes('holding the xtables lock')
}

/**
 * One restore per change, again and again while any succeeds, since a chain may
 * refer to another that comes later. What is left over has its own error.
 */
async function applySingly(
  iptables: Iptables,
  changes: readonly Change[],
  saved: () => Promise<SavedTables>,
  outcomes: Outcomes,
): Promise<void> {
  let pending = changes
  for (;;) {
    const failed: { change: Change; error: Error }[] = []
    for (const change of pending) {
      const error = await restore(iptables, restoreLines([change], await saved()))
      if (error) failed.push({ change, error })
    }
    if (failed.length === 0 || failed.length === pending.length) {
      for (const { change, error } of failed) outcomes.fail(change, error)
      return
    }
    pending = failed.map(({ change }) => change)
  }
}

/** Runs iptables-restore over the lines; null when it went well or nothing was to do. Throws only if the place is gone. */
async function restore(iptables: Iptables, lines: readonly RestoreLine[]): Promise<Error | null> {
  if (lines.length === 0) return null
  const { variant, path } = iptables
  const argv = [`${programOf(iptables)}-restore`, '--noflush', '-w', '10']
  const text = `${lines.map(line => line.text).join('\n')}\n`
  try {
    await runProgram(argv, path, text)
    return null
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    const table = missingTable(error.stderr)
    if (table === null) return withLine(error, lines)
    // kernels without automatic loading: once more with the table's module
    if (variant === 'legacy' && (await loadModule(moduleOf(iptables, table))))
      return runProgram(argv, path, text).then(
        () => null,
        again => withLine(again as Error, lines),
      )
    return noTable(iptables, table, error)
  }
}

/** The table a program could not open, because the kernel has none of that name; else null. */
export function missingTable(stderr: string): string | null {
  const legacy = /(?:unable to initialize table|can't initialize ip6?tables table) [`']?(\w+)/.exec(stderr)
  const nft = /TABLE_ADD failed \([^)]*\): table (\w+)/.exec(stderr)
  return legacy?.[1] ?? nft?.[1] ?? null
}

function moduleOf({ family }: Iptables, table: string): string {
  return `${family === 'inet6' ? 'ip6table' : 'iptable'}_${table}`
}

function noTable(iptables: Iptables, table: string, cause: Error): MeshError {
  const remedy =
    iptables.variant === 'legacy'
      ? `modprobe ${moduleOf(iptables, table)}, or have the agent use nft`
      : 'modprobe nf_tables nft_compat nft_chain_nat, or have the agent use legacy'
  const reason = `the kernel has no table ${table} of ${programOf(iptables)}: ${remedy}`
  return new MeshError('MESH_UNSUPPORTED', reason, { cause })
}

/** The program's failure with the words of the line it complains of. */
function withLine(error: Error, lines: readonly RestoreLine[]): Error {
  if (!(error instanceof ProgramError)) return error
  const number = failingLine(error.stderr)
  const line = number === null ? undefined : lines[number - 1]
  if (!line) return error
  // legacy checks rules at COMMIT, so with one change in the batch its rules are what failed
  const words = line.change ? [line.text] : lines.filter(({ change }) => change).map(({ text }) => text)
  const stderr = `${error.stderr.trim().replaceAll('\n', ' ')}: ${words.join('; ')}`
  return new ProgramError(error.argv, error.exitCode, stderr, { cause: error })
}
