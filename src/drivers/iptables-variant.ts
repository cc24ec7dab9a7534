/**
 * Which of the two iptables the host uses. The kernel can hold rules of both at
 * once and runs both; a mesh in the other one than Docker's would be ordered
 * neither before nor behind Docker's rules. Called once, at the agent's start.
 */
import { existsSync } from 'node:fs'
import { MeshError } from '../errors.js'
import { normaliseRule, splitTarget } from './iptables-rule.js'
import { isOurs, parseSave, type SavedTables } from './iptables-save.js'
import { runProgram } from './programs.js'

export type Variant = 'legacy' | 'nft'
const variants: readonly Variant[] = ['legacy', 'nft']

export interface VariantFinding {
  readonly variant: Variant
  /** Why this one, for log and status. */
  readonly reason: string
  /** `nat DOCKER`: the chains of others in each. */
  readonly chains: Readonly<Record<Variant, readonly string[]>>
}

/** Chains in which somebody else has rules, a policy of DROP, or which somebody else made. */
export function chainsOfOthers(saved: SavedTables): string[] {
  const used: string[] = []
  for (const [table, chains] of saved)
    for (const chain of chains.values()) {
      if (isOurs(chain.name)) continue
      const foreign = chain.rules.some(rule => !isOurs(splitTarget(normaliseRule(rule)).target ?? ''))
      if (!chain.builtIn || foreign || chain.policy === 'DROP') used.push(`${table} ${chain.name}`)
    }
  return used
}

function hasOurs(saved: SavedTables): boolean {
  return [...saved.values()].some(chains => [...chains.keys()].some(isOurs))
}

/**
 * Decides from what both variants hold; `standard` is what the plain `iptables` of
 * the host is. Throws MESH_UNSUPPORTED when both hold rules of others.
 */
export function chooseVariant(
  saved: Readonly<Record<Variant, SavedTables>>,
  standard: Variant,
): VariantFinding {
  const chains = { legacy: chainsOfOthers(saved.legacy), nft: chainsOfOthers(saved.nft) }
  if (chains.legacy.length > 0 && chains.nft.length > 0)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `iptables rules are mixed: legacy holds ${chains.legacy.join(', ')}; nft holds ${chains.nft.join(', ')}; ` +
        'flush those that are left over, or tell the agent which to use (legacy or nft)',
    )
  const variant =
    variants.find(name => chains[name].length > 0) ?? variants.find(name => hasOurs(saved[name])) ?? standard
  const reason =
    chains[variant].length > 0
      ? `it holds ${chains[variant].join(', ')}`
      : hasOurs(saved[variant])
        ? 'it holds the mesh'
        : 'it is the standard of this host'
  return { variant, reason, chains }
}

/** What one variant holds; nothing where the program is missing or the kernel lacks its tables. */
async function savedBy(variant: Variant, path: string | null): Promise<SavedTables> {
  try {
    return parseSave((await runProgram([`iptables-${variant}-save`], path)).stdout)
  } catch (error) {
    if (error instanceof MeshError) return new Map()
    throw error
  }
}

/** `iptables v1.8.9 (nf_tables)`; releases before 1.8 name no variant and are legacy. */
export function parseVersion(text: string): Variant {
  return text.includes('nf_tables') ? 'nft' : 'legacy'
}

/**
 * The variants that hold chains of the mesh in the namespace at `path`: one, unless the
 * agent was told to use the other one meanwhile. Mixed rules of others are no matter.
 */
export async function variantsOfMesh(path: string | null): Promise<Variant[]> {
  const saved = await Promise.all(variants.map(variant => savedBy(variant, path)))
  return variants.filter((_, i) => hasOurs(saved[i]!))
}

/**
 * What plain `iptables` is on the host. The image of meshd has one of its own, which says
 * nothing of the host's; there the first process is the host's, and its root the host's files.
 */
async function standardVariant(): Promise<Variant> {
  const own = ['iptables', '--version']
  const asked = existsSync('/.dockerenv')
    ? runProgram(['chroot', '/proc/1/root', ...own], null).catch(() => runProgram(own, null))
    : runProgram(own, null)
  return parseVersion((await asked).stdout)
}

/**
 * Finds the variant used in the namespace at `path` (null: the agent's own).
 * Throws MESH_UNSUPPORTED when iptables is missing or rules are mixed.
 */
export async function findVariant(path: string | null): Promise<VariantFinding> {
  const standard = await standardVariant()
  const [legacy, nft] = await Promise.all([savedBy('legacy', path), savedBy('nft', path)])
  return chooseVariant({ legacy, nft }, standard)
}
