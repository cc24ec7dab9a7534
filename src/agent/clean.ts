/**
 * Takes everything of the mesh off a host, from what the kernel holds and nothing
 * else: no state file, no Docker and no running agent is needed.
 */
import { rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createIptablesDriver } from '../drivers/iptables.js'
import { type Variant, variantsOfMesh } from '../drivers/iptables-variant.js'
import { Sockets } from '../drivers/sockets.js'
import { MeshError, reasonOf } from '../errors.js'
import type { Change } from '../kernel/change.js'
import { diff } from '../kernel/diff.js'
import type { Kernel, Places } from '../kernel/driver.js'
import { stateOf } from '../kernel/objects.js'
import { formersOf } from '../planner/rules.js'
import { describe } from '../status/describe.js'
import { isOfLink, restoring } from './former.js'
import { createKernel } from './kernel.js'
import { allPlaces } from './places.js'
import { requireRoot } from './preflight.js'

export interface CleanOptions {
  readonly kernel: Kernel
  /** Host, sandbox, and every namespace in which something of ours was found. */
  readonly places: Places
  /** The agent's unix socket, whose directory is ours too. */
  readonly socket: string
}

/**
 * Removes it all and returns what was removed, as an operator would type it. Throws
 * when something is left, after everything else has been removed.
 */
export async function cleanHost({ kernel, places, socket }: CleanOptions): Promise<string[]> {
  const sight = await kernel.observe(places)
  const formers = formersOf(sight.objects)
  // Sysctls end with their namespace or link; those that do not are put back.
  const ours = sight.objects.filter(({ kind }) => kind !== 'sysctl' && kind !== 'timeouts')
  const changes: Change[] = diff(new Map(), stateOf(ours))
  // First, since the rules that remember them are among what goes: whoever is killed in between can begin again.
  changes.unshift(...restoring(formers))
  const outcomes = await kernel.apply(changes, places)
  await rm(socket, { force: true })
  await rmdir(dirname(socket)).catch(() => {}) // shared with others, or not there: not ours to insist
  const failures = [
    ...outcomes.flatMap(outcome =>
      outcome.error && !isOfLink(outcome) ? [`${describe(outcome.change)}: ${reasonOf(outcome.error)}`] : [],
    ),
    ...[...sight.blind].map(([kind, error]) => `${kind}: ${reasonOf(error)}`),
  ]
  if (failures.length > 0)
    throw new MeshError('MESH_INTERNAL', `some of the mesh is left on this host: ${failures.join('; ')}`)
  return outcomes.map(({ change }) => describe(change))
}

/** Throws what one of the removals failed with. */
async function removeRules(variant: Variant, places: Places): Promise<void> {
  const driver = createIptablesDriver(variant)
  const { objects } = await driver.observe(places)
  for (const { error } of await driver.apply(diff(new Map(), stateOf(objects)), places))
    if (error) throw error
}

/** `meshctl clean` without an agent. Returns what was removed, as an operator would type it. */
export async function cleanWithoutAgent(socket: string): Promise<string[]> {
  requireRoot('meshctl clean')
  const places = await allPlaces()
  const [variant = 'legacy', ...others] = await variantsOfMesh(null)
  // A set can only be destroyed when no rule of either variant uses it.
  for (const other of others) await removeRules(other, places)
  const kernel = createKernel({ variant, sockets: new Sockets() })
  return cleanHost({ kernel, places, socket })
}
