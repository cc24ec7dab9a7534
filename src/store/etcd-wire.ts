/**
 * What goes over the wire to etcd's JSON gateway (etcd 3.4, `/v3/…`): keys and values
 * in base64, 64-bit numbers as text, fields of value 0, '' or false left out. Pure;
 * etcd-http.ts carries it, etcd-client.ts asks.
 */
import { z } from 'zod'
import { MeshError } from '../errors.js'

/** Codes of gRPC that etcd answers with (google.golang.org/grpc/codes). */
export const grpc = {
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const

/** etcd refused, or could not be reached. */
export class EtcdError extends MeshError {
  /** gRPC code of the answer; null when there was none. */
  readonly grpcCode: number | null
  /** Another endpoint, or the same one later, may do better. */
  readonly passing: boolean
  /** The request may have been carried out all the same. */
  readonly uncertain: boolean
  constructor(
    message: string,
    facts: { grpcCode?: number | null; passing: boolean; uncertain: boolean; cause?: unknown },
  ) {
    super('MESH_STORE', message, { cause: facts.cause })
    this.grpcCode = facts.grpcCode ?? null
    this.passing = facts.passing
    this.uncertain = facts.uncertain
  }
}

export function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString()
}

/** The first key after all that begin with `prefix`, whose last character must be below U+007F. */
export function afterPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

/** A revision counts all writes to the etcd; some millions a day stay below 2^53 for ever. */
const number = z.coerce.number().default(0)
/** Leases have 63-bit random ids, so they stay text. */
const id = z.string().default('0')
const bytes = z.string().default('').transform(decode)

const keyValue = z
  .object({ key: bytes, value: bytes, mod_revision: number, lease: id })
  .transform(({ key, value, mod_revision, lease }) => ({ key, value, revision: mod_revision, lease }))

export interface KeyValue {
  readonly key: string
  readonly value: string
  /** Revision of the last write to this key. */
  readonly revision: number
  /** '0': none. */
  readonly lease: string
}

const header = z.object({ revision: number, cluster_id: id }).default({ revision: 0, cluster_id: '0' })

export const rangeAnswer = z.object({
  header,
  kvs: z.array(keyValue).default([]),
  more: z.boolean().default(false),
})
export const txnAnswer = z.object({ header, succeeded: z.boolean().default(false) })
export const leaseAnswer = z.object({ ID: id, TTL: number })
export const keepAliveAnswer = z.object({ result: z.object({ ID: id, TTL: number }) })
export const tokenAnswer = z.object({ token: z.string() })

/** One line of a watch. */
const watchLine = z.object({
  result: z
    .object({
      header,
      created: z.boolean().default(false),
      canceled: z.boolean().default(false),
      cancel_reason: z.string().default(''),
      compact_revision: number,
      fragment: z.boolean().default(false),
      events: z.array(z.object({ type: z.enum(['PUT', 'DELETE']).default('PUT'), kv: keyValue })).default([]),
    })
    .optional(),
  error: z.object({ grpc_code: z.number().default(0), message: z.string().default('') }).optional(),
})

export interface WatchEvent {
  readonly type: 'PUT' | 'DELETE'
  readonly kv: KeyValue
}

export interface WatchAnswer {
  readonly header: { readonly revision: number; readonly cluster_id: string }
  readonly created: boolean
  readonly events: readonly WatchEvent[]
  /** More events of the same moment follow. */
  readonly fragment: boolean
}

/** Throws EtcdError when the line says that the watch has ended. */
export function parseWatchLine(line: string, endpoint: string): WatchAnswer {
  const { result, error } = parseAnswer(watchLine, line, endpoint)
  if (error) throw refusal(endpoint, error.grpc_code, error.message)
  if (!result) throw refusal(endpoint, 0, 'a watch answered with nothing')
  if (result.compact_revision > 0) throw refusal(endpoint, grpc.outOfRange, 'compacted')
  if (result.canceled) throw refusal(endpoint, 0, `watch ended: ${result.cancel_reason || 'no reason given'}`)
  return result
}

