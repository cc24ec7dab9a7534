/**
 * Clients of both meshes at the same time, and what a failure costs them.
 */
import { Load, type LoadReport } from '../../test/helpers/clients.js'
import { must, type Node } from '../../test/helpers/lab.js'
import { sleep } from '../../test/helpers/wait.js'
import type { Figure } from './report.js'

/** Published port of the mesh, and of Docker's ingress, for the same service. */
export const meshPort = 8888
export const dockerPort = 8080

/** Published ports of one service. */
export interface Ports {
  readonly mesh: number
  readonly docker: number
}

/** Requests a second to each of the two, in all. */
export const rate = 40
/** Longest wait of a client for its answer, seconds. */
export const patience = 2
/** What has not failed for so long is taken for clean, seconds: Docker's gossip gives a node up after 6. */
const calm = 8

/** One client address for each entry node: from one address the same port may be used through two nodes. */
export function clientOf(node: Node): string {
  return `192.168.77.20${node.name.slice(-1)}`
}

export interface Limits {
  /** Shortest and longest time to look, seconds. */
  readonly least: number
  readonly most: number
}

export interface Seen {
  readonly mesh: Figure
  readonly docker: Figure
}

/** A load on both meshes through each of some nodes. */
export class Watch {
  private readonly loads: ReadonlyMap<number, readonly Load[]>

  constructor(private readonly entries: readonly Node[]) {
    this.loads = new Map(
      [meshPort, dockerPort].map(port => [
        port,
        entries.map(node => {
          const options = { timeout: patience, localAddress: clientOf(node) }
          return new Load([`http://${node.address}:${port}/`], rate / entries.length, options)
        }),
      ]),
    )
  }

  /** Some requests before the failure, so that nobody is measured while starting. */
  async steady(): Promise<void> {
    await sleep(1)
  }

  /** Looks until both meshes are calm, but no longer than `most` seconds after the failure at `began`, performance.now(). */
  async until(began: number, { least, most }: Limits): Promise<void> {
    const passed = () => (performance.now() - began) / 1000
    for (;;) {
      await sleep(0.1)
      const failures = [...this.loads.values()].flat().map(load => load.lastFailureBegan ?? 0)
      const quiet = (performance.now() - Math.max(began, ...failures)) / 1000
      if (passed() >= most || (passed() >= least && quiet >= calm + patience)) return
    }
  }

  /** Ends it; what failed, by the time since the failure at `began`. */
  async end(began: number): Promise<Seen> {
    const stopped = performance.now()
    const figure = async (port: number) => {
      const loads = this.loads.get(port) ?? []
      const reports = await Promise.all(loads.map(load => load.stop()))
      return figureOf(new Map(reports.map((report, i) => [this.entries[i]!.address, report])), began, stopped)
    }
    const [mesh, docker] = await Promise.all([figure(meshPort), figure(dockerPort)])
    return { mesh, docker }
  }
}

function figureOf(reports: ReadonlyMap<string, LoadReport>, began: number, stopped: number): Figure {
  const failed = [...reports].flatMap(([entry, { failures }]) =>
    failures.map(({ code, began: at }) => ({ at: (at - began) / 1000, entry, code })),
  )
  const requests = [...reports.values()].reduce((sum, { ok, failed }) => sum + ok + failed, 0)
  const last = Math.max(0, ...failed.map(({ at }) => at))
  return {
    requests,
    failed,
    clean: failed.length > 0 && (stopped - began) / 1000 - last < calm ? null : last,
  }
}

/** Asks a port of a node so often, one after the other; who answered, and how many times nobody did. */
export async function whoAnswers(
  node: Node,
  port: number,
  times: number,
): Promise<{ containers: Set<string>; failed: number }> {
  const load = new Load([`http://${node.address}:${port}/`], 50, {
    timeout: patience,
    localAddress: clientOf(node),
  })
  await sleep(times / 50)
  const { containers, failed } = await load.stop()
  return { containers: new Set(containers.keys()), failed }
}

/** Gives the lab's bridge the clients' addresses. */
export async function addClients(nodes: readonly Node[]): Promise<void> {
  for (const node of nodes) await must(['ip', 'addr', 'add', `${clientOf(node)}/24`, 'dev', 'br0'])
}
