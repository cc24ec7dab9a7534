/**
 * Variables in a compose file's values: `$NAME`, `${NAME}`, `${NAME:-default}`,
 * `${NAME-default}`, `${NAME:?message}`, `${NAME:+other}`, and `$$` for a dollar.
 * Defaults may hold variables. Pure.
 */
import { InputError } from '../errors.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** Names that a text may ask for, some of them more than once. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(/\$\{?([A-Za-z_]\w*)/g)].map(([, name]) => name!)
}

/** The text with its variables filled in. Throws InputError for one that has no value. */
export function substitute(text: string, environment: Environment): string {
  let result = ''
  let rest = text
  while (rest !== '') {
    const dollar = rest.indexOf('$')
    if (dollar < 0) return result + rest
    result += rest.slice(0, dollar)
    rest = rest.slice(dollar)
    const plain = /^\$([A-Za-z_]\w*)/.exec(rest)
    if (rest.startsWith('$$')) {
      result += '$'
      rest = rest.slice(2)
    } else if (rest.startsWith('${')) {
      const end = closing(rest, text)
      result += expand(rest.slice(2, end), text, environment)
      rest = rest.slice(end + 1)
    } else if (plain) {
      result += lookUp(plain[1]!, text, environment)
      rest = rest.slice(plain[0].length)
    } else throw invalid(text)
  }
  return result
}

/** Index of the brace that closes the one at index 1; braces inside are counted. */
function closing(rest: string, whole: string): number {
  let depth = 0
  for (let index = 1; index < rest.length; index++) {
    if (rest[index] === '{') depth++
    else if (rest[index] === '}' && --depth === 0) return index
  }
  throw invalid(whole)
}

function expand(inner: string, whole: string, environment: Environment): string {
  const match = /^([A-Za-z_]\w*)(?:(:?)([-?+])([\s\S]*))?$/.exec(inner)
  if (!match) throw invalid(whole)
  const [, name = '', colon, operator, word = ''] = match
  const value = environment[name]
  const isSet = value !== undefined && (colon !== ':' || value !== '')
  if (operator === undefined) return lookUp(name, whole, environment)
  if (operator === '+') return isSet ? substitute(word, environment) : ''
  if (isSet) return value
  if (operator === '-') return substitute(word, environment)
  throw new InputError('variable', whole, word || `${name} has no value`, `set ${name}`)
}

function lookUp(name: string, whole: string, environment: Environment): string {
  const value = environment[name]
  if (value === undefined)
    throw new InputError(
      'variable',
      whole,
      `${name} has no value`,
      `write \${${name}:-default}, or set ${name}`,
    )
  return value
}

function invalid(whole: string): InputError {
  return new InputError('variable', whole, 'this is not a variable', 'write $NAME, or $$ for a dollar sign')
}
