/**
 * Which containers have ended although their Engine does not say so, being away: by their
 * processes, each known by the network namespace it is in. A process id alone may be that
 * of another one by now.
 */
import { readlink } from 'node:fs/promises'

/** A container's first process. */
export interface Process {
  readonly id: string
  readonly pid: number
}

export class Processes {
  /** `ID@PID` → its namespace when it was looked at first; null: it was gone then, which proves nothing. */
  readonly #seen = new Map<string, string | null>()

  constructor(private readonly proc: string) {}

  /** Those that were there when they were looked at first, and are not any more. */
  async ended(all: readonly Process[]): Promise<Process[]> {
    const found = await Promise.all(all.map(async each => ((await this.#hasEnded(each)) ? each : null)))
    return found.filter(each => each !== null)
  }

  async #hasEnded({ id, pid }: Process): Promise<boolean> {
    const key = `${id}@${pid}`
    // A process that has ended and is not reaped yet has no namespaces any more.
    const now = await readlink(`${this.proc}/${pid}/ns/net`).catch(() => null)
    const first = this.#seen.get(key)
    if (first === undefined) this.#seen.set(key, now)
    return first !== undefined && first !== null && first !== now
  }
}
