/**
 * All drivers together: which there are, and how a list of changes is handed to them.
 */
import type { Change, Outcome } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { Kind } from '../kernel/objects.js'
import { ipv6Switch } from '../kernel/ownership.js'
import { createIptablesDriver } from './iptables.js'
import type { Variant } from './iptables-variant.js'
import { createIpvsDriver } from './ipvs.js'
import { createLinkDriver } from './links.js'
import { createNamespaceDriver } from './namespaces.js'
import { createSetDriver } from './sets.js'
import { Sockets } from './sockets.js'
import { createSysctlDriver, type SysctlName } from './sysctls.js'

export interface DriverOptions {
  /** As `findVariant` found it. */
  readonly variant: Variant
  /** Whether objects of IPv6 may be wanted; false unless given. */
  readonly ipv6?: boolean
  /** Connections, shared by all; the caller closes them in the end. Without, they live as long as the process. */
  readonly sockets?: Sockets
  /** Parameters whose values are observed from the first pass on. */
  readonly sysctls?: readonly SysctlName[]
}

export function createDrivers({
  variant,
  ipv6 = false,
  sockets = new Sockets(),
  sysctls,
}: DriverOptions): Driver[] {
  return [
    createNamespaceDriver(sockets),
    createLinkDriver(sockets),
    createSysctlDriver(sysctls, ipv6 ? [ipv6Switch] : []),
    createSetDriver(sockets),
    createIptablesDriver(variant, ipv6),
    createIpvsDriver(sockets),
  ]
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
      for (const outcome of await driver.apply(run, places)) outcomes.push(outcome)
    } catch (reason) {
      const error = reason instanceof Error ? reason : new Error(String(reason))
      for (const change of run) outcomes.push({ change, error })
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
