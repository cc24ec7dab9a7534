/**
 * All drivers together: which there are, what they see of the kernel, and how a list
 * of changes is handed to them.
 */
import type { Change, Outcome } from '../kernel/change.js'
import type { Driver, Observation, Places } from '../kernel/driver.js'
import type { DestinationReading, KernelObject, Kind } from '../kernel/objects.js'
import { createIptablesDriver } from './iptables.js'
import type { Variant } from './iptables-variant.js'
import { createIpvsDriver } from './ipvs.js'
import { createLinkDriver } from './links.js'
import { createNamespaceDriver } from './namespaces.js'
import { createSetDriver } from './sets.js'
import type { Sockets } from './sockets.js'
import { createSysctlDriver, type SysctlName } from './sysctls.js'

export interface DriverOptions {
  /** As `findVariant` found it. */
  readonly variant: Variant
  /** Connections, shared by all; the caller closes them in the end. */
  readonly sockets: Sockets
  /** Parameters whose values are observed from the first pass on. */
  readonly sysctls?: readonly SysctlName[]
}

export function createDrivers({ variant, sockets, sysctls }: DriverOptions): Driver[] {
  return [
    createNamespaceDriver(sockets),
    createLinkDriver(sockets),
    createSysctlDriver(sysctls),
    createSetDriver(sockets),
    createIptablesDriver(variant),
    createIpvsDriver(sockets),
  ]
}

/** What all drivers see. Throws the first failure: half a picture would make changes that are wrong. */
export async function observeAll(drivers: readonly Driver[], places: Places): Promise<Observation> {
  const found = await Promise.all(drivers.map(driver => driver.observe(places)))
  const objects: KernelObject[] = []
  const readings = new Map<string, DestinationReading>()
  for (const observation of found) {
    for (const object of observation.objects) objects.push(object)
    for (const [key, reading] of observation.readings ?? []) readings.set(key, reading)
  }
  return { objects, readings }
}

/**
 * Makes the changes in their order. Neighbours of one driver are handed over
 * together, so that it can put them into one batch. Never throws: a driver that does
 * fails its own changes and no others.
 */
export async function applyChanges(
  drivers: readonly Driver[],
  changes: readonly Change[],
  places: Places,
): Promise<Outcome[]> {
  const byKind = new Map<Kind, Driver>()
  for (const driver of drivers) for (const kind of driver.kinds) byKind.set(kind, driver)
  const outcomes: Outcome[] = []
  for (const { driver, run } of runsOf(changes, byKind)) {
    try {
      if (!driver) throw new Error(`no driver for ${run[0]?.object.kind}`)
      outcomes.push(...(await driver.apply(run, places)))
    } catch (reason) {
      const error = reason instanceof Error ? reason : new Error(String(reason))
      outcomes.push(...run.map(change => ({ change, error })))
    }
  }
  return outcomes
}

interface Run {
  readonly driver: Driver | undefined
  readonly run: Change[]
}

function runsOf(changes: readonly Change[], byKind: ReadonlyMap<Kind, Driver>): Run[] {
  const runs: Run[] = []
  for (const change of changes) {
    const driver = byKind.get(change.object.kind)
    const last = runs.at(-1)
    if (last && last.driver === driver) last.run.push(change)
    else runs.push({ driver, run: [change] })
  }
  return runs
}

/** All drivers behind one face, as the reconcile loop wants them. */
export function createKernel(options: DriverOptions) {
  const drivers = createDrivers(options)
  return {
    observe: (places: Places): Promise<Observation> => observeAll(drivers, places),
    apply: (changes: readonly Change[], places: Places): Promise<Outcome[]> =>
      applyChanges(drivers, changes, places),
  }
}
