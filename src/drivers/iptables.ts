/**
 * Driver of chains and jumps: `iptables-save` to observe, one `iptables-restore
 * --noflush` per place to apply. Chains and rules of others are never named in what
 * it writes. The text itself is read and written by iptables-save.ts and
 * iptables-restore.ts.
 */
import { MeshError, ProgramError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { KernelObject, Place } from '../kernel/objects.js'
import { failingLine, type RestoreLine, restoreLines } from './iptables-restore.js'
import { observedObjects, parseSave, type SavedTables } from './iptables-save.js'
import type { Variant } from './iptables-variant.js'
import { groupByPlace, Outcomes, pathOf, placeIsGone } from './places.js'
import { loadModule, runProgram } from './programs.js'

/** Chains of ours exist in these places only; containers are left alone. */
const ownPlaces: readonly Place[] = ['host', 'mesh']

export function createIptablesDriver(variant: Variant): Driver {
  return {
    name: 'iptables',
    kinds: ['chain', 'jump'],
    async observe(places) {
      const found = await Promise.all(
        ownPlaces.filter(place => places.has(place)).map(place => observePlace(variant, place, places)),
      )
      return { objects: found.flat() }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      for (const [place, own] of groupByPlace(changes)) {
        try {
          await applyInPlace(variant, pathOf(places, place), own, outcomes)
        } catch (error) {
          outcomes.failAll(own, error)
        }
      }
      return outcomes.list(changes)
    },
  }
}

async function observePlace(variant: Variant, place: Place, places: Places): Promise<KernelObject[]> {
  try {
    return observedObjects(await save(variant, pathOf(places, place)), place)
  } catch (error) {
    if (placeIsGone(error)) return []
    throw error
  }
}

async function save(variant: Variant, path: string | null): Promise<SavedTables> {
  return parseSave((await runProgram([`iptables-${variant}-save`], path)).stdout)
}

async function applyInPlace(
  variant: Variant,
  path: string | null,
  changes: readonly Change[],
  outcomes: Outcomes,
): Promise<void> {
  const error = await restore(variant, path, restoreLines(changes, await save(variant, path)))
  if (error === null) return
  // one bad rule must not keep the others out: each on its own, and it alone keeps the error
  if (changes.length === 1) outcomes.fail(changes[0]!, error)
  else await applySingly(variant, path, changes, outcomes)
}

/**
 * One restore per change, again and again while any succeeds, since a chain may
 * refer to another that comes later. What is left over has its own error.
 */
async function applySingly(
  variant: Variant,
  path: string | null,
  changes: readonly Change[],
  outcomes: Outcomes,
): Promise<void> {
  let pending = changes
  for (;;) {
    const failed: { change: Change; error: Error }[] = []
    for (const change of pending) {
      const error = await restore(variant, path, restoreLines([change], await save(variant, path)))
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
async function restore(
  variant: Variant,
  path: string | null,
  lines: readonly RestoreLine[],
): Promise<Error | null> {
  if (lines.length === 0) return null
  const argv = [`iptables-${variant}-restore`, '--noflush', '-w', '10']
  const text = `${lines.map(line => line.text).join('\n')}\n`
  try {
    await runProgram(argv, path, text)
    return null
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    const table = missingTable(error.stderr)
    if (table === null) return withLine(error, lines)
    // kernels without automatic loading: once more with the table's module
    if (variant === 'legacy' && (await loadModule(`iptable_${table}`)))
      return runProgram(argv, path, text).then(
        () => null,
        again => withLine(again as Error, lines),
      )
    return noTable(variant, table, error)
  }
}

/** The table a program could not open, because the kernel has none of that name; else null. */
export function missingTable(stderr: string): string | null {
  const legacy = /(?:unable to initialize table|can't initialize iptables table) [`']?(\w+)/.exec(stderr)
  const nft = /TABLE_ADD failed \([^)]*\): table (\w+)/.exec(stderr)
  return legacy?.[1] ?? nft?.[1] ?? null
}

function noTable(variant: Variant, table: string, cause: Error): MeshError {
  const remedy =
    variant === 'legacy'
      ? `modprobe iptable_${table}, or have the agent use nft`
      : 'modprobe nf_tables nft_compat nft_chain_nat, or have the agent use legacy'
  const reason = `the kernel has no iptables table ${table} (${variant}): ${remedy}`
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
