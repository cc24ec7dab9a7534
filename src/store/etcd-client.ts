/**
 * A thin client of etcd 3.4 by its JSON gateway: several endpoints tried in turn, a
 * deadline on everything, tokens renewed. Keeps no state of the store;
 * etcd-replica.ts, etcd-lease.ts, etcd.ts and etcd-cluster.ts do.
 */
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { InputError, reasonOf } from '../errors.js'
import { EtcdHttp, type TlsFiles } from './etcd-http.js'
import {
  type Compare,
  EtcdError,
  encode,
  grpc,
  type KeyValue,
  keepAliveAnswer,
  leaseAnswer,
  mostOperations,
  needsToken,
  nest,
  type Operation,
  parseAnswer,
  parseRefusal,
  parseWatchLine,
  rangeAnswer,
  tokenAnswer,
  txnAnswer,
  type WatchAnswer,
} from './etcd-wire.js'

export interface EtcdOptions {
  /** `http://10.0.0.1:2379` or `https://…`; the first that answers is used until it fails. */
  readonly endpoints: readonly string[]
  readonly tls: TlsFiles
  /** null: no user. */
  readonly user: string | null
  /** File whose first line is the user's password; read again with each new token. */
  readonly passwordFile: string | null
}

export interface Deadlines {
  /** Longest wait for one endpoint, milliseconds. A frozen server takes connections and says nothing. */
  readonly attempt?: number
  /** Longest wait for all of them together, milliseconds. */
  readonly total?: number
}

const usualAttempt = 1500
const usualTotal = 5000
/** Keys in one answer: well below the 4 MiB that the gateway takes from its own server. */
const pageSize = 1000

export class EtcdClient {
  readonly endpoints: readonly string[]
  readonly #options: EtcdOptions
  readonly #http: EtcdHttp
  #current = 0
  #token = ''
  #closed = false

  /** Throws InputError when the options do not fit together. */
  constructor(options: EtcdOptions) {
    checkOptions(options)
    this.endpoints = options.endpoints.map(endpoint => new URL(endpoint).origin)
    this.#options = options
    this.#http = new EtcdHttp(options.tls)
  }

  /** The endpoint in use. */
  get endpoint(): string {
    return this.endpoints[this.#current % this.endpoints.length]!
  }

  /** Uses another endpoint from now on, unless that happened already. */
  abandon(endpoint: string): void {
    if (this.endpoint === endpoint) this.#current++
  }

  close(): void {
    this.#closed = true
    this.#http.close()
  }

  /** All keys from `key` up to `end`, as of one revision not older than this call. */
  async range(key: string, end: string): Promise<Listing> {
    for (;;) {
      try {
        return await this.#pages(key, end)
      } catch (error) {
        // That revision was compacted between two pages.
        if (!(error instanceof EtcdError) || error.grpcCode !== grpc.outOfRange) throw error
      }
    }
  }

  async #pages(key: string, end: string): Promise<Listing> {
    const keys: KeyValue[] = []
    let from = key
    let header: Listing['header'] | null = null
    for (;;) {
      const body: object = {
        key: encode(from),
        range_end: encode(end),
        limit: String(pageSize),
        ...(header ? { revision: String(header.revision) } : {}),
      }
      const page = await this.#call('/v3/kv/range', body, rangeAnswer, {})
      header ??= page.header
      for (const kv of page.kvs) keys.push(kv)
      const last = page.kvs.at(-1)
      if (!page.more || !last) return { header, keys }
      from = `${last.key}\0`
    }
  }

  /** One key, or null. */
  async get(key: string): Promise<KeyValue | null> {
    const { keys } = await this.range(key, `${key}\0`)
    return keys[0] ?? null
  }

