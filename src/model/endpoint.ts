/**
 * Endpoints given by address: what a person writes after `--endpoint`. Pure.
 */
import { InputError } from '../errors.js'
import { isIPv4, parsePort } from './ports.js'
import type { FixedEndpoint } from './service.js'

const form =
  'write ADDRESS:PORT or ADDRESS, for example 10.1.2.3:5432, or node:5432 for a process on this node'

/**
 * Parses `ADDR[:PORT]`. `node` and `localhost` stand for this node itself,
 * 127.0.0.1. Throws InputError.
 */
export function parseEndpoint(text: string, field = 'endpoint'): FixedEndpoint {
  const [host = '', portText, ...rest] = text.trim().split(':')
  if (rest.length > 0) {
    const problem =
      text.includes('::') || text.startsWith('[') ? 'IPv6 is not served' : 'this is not an endpoint'
    throw new InputError(field, text, problem, form)
  }
  const port = portText === undefined ? null : parsePort(portText, text, field, form)
  if (host === 'node' || host === 'localhost') return { address: '127.0.0.1', port }
  if (!isIPv4(host)) throw new InputError(field, text, `"${host}" is not an IPv4 address`, form)
  const first = Number(host.split('.')[0])
  if (first === 0 || first >= 224)
    throw new InputError(field, text, `nothing can answer at ${host}`, 'give the address of one machine')
  return { address: host, port }
}

/** The text `parseEndpoint` reads. */
export function formatEndpoint(endpoint: FixedEndpoint): string {
  return endpoint.port === null ? endpoint.address : `${endpoint.address}:${endpoint.port}`
}
