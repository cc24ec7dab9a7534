/**
 * Containers of nodes whose agent has fallen silent. The kernel there goes on without
 * it, so they are believed in for a while as they were told last; whether the node
 * itself is still there is for others to find out.
 */
import type { ClusterSnapshot, RemoteContainer } from '../model/cluster.js'

/** How long a node is believed in without an agent, seconds: enough to restart or upgrade it. */
export const absence = 60

interface Silence {
  readonly containers: readonly RemoteContainer[]
  /** By performance.now(). */
  readonly end: number
}

export class SilentNodes {
  private readonly silent = new Map<string, Silence>()

  heard(before: ClusterSnapshot, { nodes, containers }: ClusterSnapshot): void {
    if (this.silent.size > 0) {
      const told = new Map(nodes.map(node => [node.name, node.told]))
      for (const name of this.silent.keys()) if (told.get(name) !== false) this.silent.delete(name)
    }
    const untold = nodes.filter(node => !node.told)
    if (untold.length === 0) return
    const wasTold = new Set(before.nodes.flatMap(({ name, told }) => (told ? [name] : [])))
    const speaks = new Set(containers.map(({ node }) => node))
    for (const { name } of untold) {
      // An agent that has just started is heard before what it has to tell.
      if (speaks.has(name)) this.silent.delete(name)
      else if (wasTold.has(name))
        this.silent.set(name, {
          containers: before.containers.filter(({ node }) => node === name),
          end: performance.now() + absence * 1000,
        })
    }
  }

  has(node: string): boolean {
    return performance.now() < (this.silent.get(node)?.end ?? 0)
  }

  /** All of them, of nodes that are not silent for too long. */
  containers(): RemoteContainer[] {
    return [...this.silent].flatMap(([node, { containers }]) => (this.has(node) ? containers : []))
  }
}
