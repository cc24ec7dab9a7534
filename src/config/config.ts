/**
 * The settings of meshd: from flags, environment, file and defaults, in this order
 * of precedence, read by table.ts. Everything wrong is an InputError that names the
 * place where the value was written.
 */
import { readFileSync } from 'node:fs'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { parse as parseYaml, YAMLParseError } from 'yaml'
import { InputError, reasonOf } from '../errors.js'
import { sharesAddress } from '../model/ipv4.js'
import { nearest } from '../model/nearest.js'
import { overlap } from './pool.js'
import { type Setting, type Settings, settingList, table } from './table.js'

export const defaultConfigFile = '/etc/mesh/meshd.yaml'

/** MESH_ variables that are no settings of the agent. */
const otherVariables = ['MESH_CONFIG', 'MESH_TRACE']

/** What the command line asked for. */
export interface Invocation {
  readonly help: boolean
  readonly version: boolean
  /** null with help or version. */
  readonly settings: Settings | null
  /** Each a sentence for stderr: mistakes that stop nothing. */
  readonly warnings: readonly string[]
}

/** The value of one setting as text, and where it was written. */
interface Written {
  readonly field: string
  readonly text: string
}

/** `MESH_TCP_TIMEOUT` of `tcp-timeout`. */
export function variableOf(name: string): string {
  return `MESH_${name.toUpperCase().replaceAll('-', '_')}`
}

/**
 * Reads everything. `args` without node and script; `readFile` throws as
 * `readFileSync` does. Throws InputError.
 */
export function configure(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string = path => readFileSync(path, 'utf8'),
): Invocation {
  const flags = parseFlags(args)
  const help = flags.has('help')
  const version = flags.has('version')
  if (help || version) return { help, version, settings: null, warnings: [] }

  const variables = parseEnvironment(env)
  const file = parseFile(flags.get('config')?.text ?? env.MESH_CONFIG, readFile)
  const settings: Record<string, unknown> = {}
  for (const [key, setting] of Object.entries(table)) {
    const written = flags.get(setting.name) ?? variables.get(setting.name) ?? file.get(setting.name)
    settings[key] = parseValue(setting, written ?? { field: setting.name, text: setting.fallback })
  }
  const complete = settings as Settings
  checkTogether(complete)
  return { help, version, settings: complete, warnings: strayVariables(env) }
}

function parseFlags(args: readonly string[]): Map<string, Written> {
  const options: NonNullable<ParseArgsConfig['options']> = {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean', short: 'V' },
    config: { type: 'string' },
  }
  for (const { name } of settingList) options[name] = { type: 'string', multiple: true }
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true })
  const flags = new Map<string, Written>()
  for (const token of tokens ?? []) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional')
      throw new InputError('argument', token.value, 'meshd takes none', 'give settings as --name value')
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (!option) throw unknownName('flag', token.rawName, '--', Object.keys(options))
    if (option.type === 'boolean') {
      flags.set(token.name, { field: token.rawName, text: '' })
      continue
    }
    // parseArgs takes the next flag for a value; a value may begin with a dash only after `=`.
    if (token.value === undefined || (token.value.startsWith('--') && !token.inlineValue))
      throw new InputError('flag', token.rawName, 'its value is missing', `write ${token.rawName} VALUE`)
    const before = flags.get(token.name)
    const repeatable = settingList.some(({ name, repeatable }) => name === token.name && repeatable)
    if (before && !repeatable)
      throw new InputError('flag', token.rawName, 'it is given twice', 'give it once')
    flags.set(token.name, {
      field: token.rawName,
      text: before ? `${before.text},${token.value}` : token.value,
    })
  }
  return flags
}

/** An empty variable is as good as none: compose files and units often pass empty ones on. */
function parseEnvironment(env: Readonly<Record<string, string | undefined>>): Map<string, Written> {
  const variables = new Map<string, Written>()
  for (const { name } of settingList) {
    const field = variableOf(name)
    const text = env[field]
    if (text) variables.set(name, { field, text })
  }
  return variables
}

function strayVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = [...settingList.map(({ name }) => variableOf(name)), ...otherVariables]
  return Object.keys(env)
    .filter(name => name.startsWith('MESH_') && !known.includes(name))
    .map(name => {
      const near = nearest(name, known)
      return `the variable ${name} is no setting of meshd${near ? `; did you mean ${near}?` : ''}`
    })
}

