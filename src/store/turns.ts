/**
 * Work that is done one after the other, whether or not what went before it succeeded;
 * and work that is to be tried again in a while.
 */

export class Turns {
  readonly #gap: number
  readonly #timers = new Set<NodeJS.Timeout>()
  #last: Promise<unknown> = Promise.resolve()
  #ended = false

  /** `gap`: how long `later` waits, milliseconds. */
  constructor(gap: number) {
    this.#gap = gap
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Settles as `work` does. */
  next<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** What `work` fails with is its own to tell. */
  later(work: () => Promise<void>): void {
    if (this.#ended) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.next(work).catch(() => {})
    }, this.#gap)
    timer.unref()
    this.#timers.add(timer)
  }

  /** Nothing comes later any more. What has its turn already goes on: `done` waits for it. */
  end(): void {
    this.#ended = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  async done(): Promise<void> {
    await this.#last
  }
}
