/**
 * What Swarm says, if this node manages one: its services, asked for when an event says that
 * something may have changed and now and then besides, and with them which tasks it is about to stop.
 * Its answers are never worth waiting or failing for.
 */
import type { DockerClient } from './docker-client.js'
import type { DockerEvent } from './docker-events.js'
import { parseServices } from './docker-swarm.js'
import type { DockerView } from './docker-view.js'
import { TaskWatch } from './task-watch.js'
import { workQueue } from './work-queue.js'

/** A service's ports are allocated some time after the event of its creation; look again. Milliseconds. */
const settles = 1000
/** Nodes that are no managers are asked so many times more rarely. */
const rarely = 3

export interface SwarmWatchOptions {
  readonly view: DockerView
  /** The Engine, from the first `begin` on. */
  readonly client: () => DockerClient
  /** To be called after every change of the view. */
  readonly changed: () => void
  /** Between two questions to a manager, milliseconds. */
  readonly every: number
}

export class SwarmWatch {
  readonly #options: SwarmWatchOptions
  readonly #queue = workQueue(1, () => this.#ask())
  readonly #tasks: TaskWatch
  #isManager = true
  #poll: NodeJS.Timeout | null = null
  #again: NodeJS.Timeout | null = null

  constructor(options: SwarmWatchOptions) {
    this.#options = options
    const { client, view, changed } = options
    this.#tasks = new TaskWatch(
      question => client().tasks(question),
      ending => {
        view.ending(ending)
        changed()
      },
    )
  }

  /** Asks for the services; resolves when the answer is in the view, or has failed to come. */
  refresh(): Promise<void> {
    return this.#queue.want('services').catch(() => {})
  }

  /** `isNews`: whether the event says that services have changed. */
  take({ type, id }: DockerEvent, isNews: boolean): void {
    if (type === 'service') this.#tasks.stir([id])
    if (type === 'node') this.#tasks.stirNode(id)
    if (!isNews) return
    void this.refresh()
    this.#again ??= setTimeout(() => {
      this.#again = null
      void this.refresh()
    }, settles)
  }

  /**
   * Begins to ask now and then: a manager that lost its quorum or its office, or a node that was
   * given one, gets no event that says so.
   */
  begin(): void {
    const { every } = this.#options
    const next = () => {
      void this.refresh()
      this.#poll = setTimeout(next, this.#isManager ? every : every * rarely)
    }
    this.#poll = setTimeout(next, every)
  }

  /** The Engine does not answer any more: Swarm says nothing until the next `begin`. */
  forget(): void {
    if (this.#poll) clearTimeout(this.#poll)
    this.#options.view.swarmSilent()
    this.#tasks.forget()
  }

  async stop(): Promise<void> {
    for (const timer of [this.#poll, this.#again]) if (timer) clearTimeout(timer)
    this.#queue.clear()
    await this.#tasks.stop()
  }

  /** Resolves when nothing is asked any more. */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  async #ask(): Promise<void> {
    const { client, view, changed } = this.#options
    try {
      const answer = await client().services()
      this.#isManager = answer !== null
      view.swarm(answer === null ? null : parseServices(answer))
      this.#tasks.heard(answer)
    } catch (error) {
      view.swarmSilent()
      throw error
    } finally {
      changed()
    }
  }
}
