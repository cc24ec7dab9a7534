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
import { byFwmark, type DestinationReading, familyOf, keyOfVirtualService } from '../kernel/objects.js'
import { runInNamespace } from '../netlink/addon.js'
import { formatIPv4 } from '../netlink/attributes.js'
import { formatIPv6, parseIPv6 } from '../netlink/ip.js'
import type { ForwardingMethod } from '../netlink/ipvs.js'

/** A destination as the table has it. */
export interface Line {
  /** `0AFE0003:0050 Masq 1`: address, port, forwarding method and weight. */
  readonly configuration: string
  readonly reading: DestinationReading
}

const newline = 0x0a
const blank = 0x20
/** Reads between which others get their turn: each gives one page. */
const readsInARow = 64
/** What is read into, 64 KiB; null while somebody reads. Fresh memory would cost more than the reading of a short table. */
let spare: Buffer | null = Buffer.allocUnsafeSlow(1 << 16)

/**
 * Reads the table of a namespace and gives the lines of one virtual service at a time, good
 * until `onPart` returns: of a hundred thousand destinations the table is 8 MB. Throws what `open` throws.
 */
export async function readTable(namespace: string | null, onPart: (part: Buffer) => void): Promise<void> {
  const descriptor = runInNamespace(namespace, () => openSync('/proc/thread-self/net/ip_vs', 'r'))
  const own = spare ?? Buffer.allocUnsafeSlow(1 << 16)
  spare = null
  try {
    let bytes = own
    let length = 0
    for (let reads = 1; ; reads++) {
      if (length === bytes.length) {
        const rest = splitTable(bytes, false, onPart)
        if (rest.length === bytes.length) bytes = Buffer.concat([bytes, Buffer.allocUnsafeSlow(bytes.length)])
        else bytes.set(rest)
        length = rest.length
      }
      const count = readSync(descriptor, bytes, length, bytes.length - length, null)
      if (count === 0) break
      length += count
      if (reads % readsInARow === 0) await turn()
    }
    splitTable(bytes.subarray(0, length), true, onPart)
  } finally {
    spare = own
    closeSync(descriptor)
  }
}

/**
 * Gives the lines of each virtual service, and those of the heading in the same way. Returns
 * what is left: the last of them, unless the table ends here, as more of it may follow.
 */
export function splitTable(table: Buffer, isEnd: boolean, onPart: (part: Buffer) => void): Buffer {
  let start = 0
  for (let at = 0; ; ) {
    at = table.indexOf(newline, at) + 1
    const isLast = at === 0 || at === table.length
    if (isLast && !isEnd) return table.subarray(start)
    if (!isLast && table[at] === blank) continue
    onPart(table.subarray(start, isLast ? table.length : at))
    if (isLast) return table.subarray(table.length)
    start = at
  }
}

const protocols: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 }
/** Bytes in front of the address in a destination's line, `  -> `. */
const indent = 5
const bracket = 0x5b // [

/**
 * `keyOf` the virtual services whose part this may be: of a fwmark without destinations it
 * is not told of which family. None for the heading.
 */
export function keysOfPart(part: Buffer): string[] {
  const end = part.indexOf(newline)
  const [word = '', , place = ''] = part.toString('latin1', 0, end).split(' ')
  if (word === 'FWM') {
    const fwmark = Number.parseInt(place, 16)
    const first = part[end + 1 + indent]
    return [
      ...(first === bracket ? [] : [keyOfVirtualService(byFwmark(fwmark))]),
      ...(first === bracket || first === undefined ? [keyOfVirtualService(byFwmark(fwmark, 'inet6'))] : []),
    ]
  }
  const protocol = protocols[word]
  return protocol === undefined ? [] : [keyOfVirtualService({ protocol, ...placeOf(place) })]
}

/** `0AFD0005:0050` or `[fd4d:0000:…]:0050` */
function placeOf(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':')
  const digits = text.slice(0, colon).replace(/[[\]:]/g, '')
  const bytes = Buffer.from(digits, 'hex')
  const address = bytes.length === 16 ? formatIPv6(bytes) : formatIPv4(bytes)
  return { address, port: Number.parseInt(text.slice(colon + 1), 16) }
}

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
export function linesOf(part: Buffer): Line[] {
  const lines = part.toString('latin1').split('\n')
  return lines.slice(1, -1).map(line => {
    const [, place, method, weight, active, inactive] = line.trim().split(/\s+/)
    return {
      configuration: `${place} ${method} ${weight}`,
      reading: readingOf(Number(active), Number(inactive)),
    }
  })
}
