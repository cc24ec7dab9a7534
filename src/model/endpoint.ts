/**
 * Endpoints given by address: what a person writes after `--endpoint`. Pure.
 */
import { InputError } from '../errors.js'
import { isIPv4, parsePort, plainIPv6 } from './ports.js'
import type { FixedEndpoint } from './service.js'

const form =
  'write ADDRESS:PORT or ADDRESS, for example 10.1.2.3:5432 or [2001:db8::5]:5432, or node:5432 for a process on this node'

/**
 * Parses `ADDR[:PORT]`. `node` and `localhost` stand for this node itself,
 * 127.0.0.1. Throws InputError.
 */
export function parseEndpoint(text: string, field = 'endpoint'): FixedEndpoint {
  const six = /^\[([^\]]*)\](?::(.*))?$/.exec(text.trim())
  if (six) return parseSix(six[1]!, six[2], text, field)
  const [host = '', portText, ...rest] = text.trim().split(':')
  if (rest.length > 0) throw new InputError(field, text, 'this is not an endpoint', form)
  const port = portText === undefined ? null : parsePort(portText, text, field, form)
  if (host === 'node' || host === 'localhost') return { address: '127.0.0.1', port }
  if (!isIPv4(host)) throw new InputError(field, text, `"${host}" is not an IPv4 address`, form)
  const first = Number(host.split('.')[0])
  if (first === 0 || first >= 224)
    throw new InputError(field, text, `nothing can answer at ${host}`, 'give the address of one machine')
  return { address: host, port }
}

function parseSix(host: string, portText: string | undefined, text: string, field: string): FixedEndpoint {
  const address = plainIPv6(host)
  if (address === null) throw new InputError(field, text, `"${host}" is not an IPv6 address`, form)
  if (/^(::1?$|::ffff:|fe[89ab]|ff)/.test(address))
    throw new InputError(field, text, `nothing can answer at ${address}`, 'give the address of one machine')
  return { address, port: portText === undefined ? null : parsePort(portText, text, field, form) }
}

/** The text `parseEndpoint` reads. */
export function formatEndpoint({ address, port }: FixedEndpoint): string {
  const host = address.includes(':') ? `[${address}]` : address
  return port === null ? host : `${host}:${port}`
}
