/**
 * /proc/net/ip_vs: all virtual services of a namespace with their destinations in one
 * reading, where netlink has to be asked for each service by itself. Pure, but for what
 * reads the file. It says neither thresholds nor anything of the flags but one; and which
 * family a fwmark is for is seen by the destinations alone.
 *
 *     TCP  0AFD0005:0050 rr
 *     FWM  000122B8 rr
 *       -> 0AFE0003:0050      Masq    1      0          0
 *       -> [fd4d:0000:0000:0000:0000:0000:0000:0003]:0050      Masq    1      0          0
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { type DestinationReading, familyOf, type ServiceMatch } from '../kernel/objects.js'
import { runInNamespace } from '../netlink/addon.js'
import { parseIPv6 } from '../netlink/ip.js'
import type { ForwardingMethod } from '../netlink/ipvs.js'

/** A destination as the table has it. */
export interface Line {
  /** `0AFE0003:0050 Masq 1`: address, port, forwarding method and weight. */
  readonly configuration: string
  readonly reading: DestinationReading
}

/** The lines of one virtual service: where they begin and end in the table. */
export interface Part {
  readonly start: number
  readonly end: number
}

const newline = 0x0a
const blank = 0x20
/** Reads between which others get their turn: each gives one page. */
const readsInARow = 64

/** The table of a namespace, in the memory of `into` if it is large enough. Throws what `open` throws. */
export async function readTable(namespace: string | null, into: ArrayBufferLike): Promise<Buffer> {
  const descriptor = runInNamespace(namespace, () => openSync('/proc/thread-self/net/ip_vs', 'r'))
  try {
    let bytes = Buffer.from(into)
    let length = 0
    for (let reads = 1; ; reads++) {
      if (length === bytes.length)
        bytes = Buffer.concat([bytes, Buffer.allocUnsafeSlow(bytes.length || 1 << 16)])
      const count = readSync(descriptor, bytes, length, bytes.length - length, null)
      if (count === 0) return bytes.subarray(0, length)
      length += count
      if (reads % readsInARow === 0) await turn()
    }
  } finally {
    closeSync(descriptor)
  }
}

/** Virtual services by what begins their line, and of a fwmark's the family of their destinations: `FWM  000122B8 6`. */
export function partsOf(table: Buffer): Map<string, Part> {
  const parts = new Map<string, Part>()
  // The lines of the heading.
  let at = table.indexOf(newline, table.indexOf('\n  -> RemoteAddress') + 1) + 1
  while (at < table.length) {
    const first = table.indexOf(newline, at) + 1
    if (first === 0) break
    let end = first
    while (end < table.length && table[end] === blank) {
      const next = table.indexOf(newline, end) + 1
      if (next === 0) break
      end = next
    }
    parts.set(keyAt(table, at, first, end), { start: at, end })
    at = end
  }
  return parts
}

/** Bytes of `FWM  000122B8`. */
const fwmarkLength = 13
/** Where the address has begun, of whatever protocol: `TCP  0`, `SCTP  0`. */
const addressAt = 6
/** Bytes in front of the address in a destination's line, `  -> `. */
const indent = 5

function keyAt(table: Buffer, start: number, first: number, end: number): string {
  const isFwmark = table[start] === 0x46
  const length = isFwmark ? start + fwmarkLength : table.indexOf(blank, start + addressAt)
  const head = table.toString('latin1', start, length)
  if (!isFwmark) return head
  return `${head} ${first === end ? 'none' : table[first + indent] === 0x5b ? 6 : 4}`
}

const protocols: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}

/** `0AFE0003` or `[fd4d:0000:…]` */
function formatAddress(address: string): string {
  if (familyOf(address) === 'inet6') {
    const bytes = Buffer.from(parseIPv6(address)).toString('hex')
    return `[${bytes.replace(/....(?=.)/g, '$&:')}]`
  }
  return address
    .split('.')
    .map(part => hex(Number(part), 2))
    .join('')
}

/** What may begin the part of a virtual service; see partsOf. */
export function keysOfPart(match: ServiceMatch): string[] {
  if ('fwmark' in match) {
    const head = `FWM  ${hex(match.fwmark, 8)}`
    return [`${head} ${match.family === 'inet6' ? 6 : 4}`, `${head} none`]
  }
  const { protocol, address, port } = match
  return [`${protocols[protocol] ?? ''}  ${formatAddress(address)}:${hex(port, 4)}`]
}

const methods: Readonly<Record<ForwardingMethod, string>> = {
  masquerade: 'Masq',
  'local-node': 'Local',
  tunnel: 'Tunnel',
  'direct-route': 'Route',
  bypass: 'Bypass',
}

/** A destination as the table writes it, without its counts. */
export function configurationOf(
  { address, port, weight }: { readonly address: string; readonly port: number; readonly weight: number },
  method: ForwardingMethod,
): string {
  return `${formatAddress(address)}:${hex(port, 4)} ${methods[method]} ${weight}`
}

/** One object for all destinations without connections: there may be a hundred thousand. */
export const unused: DestinationReading = { active: 0, inactive: 0 }

export function readingOf(active: number, inactive: number): DestinationReading {
  return active === 0 && inactive === 0 ? unused : { active, inactive }
}

/** The destinations of a part. */
export function linesOf(table: Buffer, { start, end }: Part): Line[] {
  const lines = table.toString('latin1', start, end).split('\n')
  return lines.slice(1, -1).map(line => {
    const [, place, method, weight, active, inactive] = line.trim().split(/\s+/)
    return {
      configuration: `${place} ${method} ${weight}`,
      reading: readingOf(Number(active), Number(inactive)),
    }
  })
}
