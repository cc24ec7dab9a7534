/**
 * Messages of IPVS as tables: numbers of commands and attributes, and how each value
 * is coded. What is said with them is in ipvs.ts.
 *
 * Ports and addresses are in network order, all else in host order.
 */
import {
  attributes,
  binary,
  checkSize,
  formatIPv4,
  i32,
  string,
  u16,
  u16be,
  u32,
  writeIPv4,
} from './attributes.js'
import { type AddressFamily, familyOf, formatIPv6, inet6, parseIPv6 } from './ip.js'
import type { Writer } from './writer.js'

export const genericFamily = 'IPVS' // IPVS_GENL_NAME, linux/ip_vs.h
export const genericVersion = 1 // IPVS_GENL_VERSION

/** IPVS_CMD_*, linux/ip_vs.h. */
export const commands = {
  newService: 1,
  setService: 2,
  delService: 3,
  getService: 4,
  newDest: 5,
  setDest: 6,
  delDest: 7,
  getDest: 8,
  setConfig: 12,
  getConfig: 13,
  getInfo: 15,
} as const

/**
 * union nf_inet_addr: 16 bytes, an IPv4 address in the first 4. Which of the two it is
 * another attribute says, so it is read as bytes; `formatAddress` makes them text.
 */
const inetAddress = {
  flags: 0,
  write(out: Writer, value: string | Uint8Array) {
    if (typeof value !== 'string') out.append(value)
    else if (familyOf(value) === inet6) out.append(parseIPv6(value))
    else {
      const offset = out.reserve(16) // which may make the buffer another one
      writeIPv4(out.buffer, offset, value)
    }
  },
  read(bytes: Buffer, start: number, end: number): string | Uint8Array {
    checkSize(start, end, 4)
    return Buffer.from(bytes.subarray(start, end))
  },
}

/** What was read as an address, as text. */
export function formatAddress(bytes: string | Uint8Array | undefined, family: AddressFamily): string {
  if (typeof bytes === 'string') return bytes
  if (!bytes) return family === inet6 ? '::' : '0.0.0.0'
  return family === inet6 ? formatIPv6(bytes) : formatIPv4(bytes, 0)
}

/** struct ip_vs_flags: only the bits in `mask` are set. */
const serviceFlags = {
  flags: 0,
  write(out: Writer, value: { flags: number; mask: number }) {
    const offset = out.reserve(8)
    out.buffer.writeUInt32LE(value.flags >>> 0, offset)
    out.buffer.writeUInt32LE(value.mask >>> 0, offset + 4)
  },
  read(bytes: Buffer, start: number, end: number) {
    checkSize(start, end, 8)
    return { flags: bytes.readUInt32LE(start), mask: bytes.readUInt32LE(start + 4) }
  },
}

/** IPVS_SVC_ATTR_*, linux/ip_vs.h. Its counters are left unread. */
export const serviceAttributes = attributes({
  addressFamily: [1, u16], // IPVS_SVC_ATTR_AF
  protocol: [2, u16], // IPVS_SVC_ATTR_PROTOCOL
  address: [3, inetAddress], // IPVS_SVC_ATTR_ADDR
  port: [4, u16be], // IPVS_SVC_ATTR_PORT        network order
  fwmark: [5, u32], // IPVS_SVC_ATTR_FWMARK
  scheduler: [6, string], // IPVS_SVC_ATTR_SCHED_NAME
  flags: [7, serviceFlags], // IPVS_SVC_ATTR_FLAGS
  timeout: [8, u32], // IPVS_SVC_ATTR_TIMEOUT     seconds, with the PERSISTENT flag
  netmask: [9, binary], // IPVS_SVC_ATTR_NETMASK  a mask for IPv4, network order; a length for IPv6, host order
})

/** IPVS_DEST_ATTR_*, linux/ip_vs.h. Its counters of packets and bytes are left unread. */
export const destinationAttributes = attributes({
  address: [1, inetAddress], // IPVS_DEST_ATTR_ADDR   16 bytes, v4 in the first 4
  port: [2, u16be], // IPVS_DEST_ATTR_PORT            network order
  forwardingMethod: [3, u32], // IPVS_DEST_ATTR_FWD_METHOD
  weight: [4, u32], // IPVS_DEST_ATTR_WEIGHT
  upperThreshold: [5, u32], // IPVS_DEST_ATTR_U_THRESH
  lowerThreshold: [6, u32], // IPVS_DEST_ATTR_L_THRESH
  active: [7, u32], // IPVS_DEST_ATTR_ACTIVE_CONNS
  inactive: [8, u32], // IPVS_DEST_ATTR_INACT_CONNS
  persistent: [9, u32], // IPVS_DEST_ATTR_PERSIST_CONNS
  addressFamily: [11, u16], // IPVS_DEST_ATTR_ADDR_FAMILY   absent before Linux 3.18
})

/** IPVS_CMD_ATTR_*, linux/ip_vs.h. */
export const commandAttributes = attributes({
  service: [1, serviceAttributes], // IPVS_CMD_ATTR_SERVICE
  destination: [2, destinationAttributes], // IPVS_CMD_ATTR_DEST
  tcp: [4, i32], // IPVS_CMD_ATTR_TIMEOUT_TCP
  tcpFin: [5, i32], // IPVS_CMD_ATTR_TIMEOUT_TCP_FIN
  udp: [6, i32], // IPVS_CMD_ATTR_TIMEOUT_UDP
})

/** IPVS_INFO_ATTR_*, linux/ip_vs.h. */
export const infoAttributes = attributes({
  version: [1, u32], // IPVS_INFO_ATTR_VERSION
  connectionTableSize: [2, u32], // IPVS_INFO_ATTR_CONN_TAB_SIZE
})
