/**
 * Elements of ipsets: the text that `ipset` prints and the attributes that the kernel
 * takes. For ipset.ts, which says what to do with them.
 */
import { attributes, netU16, netU64, u8, type Values } from './attributes.js'
import { bitsOf, familyOf, inet6, ip } from './ip.js'

/** Network order, said by NLA_F_NET_BYTEORDER. */
const netAddress = { ...ip, flags: 0x4000 }

/** IPSET_ATTR_IPADDR_*, linux/netfilter/ipset/ip_set.h. */
const addressAttributes = attributes({
  ipv4: [1, netAddress], // IPSET_ATTR_IPADDR_IPV4
  ipv6: [2, netAddress], // IPSET_ATTR_IPADDR_IPV6
})
type AddressValues = Values<typeof addressAttributes.fields>

/** Attributes of one element; those of a set at its creation differ from 17 on. */
export const elementAttributes = attributes({
  ip: [1, addressAttributes], // IPSET_ATTR_IP
  cidr: [3, u8], // IPSET_ATTR_CIDR
  port: [4, netU16], // IPSET_ATTR_PORT
  protocol: [7, u8], // IPSET_ATTR_PROTO
  ip2: [20, addressAttributes], // IPSET_ATTR_IP2
  cidr2: [21, u8], // IPSET_ATTR_CIDR2
  mark: [27, netU64], // IPSET_ATTR_SKBMARK   mark in the upper, mask in the lower 32 bits
})
export type ElementValues = Values<typeof elementAttributes.fields>

const protocolNumbers: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 }
const protocolNames = new Map(Object.entries(protocolNumbers).map(([name, number]) => [number, name]))

function number(text: string, least: number, most: number, element: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (value < least || value > most) throw new RangeError(`"${text}" in ipset element "${element}"`)
  return value
}

function addressValues(text: string): AddressValues {
  return familyOf(text) === inet6 ? { ipv6: text } : { ipv4: text }
}

function parseNetwork(text: string, element: string): { ip: AddressValues; cidr: number; whole: boolean } {
  const bits = bitsOf(familyOf(text))
  const [address = '', length = String(bits)] = text.split('/')
  const cidr = number(length, 1, bits, element)
  return { ip: addressValues(address), cidr, whole: cidr === bits }
}

/** Element text → attribute values. Throws RangeError on text that is no element. */
export function parseElement(element: string): ElementValues {
  const [first = '', second, rest] = element.split(',')
  if (rest !== undefined) throw new RangeError(`ipset element "${element}" has three parts`)
  if (second === undefined) {
    if (!/[.:]/.test(first)) return { port: number(first, 0, 65535, element) }
    const { ip, cidr, whole } = parseNetwork(first, element)
    return whole ? { ip } : { ip, cidr }
  }
  const [, protocolName, port] = /^([^:]+):([^:]*)$/.exec(second) ?? []
  if (protocolName !== undefined && port !== undefined) {
    const code = protocolNumbers[protocolName] ?? number(protocolName, 0, 255, element)
    return { ip: addressValues(first), port: number(port, 0, 65535, element), protocol: code }
  }
  const one = parseNetwork(first, element)
  const two = parseNetwork(second, element)
  return { ip: one.ip, cidr: one.cidr, ip2: two.ip, cidr2: two.cidr }
}

function addressOf(values: AddressValues | undefined): string {
  return values?.ipv6 ?? values?.ipv4 ?? '0.0.0.0'
}

function formatNetwork(values: AddressValues | undefined, cidr: number | undefined): string {
  const address = addressOf(values)
  return cidr === undefined || cidr === bitsOf(familyOf(address)) ? address : `${address}/${cidr}`
}

/** Attribute values → element text. */
export function formatElement(values: ElementValues): string {
  if (!values.ip) return String(values.port ?? 0)
  if (values.ip2) return `${formatNetwork(values.ip, values.cidr)},${formatNetwork(values.ip2, values.cidr2)}`
  if (values.port === undefined) return formatNetwork(values.ip, values.cidr)
  const name = protocolNames.get(values.protocol ?? 0) ?? String(values.protocol ?? 0)
  return `${addressOf(values.ip)},${name}:${values.port}`
}
