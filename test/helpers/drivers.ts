/**
 * Drivers on a real kernel: fresh namespaces as places, and the two questions every
 * driver test asks: what would change, and did it all go well.
 */
import type { Test } from 'tap'
import { applyChanges } from '../../src/drivers/all.js'
import { Sockets } from '../../src/drivers/sockets.js'
import { type Change, changeKey, type Outcome } from '../../src/kernel/change.js'
import { diff } from '../../src/kernel/diff.js'
import type { Driver, Places } from '../../src/kernel/driver.js'
import { type KernelObject, type Place, stateOf } from '../../src/kernel/objects.js'
import { freshNamespace, runIn } from './namespaces.js'

export interface Stage {
  readonly places: Map<Place, string>
  readonly sockets: Sockets
  /** Runs a command line in a place; words are split at blanks. */
  run(place: Place, command: string): string
}

/** A host, a sandbox and so many containers, all of them namespaces of their own with loopback up. */
export function freshStage(t: Pick<Test, 'teardown'>, containers: readonly Place[] = []): Stage {
  const sockets = new Sockets()
  t.teardown(() => sockets.close())
  const names: Place[] = ['host', 'mesh', ...containers]
  const places = new Map(names.map(place => [place, freshNamespace(t)]))
  const run = (place: Place, command: string) => runIn(places.get(place)!, command.split(' '))
  for (const place of names) run(place, 'ip link set lo up')
  return { places, sockets, run }
}

/** What would turn the kernel into `wanted`, as `add link mesh p1`. */
export async function pending(
  drivers: readonly Driver[],
  wanted: readonly KernelObject[],
  places: Places,
): Promise<Change[]> {
  const objects: KernelObject[] = []
  for (const driver of drivers) objects.push(...(await driver.observe(places)).objects)
  return diff(stateOf(wanted), stateOf(objects))
}

export function told(changes: readonly Change[]): string[] {
  return changes.map(change => `${change.type} ${changeKey(change)}`)
}

/** Applies what is pending; returns the outcomes. */
export async function bring(
  drivers: readonly Driver[],
  wanted: readonly KernelObject[],
  places: Places,
): Promise<Outcome[]> {
  return applyChanges(drivers, await pending(drivers, wanted, places), places)
}

export function failures(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ change, error }) => (error ? [`${changeKey(change)}: ${error.message}`] : []))
}

/** Brings the kernel to `wanted` and checks that all went well and nothing is left to do. */
export async function reach(
  t: Test,
  drivers: readonly Driver[],
  wanted: readonly KernelObject[],
  places: Places,
): Promise<Change[]> {
  const outcomes = await bring(drivers, wanted, places)
  t.strictSame(failures(outcomes), [], 'every change succeeds')
  t.strictSame(told(await pending(drivers, wanted, places)), [], 'nothing is left to change')
  return outcomes.map(({ change }) => change)
}
