/**
 * A mesh node whose drivers are timed: which kind of object took how long.
 */
import type { Driver } from '../../src/kernel/driver.js'
import type { Node } from '../../src/model/snapshot.js'
import { messagesSent } from '../../src/netlink/connection.js'
import type { PlanSettings } from '../../src/planner/base.js'
import { MeshNode } from '../../test/helpers/mesh-node.js'
import type { Topology } from '../../test/helpers/topology.js'

/** What one piece of work took. */
export interface Reading {
  /** Milliseconds. */
  readonly wall: number
  /** Processor time of this process, user and system, milliseconds; programs it started not included. */
  readonly cpu: number
  /** Netlink messages that change the kernel, and those that only read. */
  readonly changes: number
  readonly queries: number
  /** Milliseconds by `observe`, `apply ipvs`, `apply set`, …; observation is one figure as drivers observe together. */
  readonly split: ReadonlyMap<string, number>
}

export class Watch {
  private readonly split = new Map<string, number>()
  private observing = 0
  private observedSince = 0

  private add(name: string, since: number): void {
    this.split.set(name, (this.split.get(name) ?? 0) + performance.now() - since)
  }

  /** The same driver, timed. */
  readonly around = (driver: Driver): Driver => ({
    ...driver,
    observe: async places => {
      if (this.observing++ === 0) this.observedSince = performance.now()
      try {
        return await driver.observe(places)
      } finally {
        if (--this.observing === 0) this.add('observe', this.observedSince)
      }
    },
    apply: async (changes, places) => {
      const since = performance.now()
      try {
        return await driver.apply(changes, places)
      } finally {
        this.add(`apply ${driver.name}`, since)
      }
    },
  })

  /** Does it and tells what it took. */
  async of<T>(work: () => Promise<T>): Promise<Reading & { readonly result: T }> {
    this.split.clear()
    const { changes, queries } = messagesSent
    const cpu = process.cpuUsage()
    const since = performance.now()
    const result = await work()
    const wall = performance.now() - since
    const { user, system } = process.cpuUsage(cpu)
    return {
      result,
      wall,
      cpu: (user + system) / 1000,
      changes: messagesSent.changes - changes,
      queries: messagesSent.queries - queries,
      split: new Map(this.split),
    }
  }
}

export interface WatchedNode {
  readonly topology: Topology
  readonly mesh: MeshNode
  readonly watch: Watch
}

/** A host with nothing on it; ends with the process's namespaces. */
export async function watchedNode(
  topology: Topology,
  settings: Partial<PlanSettings> = {},
  node?: Node,
): Promise<WatchedNode> {
  const watch = new Watch()
  return { topology, mesh: await MeshNode.create(topology, watch.around, settings, node), watch }
}

/** Mean and not median: some kernels count processor time in ticks of 10 ms. */
export function meanCpu(readings: readonly Reading[]): number {
  return readings.reduce((sum, { cpu }) => sum + cpu, 0) / readings.length
}

/** Leaves nothing to be collected within the next measurement. */
export function collectGarbage(): void {
  ;(globalThis as { gc?: () => void }).gc?.()
}
