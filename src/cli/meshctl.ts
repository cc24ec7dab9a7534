#!/usr/bin/env node
/**
 * meshctl: the command line. Parses, runs one command, and turns its errors into one
 * line on stderr and an exit status: 0 done, 1 failed, 2 bad input, 3 agent unreachable.
 */
import yargs, { type Argv } from 'yargs'
import { InputError, MeshError, reasonOf } from '../errors.js'
import { defaultSocket, repeatable } from './command.js'
import { apply } from './commands/apply.js'
import { clean } from './commands/clean.js'
import { completeServices, completion } from './commands/completion.js'
import { inspect } from './commands/inspect.js'
import { ls } from './commands/ls.js'
import { plan } from './commands/plan.js'
import { publish } from './commands/publish.js'
import { status } from './commands/status.js'
import { unpublish } from './commands/unpublish.js'
import { version } from './commands/version.js'
import { complaint } from './complaint.js'
import { packageVersion } from './version.js'

const commands = [publish, unpublish, ls, inspect, status, plan, apply, clean, version]
const names = [...commands.map(({ command }) => String(command).split(' ')[0] ?? ''), 'completion']

function exitStatusOf(error: unknown): number {
  if (!(error instanceof MeshError)) return 1
  return error.code === 'MESH_BAD_INPUT' ? 2 : error.code === 'MESH_UNREACHABLE' ? 3 : 1
}

/** yargs makes a list of what is given twice; nothing here means anything twice but what says so. */
function refuseRepeated(argv: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(argv))
    if (Array.isArray(value) && !repeatable.includes(name))
      throw new InputError(`--${name}`, value.join(' '), 'it is given twice', 'give it once')
}

function createParser(args: readonly string[]): Argv {
  type Defaults = (done: (error: Error | null, known: string[] | undefined) => void) => void
  const complete = (_word: string, _argv: unknown, defaults: Defaults, done: (all: string[]) => void) => {
    const words = args.slice(args.indexOf('--get-yargs-completions') + 1)
    const services = completeServices(words)
    defaults((_error, known) => void services.then(more => done([...(known ?? []), ...more])))
  }
  const parser: Argv = yargs([...args])
    .scriptName('meshctl')
    .usage(
      `meshctl COMMAND

Publishes ports of Docker services, compose services and containers on this node.
Needs the agent, meshd, to run. Begin with: meshctl publish 8888:80 SERVICE`,
    )
    .option('socket', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: "the agent's unix socket, also MESH_SOCKET",
      default: process.env.MESH_SOCKET || defaultSocket,
    })
    .option('output', {
      alias: 'o',
      requiresArg: true,
      global: true,
      choices: ['table', 'json'] as const,
      default: 'table' as const,
      describe: 'tables for people, JSON for programs',
    })
    .command([...commands, completion(() => parser)] as never)
    .completion('completion-script', false, complete as never)
    .middleware(refuseRepeated, true)
    .demandCommand(1, 'Missing command')
    .strict()
    .version(packageVersion())
    .alias('help', 'h')
    .locale('en')
    .wrap(100)
    .epilogue('exit status: 0 done, 1 failed, 2 bad input, 3 agent unreachable')
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'boolean-negation': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'strip-aliased': true,
      'camel-case-expansion': false,
    })
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      throw error instanceof MeshError ? error : complaint(message ?? reasonOf(error), args, names)
    })
  return parser
}

// `meshctl ls | head -1`: the reader has seen enough.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

try {
  await createParser(process.argv.slice(2)).parseAsync()
} catch (error) {
  process.stderr.write(`meshctl: ${reasonOf(error)}\n`)
  process.exitCode = exitStatusOf(error)
}
