/**
 * All drivers behind one face. One that cannot observe makes its kinds unknown for
 * the pass; it does not keep the others from their work.
 */
import { applyChanges, createDrivers, type DriverOptions } from '../drivers/all.js'
import type { Driver, Kernel } from '../kernel/driver.js'
import type { DestinationReading, KernelObject, Kind } from '../kernel/objects.js'

export function createKernel(options: DriverOptions): Kernel {
  return kernelOf(createDrivers(options))
}

export function kernelOf(drivers: readonly Driver[]): Kernel {
  return {
    async observe(places, signal) {
      const objects: KernelObject[] = []
      const readings = new Map<string, DestinationReading>()
      const blind = new Map<Kind, Error>()
      await Promise.all(
        drivers.map(async driver => {
          try {
            const observation = await driver.observe(places, signal)
            for (const object of observation.objects) objects.push(object)
            for (const [key, reading] of observation.readings ?? []) readings.set(key, reading)
          } catch (reason) {
            const error = reason instanceof Error ? reason : new Error(String(reason))
            for (const kind of driver.kinds) blind.set(kind, error)
          }
        }),
      )
      // Only now: nobody shall change the kernel while some of them still look.
      if ([...blind.values()].some(error => error === signal?.reason)) throw signal?.reason
      return { objects, readings, blind }
    },
    apply: (changes, places) => applyChanges(drivers, changes, places),
  }
}
