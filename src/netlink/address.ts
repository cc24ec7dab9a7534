/**
 * IPv4 addresses of links over rtnetlink. Builders return requests for a batch;
 * nothing here touches a socket.
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { attributes, ipv4 } from './attributes.js'
import { flags, type Query, type Request } from './message.js'

const { NEWADDR, DELADDR, GETADDR } = rt.MessageType
const inet = 2 // AF_INET

/** IFA_*, linux/if_addr.h. */
const addressAttributes = attributes({
  address: [1, ipv4], // IFA_ADDRESS   the prefix, or the other side of a point-to-point link
  local: [2, ipv4], // IFA_LOCAL       our own
})

export interface AddressReading {
  readonly linkIndex: number
  /** `10.254.0.1/32` */
  readonly address: string
}

/** `10.0.0.0/8` → its two parts; a bare address counts as /32. Throws RangeError. */
export function parsePrefix(prefix: string): { address: string; length: number } {
  const [address = '', text = '32', rest] = prefix.split('/')
  const length = /^\d{1,2}$/.test(text) ? Number(text) : -1
  if (length < 0 || length > 32 || rest !== undefined)
    throw new RangeError(`"${prefix}" is not an IPv4 prefix`)
  return { address, length }
}

/** IPv4 addresses of all links; for `dump`. */
export function listAddresses(): Query<AddressReading> {
  return {
    operation: 'list',
    subject: 'addresses',
    type: GETADDR,
    flags: flags.dump,
    payload: rt.formatAddress({ family: inet }),
    decode: decodeAddress,
  }
}

/** null for what is not an IPv4 address. */
export function decodeAddress(payload: Buffer): AddressReading | null {
  if (payload.length < rt.__LENGTH_Address) return null
  const header = rt.parseAddress(payload.subarray(0, rt.__LENGTH_Address))
  if (header.family !== inet) return null
  const { local, address } = addressAttributes.decode(payload.subarray(rt.__LENGTH_Address))
  return { linkIndex: header.index ?? 0, address: `${local ?? address}/${header.prefixlen}` }
}

function addressRequest(verb: string, type: number, bits: number, reading: AddressReading): Request {
  const { address, length } = parsePrefix(reading.address)
  const header = rt.formatAddress({ family: inet, prefixlen: length, index: reading.linkIndex })
  return {
    operation: `${verb} address`,
    subject: `${reading.address} on link ${reading.linkIndex}`,
    type,
    flags: bits,
    payload: addressAttributes.encode({ address, local: address }, header),
  }
}

/** EEXIST: there already. ENODEV: no such link. */
export function addAddress(address: AddressReading): Request {
  return addressRequest('add', NEWADDR, flags.create | flags.exclusive, address)
}

/** EADDRNOTAVAIL: gone already. ENODEV: no such link. */
export function deleteAddress(address: AddressReading): Request {
  return addressRequest('delete', DELADDR, 0, address)
}
