/**
 * The Docker source at work on a node of the lab, and all it has said.
 */
import type { Container } from '../../src/model/container.js'
import type { ContainerSnapshot } from '../../src/model/snapshot.js'
import { dockerSource } from '../../src/sources/docker.js'
import type { Node } from './lab.js'
import { waitFor } from './wait.js'

/** Runs outside the node and looks into it: through its root its socket and its /proc are seen. */
export class DockerWatch {
  readonly snapshots: ContainerSnapshot[] = []
  readonly troubles: (string | null)[] = []
  readonly #source

  constructor(node: Node) {
    const root = `/proc/${node.pid}/root`
    this.#source = dockerSource({ socketPath: `${root}/run/docker.sock`, proc: `${root}/proc` })
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
  stop(): Promise<void> {
    return this.#source.stop()
  }
}
