/**
 * What the variables of a compose file stand for, as compose has it: the environment, and
 * for what is not in it the file `.env` beside it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { type Environment, namesIn } from '../sources/compose-variables.js'

/** What compose goes by, whether its file names it or not. */
const always = ['COMPOSE_PROJECT_NAME']

/** The variables that the text of a file in `directory` names, and no others. */
export function environmentOf(
  text: string,
  directory: string,
  environment: Environment = process.env,
): Record<string, string> {
  const all: Environment = { ...besideFile(directory), ...environment }
  const found: Record<string, string> = {}
  for (const name of [...always, ...namesIn(text)]) if (all[name] !== undefined) found[name] = all[name]
  return found
}

function besideFile(directory: string): Environment {
  try {
    return parseEnv(readFileSync(join(directory, '.env'), 'utf8'))
  } catch {
    return {} // mostly there is none
  }
}
