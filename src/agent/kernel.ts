/**
 * All drivers behind one face. One that cannot observe makes its kinds unknown for
 * the pass; it does not keep the others from their work.
 */
import { applyChanges, createDrivers, type DriverOptions } from '../drivers/all.js'
import type { Driver, Kernel, Observation } from '../kernel/driver.js'
import type { KernelObject, Kind } from '../kernel/objects.js'

export function createKernel(options: DriverOptions): Kernel {
  return kernelOf(createDrivers(options))
}

export function kernelOf(drivers: readonly Driver[]): Kernel {
  /** What each driver told last, and all of it together. */
  let parts: readonly Observation[] = []
  let whole: Observation = { objects: [] }
  const together = (now: readonly Observation[]): Observation => {
    const isSame = now.length === parts.length && now.every(({ objects }, i) => objects === parts[i]!.objects)
    const readings = now.find(part => part.readings)?.readings
    if (!isSame) parts = now
    if (!isSame || readings !== whole.readings)
      whole = { objects: isSame ? whole.objects : allObjects(now), ...(readings ? { readings } : {}) }
    return whole
  }
  return {
    async observe(places, signal) {
      const blind = new Map<Kind, Error>()
      const observations = await Promise.all(
        drivers.map(async driver => {
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
      return { ...together(observations), blind }
    },
    apply: (changes, places) => applyChanges(drivers, changes, places),
  }
}

function allObjects(parts: readonly Observation[]): KernelObject[] {
  const all: KernelObject[] = []
  for (const { objects } of parts) for (const object of objects) all.push(object)
  return all
}
