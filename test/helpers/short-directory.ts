/**
 * A directory with a short name: the path of a unix socket has at most 107 bytes,
 * which tap's own test directories exceed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export function shortDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
