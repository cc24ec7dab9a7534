/**
 * Which containers have ended, by their processes: Docker says so only when it has cleared
 * up behind them, and not at all while it is away. A process is known by the network
 * namespace it is in, for its id alone may be that of another one by now.
 */
import { readlinkSync } from 'node:fs'

/** A container's first process. */
export interface Process {
  /** Of the container. */
  readonly id: string
  readonly pid: number
}

export class Processes {
  /** `ID@PID` → its namespace when it was looked at first; null: it was gone then, which proves nothing. */
  #seen = new Map<string, string | null>()

  constructor(private readonly proc: string) {}

  /** Those that were there when they were looked at first, and are not any more. Some microseconds each. */
  ended(all: readonly Process[]): Process[] {
    const seen = new Map<string, string | null>()
    const found = all.filter(({ id, pid }) => {
      const key = `${id}@${pid}`
      const now = this.#namespaceOf(pid)
      const first = this.#seen.has(key) ? this.#seen.get(key)! : now
      seen.set(key, first)
      return first !== null && first !== now
    })
    this.#seen = seen
    return found
  }

  /** A process that has ended and waits for its parent has no namespaces any more. */
  #namespaceOf(pid: number): string | null {
    try {
      return readlinkSync(`${this.proc}/${pid}/ns/net`)
    } catch {
      return null
    }
  }
}
