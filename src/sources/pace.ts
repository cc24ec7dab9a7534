/**
 * Paces a call that many events ask for: the first at once, within the caller's
 * own turn, the next ones together and not before `gap` milliseconds have passed.
 */
export interface Pace {
  (): void
  stop(): void
}

export function paced(gap: number, run: () => void): Pace {
  let last = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | null = null

  function fire(): void {
    timer = null
    last = performance.now()
    run()
  }
  function ask(): void {
    if (timer !== null) return
    const wait = last + gap - performance.now()
    if (wait <= 0) fire()
    else timer = setTimeout(fire, wait)
  }
  return Object.assign(ask, {
    stop() {
      if (timer !== null) clearTimeout(timer)
      timer = null
    },
  })
}
