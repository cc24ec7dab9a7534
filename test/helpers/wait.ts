/**
 * Waiting for something to become so; the one place where tests poll.
 */

export function sleep(seconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, seconds * 1000))
}

/**
 * Until `condition` gives something other than false, null or undefined, which is
 * returned. A condition that throws is asked again; after `seconds` the wait fails
 * with `what` and, where there is one, the last error's message.
 */
export async function waitFor<Value>(
  condition: () => Value | Promise<Value>,
  what: string,
  seconds: number,
  interval = 0.1,
): Promise<Exclude<Awaited<Value>, false | null | undefined>> {
  const end = performance.now() + seconds * 1000
  for (;;) {
    let trouble = ''
    try {
      const value = await condition()
      if (value !== false && value !== null && value !== undefined)
        return value as Exclude<Awaited<Value>, false | null | undefined>
    } catch (error) {
      trouble = `: ${error instanceof Error ? error.message : error}`
    }
    if (performance.now() >= end) throw new Error(`waited ${seconds} s in vain for ${what}${trouble}`)
    await sleep(interval)
  }
}
