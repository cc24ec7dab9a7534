/**
 * Addresses of links, of both families, over rtnetlink. Builders return requests for a
 * batch; nothing here touches a socket.
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { attributes, u32 } from './attributes.js'
import { type AddressFamily, anyAddress, bitsOf, familyOf, inet6, ip, isInternet } from './ip.js'
import { flags, type Query, type Request } from './message.js'

const { NEWADDR, DELADDR, GETADDR } = rt.MessageType
const everyFamily = 0 // AF_UNSPEC
/** IFA_F_NODAD: used from the first moment; IFA_F_NOPREFIXROUTE: no route comes with it. */
const ready = 0x02 | 0x200

/** IFA_*, linux/if_addr.h. */
const addressAttributes = attributes({
  address: [1, ip], // IFA_ADDRESS   the prefix, or the other side of a point-to-point link
  local: [2, ip], // IFA_LOCAL       our own; of IPv6 only where it differs
  flags: [8, u32], // IFA_FLAGS
})

export interface Prefix {
  readonly family: AddressFamily
  readonly address: string
  /** Bits. */
  readonly length: number
}

export interface AddressReading {
  readonly linkIndex: number
  /** `10.254.0.1/32`, `fd4d::1/128` */
  readonly address: string
}

/** `10.0.0.0/8` → its parts; a bare address counts as /32 or /128. Throws RangeError. */
export function parsePrefix(prefix: string): Prefix {
  const family = familyOf(prefix)
  const [address = '', text = String(bitsOf(family)), rest] = prefix.split('/')
  const length = /^\d{1,3}$/.test(text) ? Number(text) : -1
  if (length < 0 || length > bitsOf(family) || rest !== undefined)
    throw new RangeError(`"${prefix}" is not an IP prefix`)
  return { family, address, length }
}

/** Addresses of all links, both families in one answer; for `dump`. */
export function listAddresses(): Query<AddressReading> {
  return {
    operation: 'list',
    subject: 'addresses',
    type: GETADDR,
    flags: flags.dump,
    payload: rt.formatAddress({ family: everyFamily }),
    decode: decodeAddress,
  }
}

/** null for what is no address of IPv4 or IPv6. */
export function decodeAddress(payload: Buffer): AddressReading | null {
  if (payload.length < rt.__LENGTH_Address) return null
  const header = rt.parseAddress(payload.subarray(0, rt.__LENGTH_Address))
  if (!isInternet(header.family)) return null
  const { local, address } = addressAttributes.decode(payload.subarray(rt.__LENGTH_Address))
  return {
    linkIndex: header.index ?? 0,
    address: `${local ?? address ?? anyAddress(header.family)}/${header.prefixlen}`,
  }
}

function addressRequest(verb: string, type: number, bits: number, reading: AddressReading): Request {
  const { family, address, length } = parsePrefix(reading.address)
  const header = rt.formatAddress({ family, prefixlen: length, index: reading.linkIndex })
  const values = { address, local: address, ...(family === inet6 ? { flags: ready } : {}) }
  return {
    operation: `${verb} address`,
    subject: `${reading.address} on link ${reading.linkIndex}`,
    type,
    flags: bits,
    payload: addressAttributes.encode(values, header),
  }
}

/**
 * EEXIST: there already. ENODEV: no such link. EACCES: IPv6 is disabled on the link
 * (net.ipv6.conf.LINK.disable_ipv6).
 */
export function addAddress(address: AddressReading): Request {
  return addressRequest('add', NEWADDR, flags.create | flags.exclusive, address)
}

/** EADDRNOTAVAIL: gone already. ENODEV: no such link. */
export function deleteAddress(address: AddressReading): Request {
  return addressRequest('delete', DELADDR, 0, address)
}
