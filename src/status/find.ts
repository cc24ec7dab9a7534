/**
 * Finding a service by what a person wrote: its name or one of its published ports. Pure.
 */
import { InputError, MeshError } from '../errors.js'
import { formatRange, type PortRange, parsePortSpec } from '../model/ports.js'
import type { PortKey } from './agent.js'
import type { PortView, ServiceView } from './views.js'

/**
 * The published port of `8888`, `8888/udp`, `8000-8099` or a whole SPEC `8888:80`.
 * Throws InputError.
 */
export function parsePortKey(text: string): PortKey {
  const [body = '', ...protocolText] = text.trim().split('/')
  const isKey = body !== '' && !body.includes(':')
  try {
    // A SPEC of one part is a target, which no range can be.
    const { protocol, published, target } = parsePortSpec(
      isKey ? [`${body}:${body}`, ...protocolText].join('/') : text,
    )
    return { protocol, published: published ?? target }
  } catch (error) {
    if (!isKey || !(error instanceof InputError)) throw error
    throw new InputError(
      'port',
      text,
      error.problem,
      'write a published port, as in 8888, 53/udp or 8000-8099',
    )
  }
}

/** Text that `parsePortKey` reads back. */
export function formatPortKey({ protocol, published }: PortKey): string {
  return `${formatRange(published)}/${protocol}`
}

/**
 * The service that bears this name or publishes this port. `8888` alone is any
 * protocol. Throws MESH_NOT_FOUND, or InputError when two services share the number.
 */
export function findService(services: readonly ServiceView[], nameOrPort: string): ServiceView {
  const named = services.find(({ name }) => name === nameOrPort)
  if (named) return named
  const match = /^(\d{1,5})(?:\/(\w+))?$/.exec(nameOrPort)
  const found = match
    ? services.filter(service => service.ports.some(port => answers(port, Number(match[1]), match[2])))
    : []
  if (found.length > 1)
    throw new InputError(
      'port',
      nameOrPort,
      `${found.map(({ name }) => name).join(' and ')} publish it`,
      `write the protocol too, as in ${match?.[1]}/udp`,
    )
  const [service] = found
  if (service) return service
  throw new MeshError(
    'MESH_NOT_FOUND',
    `${match ? 'port' : 'service'} "${nameOrPort}": not published; \`meshctl ls\` lists what is`,
  )
}

function answers(port: PortView, number: number, protocol: string | undefined): boolean {
  const [first = '', last = first] = port.published.split('-')
  return (
    number >= Number(first) &&
    number <= Number(last) &&
    (protocol === undefined || protocol.toLowerCase() === port.protocol)
  )
}

/** Whether a range is the one that was asked for: unpublishing part of a range is not possible. */
export function sameRange(a: PortRange, b: PortRange): boolean {
  return a.first === b.first && a.last === b.last
}
