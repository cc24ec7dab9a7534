/**
 * meshctl's parser: every command, the options they share, and how complaints are
 * worded. What a command does is in its own file under commands/.
 */
import yargs, { type Argv } from 'yargs'
import { InputError, reasonOf } from '../errors.js'
import { defaultSocket, repeatable, switches } from './command.js'
import { adopt, release } from './commands/adopt.js'
import { apply } from './commands/apply.js'
import { clean } from './commands/clean.js'
import { completeServices, completion } from './commands/completion.js'
import { dns } from './commands/dns.js'
import { inspect } from './commands/inspect.js'
import { ls } from './commands/ls.js'
import { node } from './commands/node.js'
import { plan } from './commands/plan.js'
import { publish } from './commands/publish.js'
import { service } from './commands/service.js'
import { status } from './commands/status.js'
import { unpublish } from './commands/unpublish.js'
import { version } from './commands/version.js'
import { complaint } from './complaint.js'
import { packageVersion } from './version.js'

const commands = [
  publish,
  unpublish,
  ls,
  inspect,
  status,
  plan,
  apply,
  adopt,
  release,
  service,
  node,
  dns,
  clean,
  completion,
  version,
]
const names = commands.map(({ command }) => String(command).split(' ')[0] ?? '')

/**
 * yargs makes a list of what is given twice; nothing here means anything twice but what says so.
 * An empty socket would be port 80 of this machine.
 */
function refuseOddities(argv: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(argv))
    if (Array.isArray(value) && !repeatable.includes(name))
      throw new InputError(`--${name}`, value.join(' '), 'it is given twice', 'give it once')
  if (argv.socket === '')
    throw new InputError('--socket', '', 'it is empty', `leave it out for ${defaultSocket}`)
}

/** `--undo=yes` asks for what it does not say. */
function refuseValues(args: readonly string[]): void {
  for (const arg of args) {
    if (arg === '--') return
    const [, option = '', name = '', value = ''] = /^(--?([a-z-]+))=(.*)$/s.exec(arg) ?? []
    if (switches.includes(name) && value !== 'true' && value !== 'false')
      throw new InputError(option, value, 'it takes no value', `write ${option}, or leave it out`)
  }
}

/** Runs the command that `args` ask for; rejects with its error. */
export async function run(args: readonly string[]): Promise<void> {
  refuseValues(args)
  await createParser(args).parseAsync() // which may also throw at once; here that is a rejection too
}

export function createParser(args: readonly string[]): Argv {
  type Defaults = (done: (error: Error | null, known: string[] | undefined) => void) => void
  const complete = (_word: string, _argv: unknown, defaults: Defaults, done: (all: string[]) => void) => {
    const words = args.slice(args.indexOf('--get-yargs-completions') + 1)
    const services = completeServices(words)
    defaults((_error, known) => void services.then(more => done([...(known ?? []), ...more])))
  }
  return yargs([...args])
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
    .command(commands as never)
    .completion('completion-script', false, complete as never)
    .middleware(refuseOddities, true)
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
      // YError is the parser's own; anything else was thrown by a command and says enough itself.
      throw error && error.name !== 'YError' ? error : complaint(message ?? reasonOf(error), args, names)
    })
}
