/**
 * The API server: HTTP and JSON on a unix socket. It translates between requests
 * and the Agent, and decides nothing itself. meshd starts it; meshctl and curl call:
 *   curl --unix-socket /run/mesh/mesh.sock http://mesh/v1/services
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { MeshError, reasonOf } from '../errors.js'
import type { Agent } from './agent.js'
import { findService, parsePortKey } from './find.js'
import {
  readAdoptRequest,
  readApplyRequest,
  readCreateRequest,
  readPublishRequest,
  readRemoveRequest,
  readSetRequest,
} from './requests.js'
import { createHandler, type Route } from './router.js'
import { claimSocket } from './socket.js'

export interface Api {
  /** Stops listening, removes the socket, and soon ends what is still under way. */
  close(): Promise<void>
}

/** Content type of Prometheus' text format. */
const metricsType = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Serves `agent` on the unix socket `path`, mode 0660, group `mesh` where there is
 * one. `onCleaned` is called once the answer to a `clean` has left. Throws MeshError
 * when another agent answers there.
 */
export async function serveApi(
  agent: Agent,
  path: string,
  onDefect: (error: unknown) => void,
  onCleaned: () => void = () => {},
): Promise<Api> {
  const server = createServer(createHandler(routesOf(agent, onCleaned), onDefect))
  // publish --wait may take as long as a container takes to become healthy
  server.requestTimeout = 0
  await claimSocket(server, path)
  return { close: () => closeServer(server) }
}

/** Serves only metrics and health over TCP. Throws MeshError when the address cannot be had. */
export async function serveMetrics(
  agent: Agent,
  { address, port }: { readonly address: string; readonly port: number },
  onDefect: (error: unknown) => void,
): Promise<Api> {
  const server = createServer(createHandler(openRoutes(agent), onDefect) satisfies RequestListener)
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => {
      reject(new MeshError('MESH_UNSUPPORTED', `metrics on ${address}:${port}: ${reasonOf(error)}`))
    })
    server.listen(port, address, resolve)
  })
  return { close: () => closeServer(server) }
}

function openRoutes(agent: Agent): Route[] {
  return [
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => ({ status: 200, contentType: metricsType, text: await agent.metrics() }),
    },
    {
      method: 'GET',
      path: '/healthz',
      handle: async () => {
        const { healthy, troubles, sources } = await agent.status()
        const reasons = [
          ...troubles.map(({ subject, message }) => `${subject}: ${message}\n`),
          ...sources.flatMap(({ name, state }) => (state === 'waiting' ? `${name}: not heard yet\n` : [])),
        ]
        const text = healthy ? 'healthy\n' : reasons.join('')
        return { status: healthy ? 200 : 503, contentType: 'text/plain; charset=utf-8', text }
      },
    },
  ]
}

function routesOf(agent: Agent, onCleaned: () => void): Route[] {
  return [
    ...openRoutes(agent),
    { method: 'GET', path: '/v1/version', handle: () => agent.version() },
    { method: 'GET', path: '/v1/status', handle: () => agent.status() },
    { method: 'GET', path: '/v1/plan', handle: () => agent.plan() },
    { method: 'GET', path: '/v1/services', handle: () => agent.list() },
    {
      method: 'GET',
      path: '/v1/services/:name',
      handle: async ({ params }) => findService(await agent.list(), params.name ?? ''),
    },
    {
      method: 'POST',
      path: '/v1/services',
      handle: ({ body, gone }) => {
        const { publication, wait, given } = readPublishRequest(body)
        return agent.publish(publication, { wait, given, gone })
      },
    },
    {
      method: 'PUT',
      path: '/v1/services/:name',
      handle: ({ params, body }) =>
        agent.createService(readCreateRequest({ ...(body as object), service: params.name })),
    },
    {
      method: 'PATCH',
      path: '/v1/services/:name',
      handle: ({ params, body }) => agent.setService(params.name ?? '', readSetRequest(body ?? {})),
    },
    {
      method: 'DELETE',
      path: '/v1/services/:name',
      handle: ({ params, body }) => agent.removeService(params.name ?? '', readRemoveRequest(body)),
    },
    {
      method: 'DELETE',
      path: '/v1/services/:name/ports/:port',
      handle: ({ params }) => agent.unpublish(parsePortKey(params.port ?? ''), params.name ?? ''),
    },
    {
      method: 'POST',
      path: '/v1/services/:name/adopt',
      handle: ({ params, body }) => agent.adopt(params.name ?? '', readAdoptRequest(body)),
    },
    {
      method: 'POST',
      path: '/v1/services/:name/release',
      handle: ({ params }) => agent.release(params.name ?? ''),
    },
    { method: 'POST', path: '/v1/apply', handle: ({ body }) => agent.applyFile(readApplyRequest(body)) },
    { method: 'GET', path: '/v1/names', handle: () => agent.names() },
    { method: 'GET', path: '/v1/nodes', handle: () => agent.nodes() },
    {
      method: 'POST',
      path: '/v1/nodes/:name/drain',
      handle: ({ params }) => agent.drainNode(params.name ?? '', true),
    },
    {
      method: 'DELETE',
      path: '/v1/nodes/:name/drain',
      handle: ({ params }) => agent.drainNode(params.name ?? '', false),
    },
    {
      method: 'DELETE',
      path: '/v1/nodes/:name',
      handle: ({ params }) => agent.removeNode(params.name ?? ''),
    },
    { method: 'POST', path: '/v1/clean', handle: () => agent.clean(), after: onCleaned },
  ]
}

/** How long a request under way may take to end, milliseconds; `publish --wait` may wait for ever. */
const grace = 500

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  await new Promise<void>(resolve => {
    const timer = setTimeout(() => server.closeAllConnections(), grace)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}
