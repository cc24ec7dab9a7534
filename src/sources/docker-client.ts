/**
 * The few requests that are made of Docker, over dockerode; answers are raw and
 * parsed by their readers. It is loaded here, at the first use, and without what it
 * brings along for Engines elsewhere, which would be a fifth of the agent's memory.
 */
import { Agent, type IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { reasonOf, SourceError } from '../errors.js'
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

/**
 * Before each request dockerode has its options written out for its debug log, whether anybody
 * reads that or not, and of a common agent all sockets to their last field: that took longer
 * than the request, and nine tenths of its memory.
 */
class BriefAgent extends Agent {
  [inspect.custom](): string {
    return 'Agent'
  }
}

export async function dockerClient(socketPath: string, parallel: number): Promise<DockerClient> {
  withhold(['ssh2', '@grpc/grpc-js', '@grpc/proto-loader'])
  const { default: Docker } = await import('dockerode')
  const agent = new BriefAgent({ keepAlive: true, maxSockets: parallel + 2 })
  // An explicit undefined outranks DOCKER_HOST and its like, which dockerode reads from the environment.
  const place = { socketPath, host: undefined, protocol: 'http' as const, port: undefined }
  // `agent` and `connectionTimeout` are missing in dockerode's types.
  const requests = new Docker({ ...place, agent, timeout: answerTimeout } as object)
  readToTheEnd(requests.modem)
  // No `timeout`: it would end a stream on which nothing happens. This one ends with the response's header.
  const stream = new Docker({ ...place, timeout: undefined, connectionTimeout: answerTimeout } as object)

  return {
    list: () => requests.listContainers({ filters: { status: ['running', 'paused', 'restarting'] } }),
    inspect: id => orNull(requests.getContainer(id).inspect()),
    async services() {
      try {
        const abortSignal = AbortSignal.timeout(swarmTimeout)
        return await requests.listServices({ _query: {}, abortSignal } as object)
      } catch (error) {
        // 503: no member of a swarm, or a worker; a manager without quorum answers the same in other words.
        const notManager =
          statusOf(error) === 503 && /not a swarm manager|not part of a swarm/i.test(reasonOf(error))
        if (notManager || statusOf(error) === 404) return null
        throw error
      }
    },
    service: name => orNull(requests.getService(name).inspect()),
    tasks: filters => orNull(requests.listTasks({ filters } as object)),
    async updateService(id, version, spec) {
      await requests.getService(id).update({ _query: { version }, _body: spec } as object)
    },
    swarmNodes: () => requests.listNodes(),
    info: () => requests.info(),
    async events(since, abortSignal) {
      return (await stream.getEvents({
        since,
        filters: eventFilters,
        abortSignal,
      } as object)) as unknown as Readable
    },
    close: () => agent.destroy(),
  }
}

/** One request as dockerode makes it. */
interface Request {
  readonly method: string
  readonly path: string
  /** The answer is given as it comes. */
  readonly isStream?: boolean
  /** true: such an answer is given too, and is no error. */
  readonly statusCodes?: Readonly<Record<number, boolean | string>>
}
type Done = (error: unknown, answer: unknown) => void

/** The part of dockerode through which all its requests go. */
interface Modem {
  dial(request: Request, done: Done): void
}

const everyStatus = Object.fromEntries(Array.from({ length: 600 }, (_, status) => [status, true]))

/**
 * An answer that ends half-way, or stops coming, is never settled by dockerode. So it is
 * asked for answers as they come, whatever they are, and they are read here.
 */
function readToTheEnd(modem: Modem): void {
  const dial = modem.dial.bind(modem)
  modem.dial = (request, done) =>
    dial({ ...request, isStream: true, statusCodes: everyStatus }, (error, answer) => {
      if (error) return done(error, null)
      const { statusCode = 0 } = answer as IncomingMessage
      text(answer as IncomingMessage).then(
        whole => {
          const told = parsed(whole)
          if (statusCode < 300) done(null, told)
          else done(refusal(statusCode, told), null)
        },
        cause => done(cutShort(request, cause), null),
      )
    })
}

function cutShort({ method, path }: Request, cause: unknown): SourceError {
  const reason = `${method} ${path.replace(/\?$/, '')}: the answer ended half-way (${reasonOf(cause)})`
  return new SourceError('docker', reason, { cause })
}

/** In the Engine's own words, with the HTTP status as `statusCode`. */
function refusal(statusCode: number, told: unknown): Error {
  const { message } = (told ?? {}) as { readonly message?: unknown }
  const words = typeof message === 'string' ? message.trim() : `HTTP status ${statusCode}`
  return Object.assign(new Error(words), { statusCode })
}

/** What is no JSON stays text, for the readers of answers to refuse. */
function parsed(whole: string): unknown {
  try {
    return JSON.parse(whole)
  } catch {
    return whole
  }
}

/**
 * Gives CommonJS modules that ask for these an empty object: dockerode loads them at once,
 * but uses them only for Engines reached over SSH and for builds with BuildKit.
 */
function withhold(names: readonly string[]): void {
  const require = createRequire(import.meta.url)
  for (const name of names)
    try {
      const path = require.resolve(name)
      require.cache[path] ??= { id: path, filename: path, loaded: true, exports: {} } as NodeJS.Module
    } catch {} // not installed where it was expected: dockerode finds its own, or needs none
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

/** HTTP status of a refusal; null: it is none. */
function statusOf(error: unknown): number | null {
  const status = (error as { statusCode?: unknown }).statusCode
  return typeof status === 'number' ? status : null
}

/** Says in one sentence what keeps Docker from answering; `about` is put before it. */
export function dockerTrouble(error: unknown, socketPath: string, about = ''): SourceError {
  const code = (error as { code?: unknown }).code
  if (code === 'MESH_SOURCE') return error as SourceError
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
  return new SourceError('docker', about + why, { cause: error })
}
