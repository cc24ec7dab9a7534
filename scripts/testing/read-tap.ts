/**
 * What a test file reported, read from the TAP it printed, and how it ended.
 */
import { Parser, type Result } from 'tap-parser'

/** How the run of one file ended. */
export interface Ending {
  /** Exit status; null when it never came to an end that somebody saw. */
  readonly status: number | null
  readonly stderr: string
  /** Seconds after which it was ended. */
  readonly limit: number
}

export interface FileResult {
  /** Test points of the top level that held, or did not. */
  readonly passed: number
  readonly failed: number
  /** Tests left out at any depth, and what for. */
  readonly skips: readonly string[]
  /** One text per failure, for a person. */
  readonly failures: readonly string[]
}

/** Where and why a test point failed, from its diagnostics. */
function describe(result: Result): string {
  const diag = (result.diag ?? {}) as Record<string, unknown>
  const at = diag.at as { fileName?: string; lineNumber?: number } | undefined
  const lines = [result.fullname]
  if (at?.fileName) lines.push(`at ${at.fileName}:${at.lineNumber}`)
  for (const [name, value] of Object.entries(diag)) {
    if (['at', 'source', 'stack', 'compare', 'tapCaught'].includes(name)) continue
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    lines.push(text.includes('\n') ? `${name}:\n${text.trimEnd()}` : `${name}: ${text}`)
  }
  if (!at?.fileName && typeof diag.stack === 'string') lines.push(diag.stack.trimEnd())
  return lines.join('\n')
}

function reasonOf(skip: string | boolean, name: string): string {
  return typeof skip === 'string' && skip !== '' ? `${name}: ${skip}` : name
}

/**
 * Gathers failed points and skips of one level. A failed point that closes a
 * subtest is told by the subtest's own failures, where there are any.
 */
function follow(parser: Parser, failures: string[], skips: string[]): void {
  let before = 0
  parser.on('child', (child: Parser) => {
    before = failures.length
    follow(child, failures, skips)
  })
  parser.on('assert', (result: Result) => {
    if (result.skip) skips.push(reasonOf(result.skip, result.fullname))
    else if (result.todo) skips.push(`${reasonOf(result.todo, result.fullname)} (to do)`)
    else if (!result.ok && failures.length === before) failures.push(describe(result))
    before = failures.length
  })
}

export function readTap(tap: string, ending: Ending): FileResult {
  const failures: string[] = []
  const skips: string[] = []
  const parser = new Parser()
  follow(parser, failures, skips)
  let passed = 0
  let failed = 0
  parser.on('assert', (result: Result) => {
    if (result.skip || result.todo) return
    if (result.ok) passed++
    else failed++
  })
  parser.on('bailout', (reason: string) => failures.push(`bail out: ${reason}`))
  parser.on('complete', results => {
    const reason = results.plan.skipAll ? results.plan.skipReason : ''
    if (reason && reason !== 'no tests found')
      skips.push(`the whole file: ${reason.replace(/^skip:?\s*/i, '')}`)
    // Points the plan promised and that never came, or came twice.
    for (const failure of results.failures) if (!('ok' in failure)) failures.push(failure.tapError)
  })
  parser.end(tap)

  const trouble = (text: string) => {
    failures.push(ending.stderr.trim() === '' ? text : `${text}\n${tail(ending.stderr, 30)}`)
  }
  if (ending.status === null) trouble('the lab ended before this file did')
  else if (ending.status === 124 || ending.status === 137) trouble(`took longer than ${ending.limit} s`)
  else if (ending.status !== 0 && failures.length === 0) trouble(`ended with exit status ${ending.status}`)
  else if (passed + failed + skips.length === 0) trouble('ran no test')
  if (failures.length > 0) failed = Math.max(failed, 1)
  return { passed, failed, skips, failures }
}

/** The last lines of a text. */
export function tail(text: string, lines: number): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n')
}
