/**
 * Work by key, a bounded number at a time. A key wanted again while it is being
 * worked on is worked on once more afterwards; wanted twice while waiting, once.
 */
export interface WorkQueue {
  /** Resolves when the key has been worked on by a run that began after this call; rejects if that run failed. */
  want(key: string): Promise<void>
  /** Whether a newer run for the key is already asked for, so that this one's result is out of date. */
  isWanted(key: string): boolean
  /** Whether the key is being worked on. */
  isRunning(key: string): boolean
  /** Forgets what waits; what runs goes on. Promises of the forgotten reject. */
  clear(): void
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>
}

interface Ticket {
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** `width`: how many keys at once, from 1. */
export function workQueue(width: number, work: (key: string) => Promise<void>): WorkQueue {
  const waiting = new Map<string, Ticket>()
  const running = new Set<string>()
  let onIdle: (() => void)[] = []

  function pump(): void {
    for (const [key, ticket] of waiting) {
      if (running.size >= width) return
      if (running.has(key)) continue
      waiting.delete(key)
      running.add(key)
      void run(key, ticket)
    }
    if (waiting.size > 0 || running.size > 0) return
    for (const resolve of onIdle) resolve()
    onIdle = []
  }

  async function run(key: string, ticket: Ticket): Promise<void> {
    try {
      await work(key)
      ticket.resolve()
    } catch (error) {
      ticket.reject(error)
    } finally {
      running.delete(key)
      pump()
    }
  }

  return {
    want(key) {
      const present = waiting.get(key)
      if (present) return present.done
      const { promise: done, resolve, reject } = withResolvers()
      waiting.set(key, { done, resolve, reject })
      pump()
      return done
    },
    isWanted: key => waiting.has(key),
    isRunning: key => running.has(key),
    clear() {
      const forgotten = [...waiting.values()]
      waiting.clear()
      for (const ticket of forgotten) ticket.reject(new Error('no longer wanted'))
      pump()
    },
    async idle() {
      if (waiting.size > 0 || running.size > 0) await new Promise<void>(resolve => onIdle.push(resolve))
    },
  }
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
