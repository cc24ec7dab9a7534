/**
 * Requests to one endpoint of etcd over node:http or node:https: each with a
 * deadline, on connections that are kept. Knows nothing of what is asked.
 */
import { readFileSync } from 'node:fs'
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { reasonOf } from '../errors.js'
import { EtcdError } from './etcd-wire.js'

/** Paths of PEM files; null: none. */
export interface TlsFiles {
  /** Authority that signed the servers' certificates; null: those the system trusts. */
  readonly ca: string | null
  /** Own certificate and its key, both or none. */
  readonly cert: string | null
  readonly key: string | null
}

interface Material {
  readonly ca: Buffer | undefined
  readonly cert: Buffer | undefined
  readonly key: Buffer | undefined
}

export interface Answer {
  readonly status: number
  readonly text: string
}

/** Errors of a connection that came before a byte of the request left. */
const unsent = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']

export class EtcdHttp {
  readonly #tls: TlsFiles
  readonly #http = new HttpAgent({ keepAlive: true })
  readonly #https = new HttpsAgent({ keepAlive: true })
  #read: Material | null = null

  constructor(tls: TlsFiles) {
    this.#tls = tls
  }

  /** Asks and reads the whole answer within `ms`. Throws EtcdError. */
  async post(endpoint: string, path: string, body: object, token: string, ms: number): Promise<Answer> {
    const limit = AbortSignal.timeout(Math.max(1, Math.round(ms)))
    try {
      const response = await this.#send(endpoint, path, body, token, limit)
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk)
      return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
    } catch (error) {
      throw this.#failure(endpoint, error, limit.aborted ? silence(ms) : null)
    }
  }

  /**
   * Opens a stream: resolves with its header, for which it waits `ms`. The stream itself
   * has no end but the server's, or `signal`. Throws EtcdError.
   */
  async stream(
    endpoint: string,
    path: string,
    body: object,
    token: string,
    ms: number,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), ms)
    try {
      return await this.#send(endpoint, path, body, token, AbortSignal.any([limit.signal, signal]))
    } catch (error) {
      throw this.#failure(endpoint, error, limit.signal.aborted ? silence(ms) : null)
    } finally {
      clearTimeout(timer)
    }
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }

  #send(endpoint: string, path: string, body: object, token: string, signal: AbortSignal) {
    const url = new URL(path, endpoint)
    const text = JSON.stringify(body)
    const options = {
      method: 'POST',
      signal,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        // The gateway hands this to etcd as metadata: a member without a leader ends its watches.
        'grpc-metadata-hasleader': 'true',
        ...(token === '' ? {} : { authorization: token }),
      },
    }
    return new Promise<IncomingMessage>((resolve, reject) => {
      const request: ClientRequest =
        url.protocol === 'https:'
          ? httpsRequest(url, { ...options, ...this.#material(), agent: this.#https })
          : httpRequest(url, { ...options, agent: this.#http })
      request.on('response', resolve)
      request.on('error', reject)
      request.end(text)
    })
  }

  /** Certificates are read at the first use and again after a failure: they are renewed now and then. */
  #material(): Material {
    const { ca, cert, key } = this.#tls
    const read = (path: string | null) => (path === null ? undefined : readFileSync(path))
    this.#read ??= { ca: read(ca), cert: read(cert), key: read(key) }
    return this.#read
  }

  #failure(endpoint: string, error: unknown, instead: string | null): EtcdError {
    const secure = endpoint.startsWith('https:')
    if (secure) this.#read = null
    const { code } = error as NodeJS.ErrnoException
    const reason = instead ?? hinted(reasonOf(error), secure)
    const uncertain = !unsent.includes(code ?? '')
    return new EtcdError(`etcd ${endpoint}: ${reason}`, { passing: true, uncertain, cause: error })
  }
}

/** Node's words, with what is most likely meant where they are obscure. */
function hinted(reason: string, secure: boolean): string {
  if (secure && /wrong version number|packet length too long/.test(reason))
    return `${reason.trim()} (does this endpoint speak plain http?)`
  if (!secure && /socket hang up|Parse Error/.test(reason))
    return `${reason} (does this endpoint want https?)`
  return reason
}

function silence(ms: number): string {
  return `no answer within ${Number((ms / 1000).toFixed(1))} s`
}
