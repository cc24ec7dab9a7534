/**
 * A router of a few lines for JSON over HTTP: patterns in, JSON out, every error as
 * one form. Knows nothing of the mesh's routes; api.ts lists those.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ErrorCode, InputError, MeshError, reasonOf } from '../errors.js'
import type { ErrorView } from './views.js'

export interface Request {
  /** Decoded values of the pattern's `:names`. */
  readonly params: Readonly<Record<string, string>>
  /** Parsed JSON; undefined when the request has no body. */
  readonly body: unknown
}

/** Plain text instead of JSON. */
export interface Text {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/v1/services/:name`. */
  readonly path: string
  readonly handle: (request: Request) => unknown
  /** Called once the answer has left. */
  readonly after?: () => void
}

/** Largest body, bytes; a mesh file of 1,000 services is a tenth of it. */
const largestBody = 4 * 1024 * 1024

const statusByCode: Readonly<Record<ErrorCode, number>> = {
  MESH_BAD_INPUT: 400,
  MESH_NOT_FOUND: 404,
  MESH_PORT_TAKEN: 409,
  MESH_VIP_TAKEN: 409,
  MESH_NETLINK: 500,
  MESH_PROGRAM: 500,
  MESH_INTERNAL: 500,
  MESH_UNSUPPORTED: 501,
  MESH_SOURCE: 503,
  MESH_STORE: 503,
  MESH_UNREACHABLE: 503,
}

/** A handler for `http.createServer`. `onDefect` hears of errors nobody meant to throw. */
export function createHandler(routes: readonly Route[], onDefect: (error: unknown) => void) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    void answer(routes, request, response).catch(error => {
      if (!(error instanceof MeshError)) onDefect(error)
      sendError(response, error)
    })
  }
}

async function answer(routes: readonly Route[], request: IncomingMessage, response: ServerResponse) {
  const path = new URL(request.url ?? '/', 'http://mesh').pathname
  const fitting = routes.flatMap(route => {
    const params = match(route.path, path)
    return params ? [{ route, params }] : []
  })
  const found = fitting.find(({ route }) => route.method === request.method)
  if (!found) {
    if (fitting.length === 0) throw new MeshError('MESH_NOT_FOUND', `there is nothing at ${path}`)
    response.setHeader('Allow', fitting.map(({ route }) => route.method).join(', '))
    return sendJson(
      response,
      405,
      errorView(new MeshError('MESH_BAD_INPUT', `${path} has no ${request.method}`)),
    )
  }
  const result = await found.route.handle({ params: found.params, body: await readBody(request) })
  if (found.route.after) response.once('finish', found.route.after)
  if (isText(result)) send(response, result.status, result.contentType, result.text)
  else sendJson(response, 200, result)
}

/** The values of `:names`, or null when the path is another. */
function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    if (part.startsWith(':')) params[part.slice(1)] = decode(value)
    else if (part !== value) return null
  }
  return params
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new InputError('path', text, 'this is not a percent-encoded name', 'encode it')
  }
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length
    // Read to the end all the same, or the client sees a reset instead of the answer.
    if (length <= largestBody) parts.push(part)
  }
  if (length === 0) return undefined
  if (length > largestBody)
    throw new InputError('request', `${length} bytes`, 'too long', `send at most ${largestBody} bytes`)
  const text = Buffer.concat(parts).toString('utf8')
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new InputError('request', text.slice(0, 80), `not JSON (${reasonOf(error)})`, 'send a JSON object')
  }
}

function isText(result: unknown): result is Text {
  return typeof result === 'object' && result !== null && 'contentType' in result
}

function errorView(error: unknown): ErrorView {
  if (error instanceof InputError) {
    const { code, message, field, value, remedy } = error
    return { error: { code, message, field, value, remedy } }
  }
  const code = error instanceof MeshError ? error.code : 'MESH_INTERNAL'
  return { error: { code, message: reasonOf(error) } }
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy()
  const status = error instanceof MeshError ? statusByCode[error.code] : 500
  sendJson(response, status, errorView(error))
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(body)}\n`)
}

function send(response: ServerResponse, status: number, contentType: string, text: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}