  /** The revision all members agree upon now; asks one endpoint only. Throws EtcdError. */
  async pulse(endpoint: string, key: string, ms: number): Promise<number> {
    const body = { key: encode(key), keys_only: true }
    return (await this.#ask(endpoint, '/v3/kv/range', body, rangeAnswer, ms)).header.revision
  }

  /**
   * Carries out all operations if all conditions hold, else none. After an EtcdError
   * that is `uncertain` it may have happened, or may still happen, all the same: the
   * conditions must be such that a repetition does no harm.
   */
  async transact(conditions: readonly Compare[], operations: readonly Operation[]): Promise<Outcome> {
    if (operations.length > mostOperations)
      throw new EtcdError(`etcd: ${operations.length} changes at once, and ${mostOperations} are the most`, {
        passing: false,
        uncertain: false,
      })
    const body = { compare: conditions, success: nest(operations) }
    const { succeeded, header } = await this.#call('/v3/kv/txn', body, txnAnswer, {})
    return { succeeded, revision: header.revision }
  }

  /** `seconds` from 1; etcd may make it longer: at least 1.5 times its election timeout. */
  async grant(seconds: number, deadlines: Deadlines = {}): Promise<{ id: string; seconds: number }> {
    const { ID, TTL } = await this.#call('/v3/lease/grant', { TTL: String(seconds) }, leaseAnswer, deadlines)
    return { id: ID, seconds: TTL }
  }

  /** Seconds the lease has from now; 0: there is no such lease any more. */
  async keepAlive(lease: string, deadlines: Deadlines = {}): Promise<number> {
    const { result } = await this.#call('/v3/lease/keepalive', { ID: lease }, keepAliveAnswer, deadlines)
    return result.TTL
  }

  /** Ends a lease and removes all keys under it; one that is gone is no error. */
  async revoke(lease: string): Promise<void> {
    try {
      await this.#call('/v3/lease/revoke', { ID: lease }, txnAnswer, {})
    } catch (error) {
      if (!(error instanceof EtcdError) || error.grpcCode !== grpc.notFound) throw error
    }
  }

  /**
   * Follows all keys from `key` up to `end`, from `revision` on, at the endpoint in use.
   * Ends only by `signal`, or by throwing EtcdError (grpcCode outOfRange: compacted).
   */
  async *watch(
    range: { readonly key: string; readonly end: string; readonly revision: number },
    signal: AbortSignal,
  ): AsyncGenerator<WatchAnswer, void> {
    const { endpoint } = this
    const create_request = {
      key: encode(range.key),
      range_end: encode(range.end),
      start_revision: String(range.revision),
      fragment: true,
    }
    try {
      await this.#authenticate(endpoint, usualAttempt)
      const body = { create_request }
      const stream = await this.#http.stream(endpoint, '/v3/watch', body, this.#token, usualAttempt, signal)
      for await (const line of linesOf(stream)) {
        if (stream.statusCode !== 200) throw parseRefusal(endpoint, stream.statusCode ?? 0, line)
        yield parseWatchLine(line, endpoint)
      }
      throw new Error('ended the watch')
    } catch (error) {
      if (signal.aborted) return
      if (needsToken(error)) this.#token = ''
      if (error instanceof EtcdError) throw error
      const message = `etcd ${endpoint}: ${reasonOf(error)}`
      throw new EtcdError(message, { passing: true, uncertain: false, cause: error })
    }
  }

  /** Asks one endpoint after the other, each at least once, two times where there is only one. */
  async #call<Schema extends Parameters<typeof parseAnswer>[0]>(
    path: string,
    body: object,
    schema: Schema,
    { attempt = usualAttempt, total = usualTotal }: Deadlines,
  ) {
    const end = performance.now() + total
    const reasons = new Map<string, string>()
    const least = Math.max(2, this.endpoints.length)
    let uncertain = false
    for (let tried = 1; ; tried++) {
      const { endpoint } = this
      try {
        return await this.#ask(endpoint, path, body, schema, Math.min(attempt, end - performance.now()))
      } catch (error) {
        if (!(error instanceof EtcdError) || !error.passing) throw error
        uncertain ||= error.uncertain
        reasons.set(endpoint, error.message.replace(/^etcd /, ''))
        this.abandon(endpoint)
        if (this.#closed || tried >= least || performance.now() >= end - 50)
          throw new EtcdError(`etcd ${[...reasons.values()].join('; ')}`, {
            grpcCode: error.grpcCode,
            passing: true,
            uncertain,
            cause: error,
          })
        if (tried >= this.endpoints.length) await sleep(100)
      }
    }
  }

  async #ask<Schema extends Parameters<typeof parseAnswer>[0]>(
    endpoint: string,
    path: string,
    body: object,
    schema: Schema,
    ms: number,
  ) {
    await this.#authenticate(endpoint, ms)
    const token = this.#token
    try {
      return await this.#once(endpoint, path, body, schema, ms)
    } catch (error) {
      if (this.#options.user === null || !needsToken(error)) throw error
      if (this.#token === token) this.#token = ''
      await this.#authenticate(endpoint, ms)
      return await this.#once(endpoint, path, body, schema, ms)
    }
  }

  async #once<Schema extends Parameters<typeof parseAnswer>[0]>(
    endpoint: string,
    path: string,
    body: object,
    schema: Schema,
    ms: number,
  ) {
    const { status, text } = await this.#http.post(endpoint, path, body, this.#token, ms)
    if (status !== 200) throw parseRefusal(endpoint, status, text)
    return parseAnswer(schema, text, endpoint)
  }

  /** Gets a token where a user is configured and there is none. Tokens are good at every member. */
  async #authenticate(endpoint: string, ms: number): Promise<void> {
    const { user, passwordFile } = this.#options
    if (user === null || this.#token !== '') return
    const body = { name: user, password: readPassword(passwordFile!) }
    const { status, text } = await this.#http.post(endpoint, '/v3/auth/authenticate', body, '', ms)
    if (status === 200) this.#token = parseAnswer(tokenAnswer, text, endpoint).token
    else {
      const refused = parseRefusal(endpoint, status, text)
      // An etcd that asks nobody for a password needs no token either.
      if (refused.grpcCode !== grpc.failedPrecondition) throw refused
    }
  }
}

export interface Listing {
  readonly header: { readonly revision: number; readonly cluster_id: string }
  readonly keys: readonly KeyValue[]
}

export interface Outcome {
  readonly succeeded: boolean
  readonly revision: number
}

async function* linesOf(stream: Readable): AsyncGenerator<string, void> {
  stream.setEncoding('utf8')
  let rest = ''
  for await (const chunk of stream) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield line
  }
  if (rest.trim() !== '') yield rest
}

function checkOptions({ endpoints, tls, user, passwordFile }: EtcdOptions): void {
  if (endpoints.length === 0)
    throw new InputError(
      'etcd-endpoints',
      '',
      'the store is etcd, but where it answers is not said',
      'write --etcd-endpoints http://ADDRESS:2379',
    )
  const pair = (one: string | null, other: string | null, field: string, missing: string) => {
    if (one !== null && other === null)
      throw new InputError(field, one, `it is of no use without ${missing}`, `give --${missing} too`)
  }
  pair(tls.cert, tls.key, 'etcd-cert', 'etcd-key')
  pair(tls.key, tls.cert, 'etcd-key', 'etcd-cert')
  pair(user, passwordFile, 'etcd-user', 'etcd-password-file')
  pair(passwordFile, user, 'etcd-password-file', 'etcd-user')
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]!.trim()
  } catch (error) {
    throw new EtcdError(`etcd: read the password: ${reasonOf(error)}`, { passing: true, uncertain: false })
  }
}
