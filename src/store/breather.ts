/**
 * Runs something as often as it is asked for, but leaves others most of the time: what
 * takes long runs less often, and once for all that asked meanwhile.
 */

/** After a run it rests for so many times what that took. */
const rest = 3
/** A rest shorter than this is none, milliseconds. */
const shortest = 2

export class Breather {
  private readonly run: () => void
  private timer: NodeJS.Timeout | null = null
  /** By performance.now(). */
  private restedAt = 0

  constructor(run: () => void) {
    this.run = run
  }

  /** Runs it now, or later if it ran a moment ago. */
  ask(): void {
    if (this.timer) return
    const wait = this.restedAt - performance.now()
    if (wait < shortest) {
      this.now()
      return
    }
    this.timer = setTimeout(() => this.now(), wait)
    this.timer.unref()
  }

  private now(): void {
    this.timer = null
    const began = performance.now()
    this.run()
    const ended = performance.now()
    this.restedAt = ended + rest * (ended - began)
  }

  stop(): void {
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
  }
}
