/**
 * Lengths of time as people write them: `30s`, `2m`, `500ms`, `1h`, `1m30s`, or
 * plain seconds. Pure; the command line, labels and files all come here.
 */
import { InputError } from '../errors.js'

const seconds = { h: 3600, m: 60, s: 1, ms: 0.001 } as const
const form = 'write a number and a unit, for example 500ms, 30s, 2m, 1h or 1m30s'

/** Limits of a drain time and of persistence, seconds. */
export const longestDrain = 86_400
const longestPersistence = 86_400

/**
 * Parses a length of time into seconds (500ms is 0.5). `field` names the place in
 * the error; a value outside `least`–`most` seconds is refused. Throws InputError.
 */
export function parseDuration(
  value: string | number,
  field = 'duration',
  least = 0,
  most = Number.MAX_SAFE_INTEGER,
): number {
  const text = String(value).trim()
  const total = /^\d+(\.\d+)?$/.test(text) ? Number(text) : sumOfParts(text)
  if (total === null) throw new InputError(field, text, 'this is not a length of time', form)
  if (total < least || total > most)
    throw new InputError(
      field,
      text,
      `${formatDuration(total)} is outside ${formatDuration(least)}–${formatDuration(most)}`,
      `choose a length from ${formatDuration(least)} to ${formatDuration(most)}`,
    )
  return total
}

/** A drain time: 0 to 24 hours. */
export function parseDrain(value: string | number, field = 'drain'): number {
  return parseDuration(value, field, 0, longestDrain)
}

/** How long a client stays with its endpoint: `none`, or 1 second to 24 hours in whole seconds; 0 is none. */
export function parsePersistence(value: string | number, field = 'persist'): number {
  if (String(value).trim() === 'none') return 0
  const total = parseDuration(value, field, 0, longestPersistence)
  if (Number.isInteger(total)) return total
  throw new InputError(
    field,
    String(value),
    'the kernel counts whole seconds',
    'write one, as in 600s, or none',
  )
}

function sumOfParts(text: string): number | null {
  const match =
    /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/.exec(text)
  if (!match || text === '') return null
  const part = (index: number, unit: keyof typeof seconds) => Number(match[index] ?? 0) * seconds[unit]
  return part(1, 'h') + part(2, 'm') + part(3, 's') + part(4, 'ms')
}

/** `90` → `1m30s`, `0.5` → `500ms`; what `parseDuration` reads back to the millisecond. */
export function formatDuration(value: number): string {
  let rest = Math.round(value * 1000)
  if (rest === 0) return '0s'
  let text = ''
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) text += `${count}${unit}`
  }
  return text
}
