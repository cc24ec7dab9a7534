/**
 * Containers that Swarm is about to stop, as a manager knows them: a second or two before
 * the container's node does anything. Docker tells of no event of a task, so the tasks of
 * a service are asked for while something happens to it, and not else.
 */
import { parseTasks, parseUpdates, pastStates } from './swarm-tasks.js'

/** Filters of `GET /tasks`. */
export interface TaskQuestion {
  readonly service?: readonly string[]
  readonly node?: readonly string[]
  readonly 'desired-state'?: readonly string[]
}

/** Between two looks at the tasks of services that are being changed, milliseconds. */
const lookEvery = 150
/** And no less than so many times as long as the last look took: a service may have thousands of tasks. */
const rest = 5
/** How long after the last that happened to a service it is looked at so often, milliseconds. */
const calm = 10_000

interface Watched {
  /** Of the service's containers. */
  ending: readonly string[]
  /** Looked at often until then, performance.now(). */
  until: number
}

export class TaskWatch {
  readonly #ask: (question: TaskQuestion) => Promise<unknown>
  readonly #changed: (ending: readonly string[]) => void
  readonly #services = new Map<string, Watched>()
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null
  #stopped = false
  /** Whether each service was looked at once. */
  #begun = false
  #told = ''

  /** `ask`: `GET /tasks` with these filters, null where there is no such service or node. `changed`: ids of all that is about to be stopped, sorted. */
  constructor(
    ask: (question: TaskQuestion) => Promise<unknown>,
    changed: (ending: readonly string[]) => void,
  ) {
    this.#ask = ask
    this.#changed = changed
  }

  /** Takes in an answer of `GET /services`; null from a node that is no manager. */
  heard(services: unknown): void {
    if (services === null) {
      this.forget()
      return
    }
    const { all, updated } = parseUpdates(services)
    // Of one that rests there may be something left of what happened before: it is looked at once.
    if (!this.#begun) for (const id of all) this.#services.set(id, { ending: [], until: 0 })
    this.#begun = true
    this.stir(updated)
    this.look()
  }

  /** Something happens to these services. */
  stir(services: readonly string[]): void {
    if (this.#stopped) return
    const until = performance.now() + calm
    for (const service of services) {
      const known = this.#services.get(service)
      this.#services.set(service, { ending: known?.ending ?? [], until })
    }
    if (services.length > 0) this.look()
  }

  /** Something happens to a node, and so perhaps to each service that has a task there. */
  stirNode(node: string): void {
    const stirred = this.#ask({ node: [node] }).then(answer => this.stir(parseTasks(answer ?? []).services))
    stirred.catch(() => {}) // what that leads to is seen a little later
  }

  /** Looks now, also at services long calm of which containers are left that should have ended. */
  look(): void {
    if (this.#stopped || this.#services.size === 0) return
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const begun = performance.now()
    this.#running ??= this.#round().finally(() => {
      this.#running = null
      const now = performance.now()
      const busy = [...this.#services.values()].some(({ until }) => until > now)
      const wait = Math.max(lookEvery, rest * (now - begun))
      if (busy && !this.#stopped) this.#timer = setTimeout(() => this.look(), wait)
    })
  }

  /** Nothing is known any more: Docker does not answer, or the node is no manager. */
  forget(): void {
    this.#begun = false
    this.#services.clear()
    this.#tell()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#services.clear() // a round ends with the question that it is at
    if (this.#timer) clearTimeout(this.#timer)
    await this.#running
  }

  async #round(): Promise<void> {
    for (const [service, watched] of this.#services) {
      const ending = await this.#endingOf(service, watched)
      // Something happened to it meanwhile, or everything was forgotten: it is looked at again.
      const now = this.#services.get(service)
      if (!now) continue
      const same = ending.join() === watched.ending.join()
      const until = same ? now.until : performance.now() + calm
      if (ending.length === 0 && until <= performance.now()) this.#services.delete(service)
      else this.#services.set(service, { ending, until })
      this.#tell()
    }
  }

  async #endingOf(service: string, { ending }: Watched): Promise<readonly string[]> {
    try {
      const answer = await this.#ask({ service: [service], 'desired-state': pastStates })
      // null: the service is gone, and its containers end at once.
      return answer === null ? [] : parseTasks(answer).ending
    } catch {
      return ending
    }
  }

  #tell(): void {
    const ending = [...this.#services.values()].flatMap(each => each.ending).sort()
    const told = ending.join()
    if (told === this.#told) return
    this.#told = told
    this.#changed(ending)
  }
}
