/**
 * meshctl's side of the API: one request over the unix socket, the answer parsed or
 * its error thrown again as the agent threw it.
 */
import { request } from 'node:http'
import { type ErrorCode, errorCodes, MeshError, reasonOf } from '../errors.js'
import type {
  AdoptRequest,
  ApplyRequest,
  CreateRequest,
  PublishRequest,
  RemoveRequest,
  ServiceRequest,
} from '../status/requests.js'
import type {
  AdoptView,
  ApplyView,
  ChangeView,
  CleanView,
  ErrorView,
  NamesView,
  NodeView,
  PublishView,
  RemoveView,
  ServiceView,
  StatusView,
  UnpublishView,
  VersionView,
} from '../status/views.js'

export interface Client {
  /** `timeout` seconds; null waits for ever. */
  publish(body: PublishRequest, timeout: number | null): Promise<PublishView>
  unpublish(port: string, service: string): Promise<UnpublishView>
  createService(service: string, body: Omit<CreateRequest, 'service'>): Promise<PublishView>
  setService(service: string, body: ServiceRequest): Promise<PublishView>
  removeService(service: string, body: RemoveRequest): Promise<RemoveView>
  /** Both wait as long as it takes. */
  adopt(service: string, body: AdoptRequest): Promise<AdoptView>
  release(service: string): Promise<AdoptView>
  list(timeout?: number): Promise<ServiceView[]>
  inspect(nameOrPort: string): Promise<ServiceView>
  status(): Promise<StatusView>
  plan(): Promise<ChangeView[]>
  apply(body: ApplyRequest): Promise<ApplyView[]>
  names(): Promise<NamesView>
  nodes(): Promise<NodeView[]>
  drainNode(name: string, draining: boolean): Promise<NodeView>
  removeNode(name: string): Promise<NodeView>
  clean(): Promise<CleanView>
  version(): Promise<VersionView>
}

/** Seconds the agent has for an answer; a pass over a large mesh on a slow machine fits in. */
const patience = 60

/** Every method throws MESH_UNREACHABLE, or whatever error the agent answered with. */
export function createClient(socket: string): Client {
  const call = (method: string, path: string, body?: unknown, timeout: number | null = patience) =>
    send(socket, method, path, body, timeout) as Promise<never>
  const part = encodeURIComponent
  return {
    publish: (body, timeout) => call('POST', '/v1/services', body, timeout),
    unpublish: (port, service) => call('DELETE', `/v1/services/${part(service)}/ports/${part(port)}`),
    createService: (service, body) => call('PUT', `/v1/services/${part(service)}`, body),
    setService: (service, body) => call('PATCH', `/v1/services/${part(service)}`, body),
    removeService: (service, body) => call('DELETE', `/v1/services/${part(service)}`, body),
    adopt: (service, body) => call('POST', `/v1/services/${part(service)}/adopt`, body, null),
    release: service => call('POST', `/v1/services/${part(service)}/release`, undefined, null),
    list: timeout => call('GET', '/v1/services', undefined, timeout),
    inspect: name => call('GET', `/v1/services/${part(name)}`),
    status: () => call('GET', '/v1/status'),
    plan: () => call('GET', '/v1/plan'),
    apply: body => call('POST', '/v1/apply', body),
    names: () => call('GET', '/v1/names'),
    nodes: () => call('GET', '/v1/nodes'),
    drainNode: (name, draining) => call(draining ? 'POST' : 'DELETE', `/v1/nodes/${part(name)}/drain`),
    removeNode: name => call('DELETE', `/v1/nodes/${part(name)}`),
    clean: () => call('POST', '/v1/clean', undefined, 5 * patience),
    version: () => call('GET', '/v1/version'),
  }
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  timeout: number | null,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body)
    const length = Buffer.byteLength(text)
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': length }
    const outgoing = request({ socketPath, method, path, headers, agent: false }, response => {
      const parts: Buffer[] = []
      response.on('data', part => parts.push(part))
      response.on('error', error => reject(unreachable(socketPath, error)))
      response.on('end', () => {
        clearTimeout(timer)
        try {
          resolve(read(socketPath, response.statusCode ?? 0, Buffer.concat(parts).toString('utf8')))
        } catch (error) {
          reject(error)
        }
      })
    })
    const timer =
      timeout === null
        ? undefined
        : setTimeout(
            () =>
              outgoing.destroy(Object.assign(new Error(`no answer within ${timeout} s`), { code: 'ETIME' })),
            timeout * 1000,
          )
    outgoing.on('error', error => {
      clearTimeout(timer)
      reject(unreachable(socketPath, error))
    })
    outgoing.end(text)
  })
}

function read(socketPath: string, status: number, text: string): unknown {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw new MeshError(
      'MESH_UNREACHABLE',
      `what answers on ${socketPath} is not meshd (HTTP status ${status})`,
    )
  }
  if (status === 200) return answer
  const told = (answer as Partial<ErrorView>).error
  const code: ErrorCode = told && told.code in errorCodes ? (told.code as ErrorCode) : 'MESH_INTERNAL'
  throw new MeshError(code, told?.message ?? `the agent answered with HTTP status ${status}`)
}

/** Whether there is no agent at all, as opposed to one that is slow, dying or not ours to ask. */
export function isAbsent(error: unknown): boolean {
  const cause = error instanceof MeshError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  return cause?.code === 'ENOENT' || cause?.code === 'ECONNREFUSED'
}

/** What went wrong between here and the agent, and what to do about it. */
function unreachable(path: string, error: Error): MeshError {
  const code = (error as NodeJS.ErrnoException).code
  const remedy =
    code === 'ENOENT' || code === 'ECONNREFUSED'
      ? `no agent answers on ${path}; start it (systemctl start meshd, or meshd), or name its socket with --socket or MESH_SOCKET`
      : code === 'EACCES'
        ? `${path} is not open to you; be root or a member of the group mesh`
        : code === 'ETIME'
          ? `the agent on ${path} gave ${reasonOf(error)}; see its log`
          : code === 'ECONNRESET' || code === 'EPIPE'
            ? `the agent on ${path} ended in the middle of its answer; see its log`
            : `${path}: ${reasonOf(error)}`
  return new MeshError('MESH_UNREACHABLE', remedy, { cause: error })
}
