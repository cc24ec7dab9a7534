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
  /** Aborted when nobody waits for the answer any more. */
  readonly gone: AbortSignal
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
  /** Called once the answer, also of an error, has left, or there is nobody to take it. */
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
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    void answer(routes, request, response, gone.signal).catch(error => {
      if (!(error instanceof MeshError)) onDefect(error)
      sendError(response, error)
    })
  }
}

async function answer(
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
  gone: AbortSignal,
) {
  const path = pathOf(request.url ?? '/')
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
  const { route, params } = found
  const body = await readBody(request)
  const result = await carriedOut(route, { params, body, gone }, response)
  if (isText(result)) send(response, result.status, result.contentType, result.text)
  else sendJson(response, 200, result)
}

async function carriedOut({ handle, after }: Route, request: Request, response: ServerResponse) {
  try {
    return await handle(request)
  } finally {
    if (after && request.gone.aborted) after()
    else if (after) response.once('close', after)
  }
}

/** Not by URL, to which a name of two dots is a step up. */
function pathOf(url: string): string {
  return url.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/[?#].*$/, '')
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
