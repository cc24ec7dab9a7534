/**
 * Docker's event stream as lines and its events as plain values. Pure; the
 * connection itself is docker.ts.
 */
import * as z from 'zod'

/** Kinds of events asked for: enough to follow containers, Swarm's ports and what it does to tasks, and no exec (each health probe is two). */
export const eventFilters = {
  type: ['container', 'network', 'service', 'node'],
  event: [
    'start',
    'die',
    'kill',
    'stop',
    'pause',
    'unpause',
    'health_status',
    'destroy',
    'rename',
    'update',
    'oom',
    'connect',
    'disconnect',
    'create',
    'remove',
  ],
}

export interface DockerEvent {
  readonly type: string
  /** `start`, `kill`, `health_status: healthy`. */
  readonly action: string
  /** Id of what it happened to. */
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  /** Nanoseconds since 1970. */
  readonly time: bigint
}

const eventLine = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()).nullish() }),
})

/** One line of the stream; null if it is none that Docker should send. */
export function parseEvent(line: string): DockerEvent | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  const event = eventLine.safeParse(value)
  if (!event.success) return null
  // Beyond 2^53: taken from the text, JSON.parse would round it.
  const nano = /"timeNano":\s*(\d+)/.exec(line)?.[1]
  return {
    type: event.data.Type,
    action: event.data.Action,
    id: event.data.Actor.ID,
    attributes: event.data.Actor.Attributes ?? {},
    time: BigInt(nano ?? '0'),
  }
}

/** Cuts a stream into lines: chunks end anywhere, also inside a character. */
export function lineSplitter(onLine: (line: string) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder()
  let rest = ''
  return chunk => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') onLine(line)
  }
}

/** The `since` parameter for events after the one at `time`: seconds and nanoseconds. */
export function sinceParameter(time: bigint): string {
  const next = time + 1n // Docker includes the moment itself
  const second = 1_000_000_000n
  return `${next / second}.${String(next % second).padStart(9, '0')}`
}
