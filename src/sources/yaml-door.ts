/**
 * The door for YAML files: text in, checked value out, and for every complaint the
 * file, line and field it is about. Pure; mesh-file.ts and compose.ts come here.
 */
import { basename } from 'node:path'
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml'
import type * as z from 'zod'
import { InputError, reasonOf } from '../errors.js'

export type Path = readonly (string | number)[]

export interface YamlFile<T> {
  readonly value: T
  /** `mesh.yaml:4 services.web.ports[0]`: what an error about this field begins with. */
  at(path: Path): string
  /** Runs a parser of one field; its InputError comes out with the field's place in the file. */
  read<Output>(path: Path, parse: () => Output): Output
}

/**
 * Reads YAML 1.2 with merge keys, one document. `remedy` says what to write at a
 * path where something else was found. Throws InputError.
 */
export function readYaml<T>(
  text: string,
  fileName: string,
  schema: z.ZodType<T>,
  remedy: (path: Path) => string,
): YamlFile<T> {
  const name = basename(fileName)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, merge: true })
  const broken = document.errors[0]
  if (broken) {
    const line = lines.linePos(broken.pos[0]).line
    const [problem = 'this is not YAML'] = broken.message.split(/ at line \d+/)
    throw new InputError(`${name}:${line}`, lineOf(text, line), problem, 'correct the YAML')
  }
  const at = (path: Path) => {
    const offset = offsetOf(document, path)
    const place = offset === null ? name : `${name}:${lines.linePos(offset).line}`
    return path.length === 0 ? place : `${place} ${formatPath(path)}`
  }
  const value = toValue(document, at([]))
  const result = schema.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]!
    const extra = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
    const path = [...issue.path, ...extra] as Path
    const found = valueAt(value, path)
    const problem =
      issue.code === 'unrecognized_keys'
        ? 'there is no such field'
        : found === undefined || found === null
          ? 'a value is missing here'
          : `${kindOf(found)} does not belong here`
    throw new InputError(at(path), shown(found), problem, remedy(issue.path as Path))
  }
  return {
    value: result.data,
    at,
    read(path, parse) {
      try {
        return parse()
      } catch (error) {
        if (!(error instanceof InputError)) throw error
        throw new InputError(at(path), error.value, error.problem, error.remedy)
      }
    },
  }
}

function toValue(document: Document, place: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    // Aliases without an anchor, or so many that they would fill the memory.
    throw new InputError(place, '', reasonOf(error), 'correct the YAML')
  }
}

/** Where the field begins in the text; where that is not to be found (merged in), the nearest field around it. */
function offsetOf(document: Document, path: Path): number | null {
  for (let length = path.length; length >= 0; length--) {
    const parent = length === 0 ? null : document.getIn(path.slice(0, length - 1), true)
    const pair = isMap(parent)
      ? parent.items.find(item => isScalar(item.key) && String(item.key.value) === String(path[length - 1]))
      : undefined
    if (isNode(pair?.key) && pair.key.range) return pair.key.range[0]
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return null
}

/** `services.web.ports[0]` */
export function formatPath(path: Path): string {
  return path
    .map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')
}

function valueAt(value: unknown, path: Path): unknown {
  let found = value
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined
    found = (found as Record<string | number, unknown>)[step]
  }
  return found
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  return typeof value === 'boolean' ? 'true or false' : `a ${typeof value}`
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return ''
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 59)}…` : text
}

function lineOf(text: string, line: number): string {
  return (text.split('\n')[line - 1] ?? '').trim()
}
