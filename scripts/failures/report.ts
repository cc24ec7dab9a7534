/**
 * The table of failures as Markdown. Pure.
 */
export interface Figure {
  /** Requests in all while it was looked. */
  readonly requests: number
  readonly failed: readonly FailedRequest[]
  /** From the failure to the begin of the last request that failed, seconds, 0 for none; null: some still failed at the end. */
  readonly clean: number | null
}

export interface FailedRequest {
  /** When it began, seconds after the failure; less than 0 where that took it by surprise. */
  readonly at: number
  /** Address of the node it went to. */
  readonly entry: string
  readonly code: string
}

export interface Row {
  readonly title: string
  readonly mesh: Figure
  readonly docker: Figure
  /** Whether what was done goes on while it is looked and may cost a request at any time: `clean` says nothing then. */
  readonly lasting: boolean
}

function cellsOf({ requests, failed, clean }: Figure, lasting: boolean): [string, string] {
  const after = lasting ? '–' : clean === null ? 'not clean' : clean === 0 ? '0 s' : `${clean.toFixed(1)} s`
  return [`${failed.length} of ${requests}`, after]
}

/** What failed in each second, a line each: for whoever looks for the cause. */
export function details({ failed }: Figure): string[] {
  const seconds = new Map<number, Map<string, number>>()
  for (const { at, code, entry } of [...failed].sort((a, b) => a.at - b.at)) {
    const second = Math.floor(at)
    const kinds = seconds.get(second) ?? new Map<string, number>()
    seconds.set(second, kinds)
    const kind = `${code} through ${entry}`
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  return [...seconds].map(
    ([second, kinds]) => `${second} s: ${[...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ')}`,
  )
}

export function markdown(rows: readonly Row[]): string {
  const head = ['failure', 'mesh: failed', 'clean after', "Docker's: failed", 'clean after']
  const body = rows.map(({ title, mesh, docker, lasting }) => [
    title,
    ...cellsOf(mesh, lasting),
    ...cellsOf(docker, lasting),
  ])
  const all = [head, ...body]
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...body.map(line)].join('\n')
}

/** Rows after which the mesh was not clean. */
export function unclean(rows: readonly Row[]): readonly Row[] {
  return rows.filter(({ mesh, lasting }) => !lasting && mesh.clean === null)
}

/** Rows in which clients of the mesh lost more than those of Docker's. */
export function worse(rows: readonly Row[]): readonly Row[] {
  return rows.filter(({ mesh, docker }) => mesh.failed.length > docker.failed.length)
}
