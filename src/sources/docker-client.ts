/**
 * The few requests that are made of Docker, by Node's own HTTP client; answers are raw and
 * parsed by their readers. The usual clients bring SSH, gRPC and more along: a fifth of the
 * agent's memory, and 0.2 s at its start.
 */
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Readable } from 'node:stream'
import { MeshError, reasonOf, SourceError } from '../errors.js'
import { eventFilters } from './docker-events.js'

export interface DockerClient {
  /** Containers that run, are paused or about to be restarted. */
  list(): Promise<unknown>
  /** Null: there is no such container. */
  inspect(id: string): Promise<unknown>
  /** Null: this node is not a manager. */
  services(): Promise<unknown>
  /** A service by its name. Null: there is none. */
  service(name: string): Promise<unknown>
  /** Tasks by Docker's filters: `{ service: ['web'], 'desired-state': ['running'] }`. Null: no such service or node. */
  tasks(filters: object): Promise<unknown>
  /** `version` is that of the service which `spec` was made of. */
  updateService(id: string, version: number, spec: object): Promise<void>
  swarmNodes(): Promise<unknown>
  info(): Promise<unknown>
  /** The event stream, open: whatever happens from now on is in it. `since` as in `sinceParameter`. */
  events(since: string, signal: AbortSignal): Promise<Readable>
  close(): void
}

/** Longest time an answer may take, milliseconds. A frozen daemon accepts connections and says nothing. */
const answerTimeout = 20_000
/** The same for Swarm: a manager without quorum looks for others for 20 s before it says so, milliseconds. */
const swarmTimeout = 10_000

/** Docker's refusal, in its own words. */
export class RefusedError extends MeshError {
  readonly status: number
  readonly words: string

  constructor(status: number, words: string) {
    super('MESH_SOURCE', `${words} (HTTP status ${status})`)
    this.status = status
    this.words = words
  }
}

interface Call {
  readonly method?: 'GET' | 'POST'
  readonly query?: Readonly<Record<string, string | number>>
  readonly body?: object
  readonly signal?: AbortSignal
}

export function dockerClient(socketPath: string, parallel: number): DockerClient {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel + 2 })
  const requests = { socketPath, agent, timeout: answerTimeout }

  const ask = async (path: string, call: Call = {}): Promise<unknown> => {
    const text = await textOf(await answered(requests, path, call))
    return text === '' ? null : JSON.parse(text)
  }

  return {
    list: () => ask('/containers/json', { query: filtered({ status: ['running', 'paused', 'restarting'] }) }),
    inspect: id => orNull(ask(`/containers/${encodeURIComponent(id)}/json`)),
    async services() {
      try {
        return await ask('/services', { signal: AbortSignal.timeout(swarmTimeout) })
      } catch (error) {
        // 503: no member of a swarm, or a worker; a manager without quorum answers the same in other words.
        const notManager =
          statusOf(error) === 503 && /not a swarm manager|not part of a swarm/i.test(reasonOf(error))
        if (notManager || statusOf(error) === 404) return null
        throw error
      }
    },
    service: name => orNull(ask(`/services/${encodeURIComponent(name)}`)),
    tasks: filters => orNull(ask('/tasks', { query: filtered(filters) })),
    async updateService(id, version, body) {
      await ask(`/services/${encodeURIComponent(id)}/update`, { method: 'POST', query: { version }, body })
    },
    swarmNodes: () => ask('/nodes'),
    info: () => ask('/info'),
    async events(since, signal) {
      // On a connection of its own, and without a limit: nothing may happen for days.
      const query = { since, ...filtered(eventFilters) }
      return answered({ socketPath, agent: false }, '/events', { query, signal })
    },
    close: () => agent.destroy(),
  }
}

function filtered(filters: object): { readonly filters: string } {
  return { filters: JSON.stringify(filters) }
}

/** The answer once its header is there. Throws RefusedError, and what the connection fails with. */
async function answered(
  place: { readonly socketPath: string; readonly agent: Agent | false; readonly timeout?: number },
  path: string,
  { method = 'GET', query = {}, body, signal }: Call,
): Promise<IncomingMessage> {
  const words = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const call = request({
      ...place,
      method,
      path: words.length > 0 ? `${path}?${words.join('&')}` : path,
      headers: body ? { 'content-type': 'application/json' } : {},
      ...(signal ? { signal } : {}),
    })
    // Said as ECONNRESET.
    const limit = setTimeout(() => call.destroy(), answerTimeout)
    call.on('timeout', () => call.destroy())
    call.on('error', reject)
    call.on('close', () => clearTimeout(limit))
    call.on('response', response => {
      clearTimeout(limit)
      resolve(response)
    })
    call.end(body && JSON.stringify(body))
  })
  const { statusCode = 0 } = answer
  if (statusCode >= 200 && statusCode < 300) return answer
  const text = await textOf(answer)
  throw new RefusedError(statusCode, messageOf(text))
}

async function textOf(answer: Readable): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of answer) parts.push(part)
  return Buffer.concat(parts).toString()
}

/** `{"message":"No such container: web"}` */
function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text)
  } catch {
    return text.trim()
  }
}

/** null where Docker knows nothing of what was asked for. */
async function orNull(request: Promise<unknown>): Promise<unknown> {
  try {
    return await request
  } catch (error) {
    if (statusOf(error) === 404) return null
    throw error
  }
}

/** HTTP status of a refusal; null for any other error. */
function statusOf(error: unknown): number | null {
  return error instanceof RefusedError ? error.status : null
}

/** Says in one sentence what keeps Docker from answering. */
export function dockerTrouble(error: unknown, socketPath: string): SourceError {
  const code = (error as { code?: unknown }).code
  const why =
    code === 'ENOENT'
      ? `there is no socket at ${socketPath}; is Docker installed, and its daemon started?`
      : code === 'ECONNREFUSED'
        ? `nobody answers at ${socketPath}; is the Docker daemon started?`
        : code === 'EACCES' || code === 'EPERM'
          ? `no permission to use ${socketPath}; the agent needs root`
          : code === 'ECONNRESET'
            ? `no answer at ${socketPath}, or not within ${answerTimeout / 1000} s`
            : reasonOf(error)
  return new SourceError('docker', why, { cause: error })
}
