/**
 * What a part of the bench reports: rows of samples, and their form as Markdown.
 */
export interface Row {
  readonly name: string
  /** `ms`, `messages`, `×` for a ratio, … */
  readonly unit: string
  /** One value per round, in the order in which they were taken. */
  readonly samples: readonly number[]
  /** What the median should not exceed. */
  readonly goal?: number
  /** What the median should reach. */
  readonly atLeast?: number
}

export interface Section {
  readonly title: string
  readonly rows: readonly Row[]
  /** What a reader has to know to understand the numbers. */
  readonly remarks?: readonly string[]
}

/** The value below which `share` (0–1) of the samples lie; NaN for none. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

/** Quotients of samples taken in the same rounds. */
export function ratios(numerators: readonly number[], denominators: readonly number[]): number[] {
  return numerators.map((value, round) => value / (denominators[round] ?? Number.NaN))
}

/** Three significant digits, or the whole number where that has more. */
function figure(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return String(Math.round(value))
  return String(Number(value.toPrecision(3)))
}

function verdictOn({ samples, goal, atLeast }: Row): string {
  const middle = median(samples)
  const sentences = [
    ...(goal === undefined ? [] : [`≤ ${goal}: ${middle <= goal ? 'met' : 'missed'}`]),
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}: ${middle >= atLeast ? 'met' : 'missed'}`]),
  ]
  return sentences.join(', ')
}

function cells(row: Row): string[] {
  const { name, unit, samples } = row
  const count = samples.length
  const range = count > 1 ? `${figure(Math.min(...samples))}–${figure(Math.max(...samples))}` : ''
  const p95 = count >= 10 ? figure(quantile(samples, 0.95)) : ''
  return [name, `${figure(median(samples))} ${unit}`, range, p95, String(count), verdictOn(row)]
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [head, ...body] = rows
  return [line(head!), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line)].join(
    '\n',
  )
}

export function markdown({ title, rows, remarks = [] }: Section): string {
  const head = ['', 'median', 'range', 'p95', 'n', 'goal']
  return [`### ${title}`, table([head, ...rows.map(cells)]), ...remarks.map(remark => `- ${remark}`)].join(
    '\n\n',
  )
}
