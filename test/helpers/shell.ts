/**
 * Programs run to their end by a shell beside the test. To start one the kernel copies the
 * memory map of whoever starts it: of a shell that takes the lab 3 ms, of Node with all that
 * a test has loaded 50.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Commands end with a zero byte; each is answered with its status in a line. */
const loop = `
  exec 3>"$0/status" 4<"$0/command"
  while IFS= read -r -d '' -u 4 command; do eval "$command"; echo $? >&3; done`

interface Shell {
  readonly directory: string
  readonly command: number
  readonly status: number
}

let shell: Shell | null = null

function start(): Shell {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-shell-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const pipes = ['status', 'command'].map(name => join(directory, name)) as [string, string]
  const made = spawnSync('mkfifo', pipes)
  if (made.status !== 0) throw new Error(`mkfifo: ${made.error ?? made.stderr}`)
  spawn('bash', ['-c', loop, directory], { stdio: 'ignore' }).unref()
  // Each waits for the shell to open the other end; it ends when ours is closed, with this process.
  return { directory, status: openSync(pipes[0], 'r'), command: openSync(pipes[1], 'w') }
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * Runs a program in the namespace at `path` (null: that of the test), with `input` on its
 * standard input; returns what it printed. Throws with its words when it failed.
 */
export function runByShell(path: string | null, argv: readonly string[], input = ''): string {
  shell ??= start()
  const file = (name: string) => join(shell!.directory, name)
  if (input !== '') writeFileSync(file('in'), input)
  const program = path === null ? argv : ['nsenter', `--net=${path}`, '--', ...argv]
  const from = input === '' ? '/dev/null' : quoted(file('in'))
  const streams = `<${from} >${quoted(file('out'))} 2>${quoted(file('err'))}`
  writeSync(shell.command, `${program.map(quoted).join(' ')} ${streams}\0`)
  const answer = Buffer.alloc(16)
  const status = answer.toString('latin1', 0, readSync(shell.status, answer)).trim()
  if (status !== '0') throw new Error(`${argv.join(' ')}: ${readFileSync(file('err'), 'utf8') || status}`)
  return readFileSync(file('out'), 'utf8')
}
