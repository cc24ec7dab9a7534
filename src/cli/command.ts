/**
 * What all commands share: global options, and how results reach the terminal.
 */
import type { Argv, CommandModule } from 'yargs'
import { table as settings } from '../config/table.js'

export interface Global {
  readonly socket: string
  readonly output: 'table' | 'json'
}

/** A command of meshctl; `Own` are its own arguments. */
export type Command<Own = object> = CommandModule<Global, Global & Own>

/** The options and arguments that may come more than once. */
export const repeatable = ['endpoint', 'port', 'weight', 'alias', 'scope', 'SPEC-SERVICE', '_']

/** Options that are there or not; the parser would take any value of theirs but `true` for `false`. */
export const switches = ['wait', 'keep', 'undo', 'force', 'yes']

export const defaultSocket = settings.socket.fallback

/** Prints a result: `text` for people, `view` for programs. */
export function show(args: Global, view: unknown, text: string): void {
  const out = args.output === 'json' ? JSON.stringify(view, null, 2) : text
  if (out !== '') process.stdout.write(`${out}\n`)
}

export function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`meshctl: warning: ${warning}\n`)
}

/** `example('publish 8888:80 web', '…')` with the program's name before it. */
export function example<T>(yargs: Argv<T>, ...examples: readonly (readonly [string, string])[]): Argv<T> {
  return yargs.example(examples.map(([command, what]): [string, string] => [`meshctl ${command}`, what]))
}

/** An option that may be repeated, always as a list; undefined when it is not there. */
export function listOf(value: string | string[] | undefined): string[] | undefined {
  return value === undefined ? undefined : Array.isArray(value) ? value : [value]
}
