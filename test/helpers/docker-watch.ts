/**
 * The Docker source at work on a node of the lab, and all it has said.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Container } from '../../src/model/container.js'
import type { ContainerSnapshot } from '../../src/model/snapshot.js'
import { ProcessWatch } from '../../src/netlink/process-watch.js'
import { dockerSource } from '../../src/sources/docker.js'
import type { Node } from './lab.js'
import { waitFor } from './wait.js'

/** A process of a node, as the lab numbers it: in that namespace its number is `pid`. */
function outerPid(node: Node, pid: number): number {
  const namespace = (outer: string | number) => readlinkSync(`/proc/${outer}/ns/pid`)
  for (const outer of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
    try {
      // A container's first process is in a namespace of its own below the node's.
      const numbers = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${outer}/status`, 'utf8'))?.[1]?.split('\t')
      if (numbers?.[1] !== String(pid)) continue
      if (numbers.length > 2 || namespace(outer) === namespace(node.pid)) return Number(outer)
    } catch {} // it has ended
  return 0
}

/** Runs outside the node and looks into it: through its root its socket and its /proc are seen. */
export class DockerWatch {
  readonly snapshots: ContainerSnapshot[] = []
  readonly troubles: (string | null)[] = []
  readonly #source
  readonly #processes = new ProcessWatch()

  constructor(node: Node) {
    const root = `/proc/${node.pid}/root`
    this.#source = dockerSource({
      socketPath: `${root}/run/docker.sock`,
      proc: `${root}/proc`,
      followProcess: (pid, ended) => this.#processes.follow(outerPid(node, pid), ended),
    })
    this.#source.start(
      snapshot => this.snapshots.push(snapshot),
      trouble => this.troubles.push(trouble?.message ?? null),
    )
  }
  /** The snapshot in force. */
  get last(): ContainerSnapshot {
    return this.snapshots.at(-1)!
  }
  find(id: string): Container | undefined {
    return this.snapshots.at(-1)?.containers.find(each => each.id === id)
  }
  until(id: string, what: string, condition: (container: Container) => boolean): Promise<Container> {
    return waitFor(
      () => {
        const container = this.find(id)
        return container && condition(container) ? container : null
      },
      what,
      120,
      0.005,
    )
  }
  gone(id: string): Promise<true> {
    return waitFor(() => this.last !== undefined && !this.find(id), `end of ${id}`, 120, 0.005)
  }
  /** What a container looked like from snapshot `first` on, repetitions left out: `running leaving`, `exited`, `-`. */
  story(id: string, first: number): string[] {
    const looks = this.snapshots.slice(first).map(snapshot => {
      const container = snapshot.containers.find(each => each.id === id)
      return container ? `${container.state}${container.leaving ? ' leaving' : ''}` : '-'
    })
    return looks.filter((look, index) => look !== looks[index - 1])
  }
  async stop(): Promise<void> {
    await this.#source.stop()
    this.#processes.close()
  }
}