/** The file that was named, or the default one if it is there. */
function parseFile(named: string | undefined, readFile: (path: string) => string): Map<string, Written> {
  const path = named || defaultConfigFile
  let text: string
  try {
    text = readFile(path)
  } catch (error) {
    if (!named && (error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw new InputError('config', path, reasonOf(error), 'name a YAML file that can be read')
  }
  let content: unknown
  try {
    content = parseYaml(text)
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error
    throw new InputError('config', path, error.message.split('\n')[0] ?? '', 'write YAML, as in `mtu: 1400`')
  }
  if (content === null || content === undefined) return new Map()
  if (typeof content !== 'object' || Array.isArray(content))
    throw new InputError('config', path, 'this is not a list of settings', 'write `name: value` lines')
  return parseKeys(path, content)
}

function parseKeys(path: string, content: object): Map<string, Written> {
  const names = settingList.map(({ name }) => name)
  const file = new Map<string, Written>()
  for (const [key, value] of Object.entries(content)) {
    const field = `${key} in ${path}`
    if (!names.includes(key)) throw unknownName(`setting in ${path}`, key, '', names)
    if (value === null) continue
    const repeatable = settingList.some(({ name, repeatable }) => name === key && repeatable)
    const items: unknown[] = Array.isArray(value) ? value : [value]
    if (
      (Array.isArray(value) && !repeatable) ||
      items.some(item => typeof item !== 'string' && typeof item !== 'number' && item !== false)
    )
      throw new InputError(
        field,
        JSON.stringify(value),
        'this is not a plain value',
        'write a number or text',
      )
    // YAML 1.1 readers take a bare `off` for false.
    file.set(key, { field, text: items.map(item => (item === false ? 'off' : String(item))).join(',') })
  }
  return file
}

function parseValue(setting: Setting, { field, text }: Written): unknown {
  const parsed = setting.schema.safeParse(text)
  if (parsed.success) return parsed.data
  throw inputError(field, text, parsed.error.issues[0]?.message ?? 'not understood; see meshd --help')
}

/** IPV6_MIN_MTU, linux/ipv6.h. */
const leastIpv6 = 1280

/** What no value shows by itself. */
function checkTogether(settings: Settings): void {
  const poolPrefix = Number(settings.pool.split('/')[1])
  if (settings.nodePrefix < poolPrefix)
    throw new InputError(
      'node-prefix',
      String(settings.nodePrefix),
      `a node's share would be larger than the pool ${settings.pool}`,
      `choose ${poolPrefix} or more`,
    )
  if (settings.vipPool !== null && sharesAddress(settings.vipPool, settings.pool))
    throw new InputError(
      'vip-pool',
      settings.vipPool,
      `it overlaps the pool ${settings.pool}`,
      'choose two subnets that share no address, or write none for a mesh without VIPs',
    )
  if (settings.ipv6 && overlap(settings.vipPool6, settings.pool6))
    throw new InputError(
      'vip-pool6',
      settings.vipPool6,
      `it overlaps the pool6 ${settings.pool6}`,
      'choose two subnets that share no address',
    )
  if (settings.ipv6 && settings.mtu < leastIpv6)
    throw new InputError(
      'mtu',
      String(settings.mtu),
      'links of IPv6 carry 1280 bytes at least',
      `choose ${leastIpv6} or more, or leave ipv6 off`,
    )
  for (const file of settings.files)
    if (!file.startsWith('/')) throw new InputError('file', file, 'not an absolute path', 'begin it with /')
}

/** `message` is `problem; remedy`. */
function inputError(field: string, value: string, message: string): InputError {
  const split = message.indexOf('; ')
  return split < 0
    ? new InputError(field, value, message, 'see meshd --help')
    : new InputError(field, value, message.slice(0, split), message.slice(split + 2))
}

function unknownName(field: string, name: string, prefix: string, names: readonly string[]): InputError {
  const near = nearest(name.replace(/^-+/, ''), names)
  return new InputError(
    field,
    name,
    'there is no such thing',
    near ? `did you mean ${prefix}${near}?` : 'meshd --help lists them all',
  )
}
