/**
 * All drivers behind one face. One that cannot observe makes its kinds unknown for
 * the pass; it does not keep the others from their work.
 */
import { applyChanges, createDrivers, type DriverOptions } from '../drivers/all.js'
import type { Driver, Kernel, Observation } from '../kernel/driver.js'
import type { KernelObject, Kind } from '../kernel/objects.js'
import { sameItems } from '../model/differences.js'

export function createKernel(options: DriverOptions): Kernel {
  return kernelOf(createDrivers(options))
}

export function kernelOf(drivers: readonly Driver[]): Kernel {
  /** What each driver told last, and all of it together. */
  let lists: readonly (readonly KernelObject[])[] = []
  let objects: readonly KernelObject[] = []
  return {
    async observe(places, signal) {
      const blind = new Map<Kind, Error>()
      const observations = await Promise.all(
        drivers.map(async (driver): Promise<Observation> => {
          try {
            return await driver.observe(places, signal)
          } catch (reason) {
            const error = reason instanceof Error ? reason : new Error(String(reason))
            for (const kind of driver.kinds) blind.set(kind, error)
            return { objects: [] }
          }
        }),
      )
      // Only now: nobody shall change the kernel while some of them still look.
      if ([...blind.values()].some(error => error === signal?.reason)) throw signal?.reason
      const now = observations.map(each => each.objects)
      if (!sameItems(now, lists)) {
        lists = now
        objects = now.flat()
      }
      const readings = observations.find(each => each.readings)?.readings
      return { objects, ...(readings ? { readings } : {}), blind }
    },
    apply: (changes, places) => applyChanges(drivers, changes, places),
  }
}
