/**
 * Published ports: what a person writes (`[ADDRESS:]PUBLISHED:TARGET[/PROTOCOL]`, an
 * IPv6 address in brackets)
 * and what it means. Pure; the command line, labels and files all come here.
 */
import { InputError } from '../errors.js'

export const protocols = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof protocols)[number]

/** Inclusive range of ports, 1–65535; a single port has first === last. */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/** One published port (or range) of a service. `published` null: the mesh shall choose a free port. */
export interface PortSpec {
  readonly protocol: Protocol
  readonly published: PortRange | null
  /** Same length as `published`. */
  readonly target: PortRange
  /** Local address the port is bound to; null: every address of the node. */
  readonly address: string | null
}

/** A port spec whose published port is known. */
export interface PublishedPort extends PortSpec {
  readonly published: PortRange
}

const form = 'write [ADDRESS:]PUBLISHED:TARGET[/tcp|udp|sctp], for example 8888:80 or 8000-8099:8000-8099/udp'

/** One port, 1–65535. `whole` is what the person wrote, `field` where. Throws InputError. */
export function parsePort(text: string, whole = text, field = 'port', remedy = form): number {
  if (!/^\d+$/.test(text)) throw new InputError(field, whole, `"${text}" is not a number`, remedy)
  const port = Number(text)
  if (port < 1 || port > 65535)
    throw new InputError(field, whole, `${text} is outside 1–65535`, 'choose a port from 1 to 65535')
  return port
}

function parseRange(text: string, spec: string): PortRange {
  const dash = text.indexOf('-')
  if (dash < 0) {
    const port = parsePort(text, spec)
    return { first: port, last: port }
  }
  const first = parsePort(text.slice(0, dash), spec)
  const last = parsePort(text.slice(dash + 1), spec)
  if (last < first)
    throw new InputError('port', spec, `the range ${text} runs backwards`, `write ${last}-${first}`)
  return { first, last }
}

/** Whether the text is an IPv4 address in its usual form, four decimal numbers. */
export function isIPv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

/** An IPv6 address as RFC 5952 has it; null for what is none. */
export function plainIPv6(text: string): string | null {
  if (!/^[\da-f:.]*:[\da-f:.]*$/i.test(text) || !URL.canParse(`http://[${text}]/`)) return null
  return new URL(`http://[${text}]/`).hostname.slice(1, -1)
}

/** `10.0.0.5` or `[fd4d::5]`. */
function isAddress(text: string): boolean {
  return isIPv4(text) || (/^\[.*\]$/.test(text) && plainIPv6(text.slice(1, -1)) !== null)
}

/** The address in its plain form; null for those that stand for every address. */
function boundTo(address: string): string | null {
  const plain = address.startsWith('[') ? plainIPv6(address.slice(1, -1)) : address
  return plain === '0.0.0.0' || plain === '::' ? null : plain
}

/** The parts of a SPEC between its colons, but for those within brackets. */
function partsOf(body: string): string[] {
  const found = /^(\[[^\]]*\]):(.*)$/.exec(body)
  return found ? [found[1]!, ...found[2]!.split(':')] : body.split(':')
}

/**
 * Parses one SPEC. `80` and `:80` name only the target and leave the choice of
 * the published port to the mesh. Throws InputError.
 */
export function parsePortSpec(spec: string): PortSpec {
  const [body = '', protocolText, ...rest] = spec.trim().split('/')
  const protocolName = (protocolText ?? 'tcp').toLowerCase()
  const protocol = protocols.find(name => name === protocolName)
  if (rest.length > 0 || !protocol)
    throw new InputError(
      'port',
      spec,
      `"${[protocolText, ...rest].join('/')}" is not a protocol`,
      'use tcp, udp or sctp',
    )
  const parts = partsOf(body)
  if (parts.length > 3 || body === '')
    throw new InputError('port', spec, 'this is not a port specification', form)
  if (parts.length === 2 && isAddress(parts[0] ?? ''))
    throw new InputError(
      'port',
      spec,
      'an address needs two ports after it',
      `write ${parts[0]}::${parts[1]} to let the mesh choose one`,
    )
  const target = parseRange(parts.at(-1) ?? '', spec)
  const publishedText = parts.length > 1 ? (parts.at(-2) ?? '') : ''
  const published = publishedText === '' ? null : parseRange(publishedText, spec)
  const address = parts.length === 3 ? (parts[0] ?? '') : null
  if (address !== null && !isAddress(address))
    throw new InputError('port', spec, `"${address}" is not an IP address (IPv6 in brackets)`, form)
  if (published && lengthOf(published) !== lengthOf(target))
    throw new InputError(
      'port',
      spec,
      `the published range has ${lengthOf(published)} ports and the target ${lengthOf(target)}`,
      'give both ranges the same length',
    )
  if (!published && lengthOf(target) > 1)
    throw new InputError('port', spec, 'a range needs its published ports written out', form)
  return { protocol, published, target, address: address === null ? null : boundTo(address) }
}

/** Number of ports in a range. */
export function lengthOf(range: PortRange): number {
  return range.last - range.first + 1
}

/** Whether two ranges share a port. */
export function overlaps(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last
}

/** `8888` or `8000-8099`. */
export function formatRange(range: PortRange): string {
  return range.first === range.last ? String(range.first) : `${range.first}-${range.last}`
}

/** The SPEC of a port, as `parsePortSpec` reads it. */
export function formatPort(port: PortSpec): string {
  const address =
    port.address === null ? '' : `${port.address.includes(':') ? `[${port.address}]` : port.address}:`
  const open = port.address === null ? '' : ':'
  const published = port.published === null ? open : `${formatRange(port.published)}:`
  return `${address}${published}${formatRange(port.target)}/${port.protocol}`
}
