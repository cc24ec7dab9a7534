/**
 * Runs one of the project's programs as a child process, as a person does.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** `program`: `meshctl` or `meshd`. `env` is added to an environment without MESH_ variables. */
export function runProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input = '',
): Promise<Ended> {
  const path = fileURLToPath(new URL(`../../src/cli/${program}.js`, import.meta.url))
  // NODE_OPTIONS would load tap's own hooks into the child, which doubles its time.
  const foreign = (name: string) => name.startsWith('MESH_') || name === 'NODE_OPTIONS'
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign(name)))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path, ...args], { env: { ...clean, ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', part => {
      stdout += part
    })
    child.stderr.setEncoding('utf8').on('data', part => {
      stderr += part
    })
    child.on('error', reject)
    child.on('close', status => resolve({ status, stdout, stderr }))
    child.stdin.end(input)
  })
}
