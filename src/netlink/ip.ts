/**
 * Addresses of both families as text and as bytes in network order. The text of an IPv6
 * address is that of RFC 5952, as ip, ipset and iptables print it: `fd4d::1`.
 */
import { type Codec, formatIPv4, parseIPv4, writeIPv4 } from './attributes.js'

/** AF_*, linux/socket.h; NFPROTO_IPV4 and NFPROTO_IPV6, linux/netfilter.h, are the same. */
export const inet = 2
export const inet6 = 10
export type AddressFamily = typeof inet | typeof inet6

/** Family of an address or prefix, by its text. */
export function familyOf(text: string): AddressFamily {
  return text.includes(':') ? inet6 : inet
}

export function isInternet(family: number | undefined): family is AddressFamily {
  return family === inet || family === inet6
}

/** Bits of an address: the length of a prefix that is one address. */
export function bitsOf(family: AddressFamily): number {
  return family === inet6 ? 128 : 32
}

/** `0.0.0.0` or `::`, which stands for any. */
export function anyAddress(family: AddressFamily): string {
  return family === inet6 ? '::' : '0.0.0.0'
}

/** An address of 4 or 16 bytes, whichever its text asks for. */
export const ip: Codec<string> = {
  flags: 0,
  write(out, value) {
    if (familyOf(value) === inet) {
      const offset = out.reserve(4)
      writeIPv4(out.buffer, offset, value)
    } else out.append(parseIPv6(value))
  },
  read(bytes, start, end) {
    return end - start >= 16 ? formatIPv6(bytes, start) : formatIPv4(bytes.subarray(0, end), start)
  },
}

/** `fd4d::1` → 16 bytes. Throws RangeError on anything else. */
export function parseIPv6(text: string): Uint8Array {
  const fail = () => new RangeError(`"${text}" is not an IPv6 address`)
  const [head = '', tail, rest] = text.split('::')
  if (rest !== undefined) throw fail()
  const before = groupsOf(head)
  const after = groupsOf(tail ?? '')
  const missing = 8 - (before?.length ?? 9) - (after?.length ?? 9)
  if (!before || !after || (tail === undefined ? missing !== 0 : missing < 1)) throw fail()
  const bytes = new Uint8Array(16)
  const groups = [...before, ...new Array<number>(missing).fill(0), ...after]
  for (const [i, group] of groups.entries()) bytes.set([group >> 8, group & 0xff], i * 2)
  return bytes
}

/** `fd4d:1` → its numbers; the last may be an IPv4 address. null when it is no list of groups. */
function groupsOf(text: string): number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const last = parts.at(-1)!
  const mapped = last.includes('.') ? parseIPv4(last) : null
  if (mapped) parts.pop()
  if (!parts.every(part => /^[0-9a-f]{1,4}$/i.test(part))) return null
  const groups = parts.map(part => Number.parseInt(part, 16))
  return mapped ? [...groups, mapped[0]! * 256 + mapped[1]!, mapped[2]! * 256 + mapped[3]!] : groups
}

/** 16 bytes → `fd4d::1`. Throws RangeError when there are fewer. */
export function formatIPv6(bytes: Uint8Array, offset = 0): string {
  if (bytes.length < offset + 16) throw new RangeError('an IPv6 address has 16 bytes')
  const groups = Array.from(
    { length: 8 },
    (_, i) => bytes[offset + i * 2]! * 256 + bytes[offset + i * 2 + 1]!,
  )
  // ::ffff:10.0.0.1
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff)
    return `::ffff:${formatIPv4(bytes, offset + 12)}`
  const { start, length } = longestZeros(groups)
  const hex = groups.map(group => group.toString(16))
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

/** The longest run of zeros, the first of equal ones. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 }
  let start = 0
  for (const [i, group] of groups.entries()) {
    if (group !== 0) start = i + 1
    else if (i + 1 - start > longest.length) longest = { start, length: i + 1 - start }
  }
  return longest
}
