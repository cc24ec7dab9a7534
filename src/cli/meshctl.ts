#!/usr/bin/env node
/**
 * meshctl: the command line. Runs one command and turns its error into one line on
 * stderr and an exit status: 0 done, 1 failed, 2 bad input, 3 agent unreachable.
 */
import { MeshError, reasonOf } from '../errors.js'
import { run } from './parser.js'

function exitStatusOf(error: unknown): number {
  if (!(error instanceof MeshError)) return 1
  return error.code === 'MESH_BAD_INPUT' ? 2 : error.code === 'MESH_UNREACHABLE' ? 3 : 1
}

// `meshctl ls | head -1`: the reader has seen enough.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

try {
  await run(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`meshctl: ${reasonOf(error)}\n`)
  process.exitCode = exitStatusOf(error)
}
