/**
 * The parser's complaints in the form all bad input has: field, value, remedy. Pure.
 */

import { InputError } from '../errors.js'
import { nearest } from '../model/nearest.js'

/**
 * `message` is what yargs says of `args`; `commands` are the names of ours. Messages
 * of a kind not known here are passed on in one line.
 */
export function complaint(message: string, args: readonly string[], commands: readonly string[]): InputError {
  const command = args.find(each => commands.includes(each))
  const help = `see meshctl ${command === undefined ? '' : `${command} `}--help`
  const text = message.trim().replace(/\s*\n\s*/g, ' ')
  const found = (pattern: RegExp) => pattern.exec(text)

  const unknown = found(/^Unknown (?:argument|command)s?: (.+)$/)?.[1]?.split(', ')[0]
  if (unknown !== undefined) {
    const option = args.find(
      each => each.replace(/^--?/, '').split('=')[0] === unknown && each.startsWith('-'),
    )
    if (option !== undefined) return new InputError('option', option, 'there is no such option', help)
    if (command !== undefined)
      return new InputError('argument', unknown, `${command} takes no such argument`, help)
    const near = nearest(unknown, commands)
    return new InputError(
      'command',
      unknown,
      'there is no such command',
      near ? `did you mean ${near}?` : help,
    )
  }
  if (text === 'Missing command') return new InputError('command', '', 'it is missing', help)
  const valueless = found(/^Not enough arguments following: (.+)$/)?.[1]
  if (valueless !== undefined)
    return new InputError(
      'option',
      dashed(valueless),
      'its value is missing',
      `write ${dashed(valueless)} VALUE`,
    )
  const missing = found(/^Missing required arguments?: (.+)$/)?.[1]
  if (missing !== undefined) return new InputError('option', dashed(missing), 'it is missing', help)
  if (found(/^Not enough non-option arguments/))
    return new InputError('arguments', args.slice(1).join(' '), 'there are too few', help)
  const choice = found(/Argument: ([^,]+), Given: (.+), Choices: (.+)$/)
  if (choice)
    return new InputError(
      dashed(choice[1] ?? ''),
      (choice[2] ?? '').replaceAll('"', ''),
      'it is not one of the choices',
      `use ${(choice[3] ?? '').replaceAll('"', '').split(', ').join(' or ')}`,
    )
  return new InputError('command line', args.join(' '), text, help)
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`
}
