/**
 * Names as DNS has them: of services, of endpoints, and of addresses for looking them
 * up backwards. Pure.
 */
import { Address6 } from 'ip-address'

/** Whether DNS can carry it: labels of 1–63 bytes, 253 in all (RFC 1035, 2.3.4). */
export function isName(text: string): boolean {
  return (
    Buffer.byteLength(text) <= 253 &&
    text.split('.').every(label => label.length > 0 && Buffer.byteLength(label) <= 63)
  )
}

/** Whether DNS can carry a name without its domain, and the longer names that are made of it. */
export function isUsableName(name: string, domain: string): boolean {
  return isName(`tasks.${name}.${domain}`)
}

/** `project/web` → `web.project`, in lower case. */
export function dottedName(service: string): string {
  return service.toLowerCase().split('/').reverse().join('.')
}

/** `shop/web` → `web`, in lower case. */
export function shortName(service: string): string {
  return service.slice(service.indexOf('/') + 1).toLowerCase()
}

/** `shop/web` → `shop`; null for a name of one part. */
export function projectOf(service: string): string | null {
  const slash = service.indexOf('/')
  return slash < 0 ? null : service.slice(0, slash)
}

export function isIPv6(address: string): boolean {
  return address.includes(':')
}

/** The label of an endpoint under its service's name: `10.254.0.3` → `10-254-0-3`. */
export function labelOf(address: string): string {
  return address.toLowerCase().replaceAll(/[.:]/g, '-')
}

/** `10.254.0.3` → `3.0.254.10.in-addr.arpa`; of IPv6 `….ip6.arpa`. */
export function reverseName(address: string): string {
  if (isIPv6(address)) return new Address6(address).reverseForm().replace(/\.$/, '')
  return `${address.split('.').reverse().join('.')}.in-addr.arpa`
}

/** How many labels the reverse name of a whole address has. */
export function isWholeReverse(name: string): boolean {
  const labels = name.split('.').length
  return name.endsWith('.ip6.arpa') ? labels === 34 : labels === 6
}

/**
 * The names under which all addresses of a subnet, and no others, are found backwards:
 * `10.254.0.0/16` → `254.10.in-addr.arpa`; several where it does not end at a label.
 */
export function reverseZones(subnet: string): string[] {
  const [first = '', length = ''] = subnet.split('/')
  const six = isIPv6(first)
  const bitsPerLabel = six ? 4 : 8
  const labels = Math.ceil(Number(length) / bitsPerLabel)
  const count = 2 ** (labels * bitsPerLabel - Number(length))
  const whole = reverseName(first).split('.')
  const zone = whole.slice(whole.length - 2 - labels)
  const [digits = '0', ...rest] = zone
  const base = six ? 16 : 10
  const start = Number.parseInt(digits, base)
  return Array.from({ length: count }, (_, i) => [(start + i).toString(base), ...rest].join('.'))
}