/** Parses the body of an answer. Throws EtcdError when it is none that etcd gives. */
export function parseAnswer<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  endpoint: string,
): z.output<Schema> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw notEtcd(endpoint, text)
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) throw notEtcd(endpoint, text)
  return parsed.data
}

function notEtcd(endpoint: string, text: string): EtcdError {
  const message = `etcd ${endpoint}: the answer is none of etcd's: ${JSON.stringify(text.slice(0, 80))}`
  return new EtcdError(message, { passing: true, uncertain: true })
}

/** `{"error":"…","message":"…","code":5}` and its status → the error it stands for. */
export function parseRefusal(endpoint: string, status: number, text: string): EtcdError {
  const parsed = z
    .object({ code: z.number(), message: z.string().optional(), error: z.string().optional() })
    .safeParse(jsonOrNull(text))
  if (parsed.success)
    return refusal(endpoint, parsed.data.code, parsed.data.message ?? parsed.data.error ?? '')
  const message = `etcd ${endpoint}: HTTP status ${status}: ${text.trim().slice(0, 80)}`
  return new EtcdError(message, { passing: true, uncertain: status >= 500 })
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const passingCodes: readonly number[] = [
  0, // OK: a stream that ended without saying why
  1, // CANCELLED: the member is going down
  2, // UNKNOWN: what etcd has no code for
  grpc.deadlineExceeded,
  grpc.resourceExhausted,
  13, // INTERNAL
  grpc.unavailable,
]

function refusal(endpoint: string, code: number, message: string): EtcdError {
  const passing = passingCodes.includes(code)
  return new EtcdError(`etcd ${endpoint}: ${message}`, { grpcCode: code, passing, uncertain: passing })
}

/** Whether a new token may help: it ran out, the member that gave it was restarted, or users changed. */
export function needsToken(error: unknown): boolean {
  return (
    error instanceof EtcdError &&
    (error.grpcCode === grpc.unauthenticated ||
      /invalid auth token|user name is empty|revision in header is old/.test(error.message))
  )
}

/** A condition of a transaction on one key, or on all keys from `key` to `end`. */
export interface Compare {
  readonly key: string
  readonly range_end?: string
  readonly target: 'MOD' | 'LEASE'
  readonly result: 'EQUAL' | 'LESS'
  readonly mod_revision?: string
  readonly lease?: string
}

export type Operation =
  | { readonly request_put: object }
  | { readonly request_delete_range: object }
  | { readonly request_txn: { readonly success: readonly Operation[] } }

/** The key was not written since `revision`; 0: it is not there. */
export function unchanged(key: string, revision: number): Compare {
  return { key: encode(key), target: 'MOD', result: 'EQUAL', mod_revision: String(revision) }
}

/** No key from `key` up to `end` was written after `revision`. Does not notice removals. */
export function noneNewer(key: string, end: string, revision: number): Compare {
  const range = { key: encode(key), range_end: encode(end) }
  return { ...range, target: 'MOD', result: 'LESS', mod_revision: String(revision + 1) }
}

/** `lease` '0': none. */
export function put(key: string, value: string, lease = '0'): Operation {
  return { request_put: { key: encode(key), value: encode(value), lease } }
}

/** Hangs a key that is there on another lease. */
export function relet(key: string, lease: string): Operation {
  return { request_put: { key: encode(key), ignore_value: true, lease } }
}

export function remove(key: string): Operation {
  return { request_delete_range: { key: encode(key) } }
}

/** etcd takes 128 operations in a transaction (--max-txn-ops), but counts nested ones apart. */
const operationsAtOnce = 64

/** The operations of one transaction, nested where they are many. At most 4096. */
export function nest(operations: readonly Operation[]): Operation[] {
  if (operations.length <= operationsAtOnce) return [...operations]
  const groups: Operation[] = []
  for (let at = 0; at < operations.length; at += operationsAtOnce)
    groups.push({ request_txn: { success: operations.slice(at, at + operationsAtOnce) } })
  return groups
}

export const mostOperations = operationsAtOnce * operationsAtOnce
