/**
 * Permanent neighbours (which MAC an address has) and entries of a VXLAN
 * device's forwarding database (at which underlay address a MAC is) over rtnetlink:
 * the same messages, told apart by their family. Builders return requests for a
 * batch; nothing here touches a socket.
 *
 *     0        1     2     4           8       10      11     12
 *     ├ family ┼ pad ┼ pad ┼ link index ┼ state ┼ flags ┼ type ┼ attributes …    struct ndmsg, linux/neighbour.h
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { attributes, mac, u16be, u32, type Values } from './attributes.js'
import { familyOf, ip, isInternet } from './ip.js'
import { flags, type Query, type Request } from './message.js'

const { NEWNEIGH, DELNEIGH, GETNEIGH } = rt.MessageType
const headerLength = 12 // sizeof(struct ndmsg)
const everyFamily = 0 // AF_UNSPEC
const bridge = 7 // AF_BRIDGE
const permanent = 0x80 // NUD_PERMANENT, linux/neighbour.h
const ofDevice = 0x02 // NTF_SELF: the device's own database, not that of a bridge it is in

/** NDA_*, linux/neighbour.h. */
const neighbourAttributes = attributes({
  address: [1, ip], // NDA_DST       forwarding: the underlay address
  mac: [2, mac], // NDA_LLADDR
  port: [6, u16be], // NDA_PORT        when it is not the device's
  vni: [7, u32], // NDA_VNI            when it is not the device's
  link: [8, u32], // NDA_IFINDEX       forwarding: the link to send by; in a dump's request a filter
})
type NeighbourValues = Values<typeof neighbourAttributes.fields>

export interface NeighbourReading {
  readonly linkIndex: number
  readonly address: string
  /** `02:4d:00:00:00:01` */
  readonly mac: string
}

export interface ForwardingReading {
  readonly linkIndex: number
  readonly mac: string
  /** Underlay address of the node that has the MAC. */
  readonly destination: string
}

/** What deviates from the device's own way of sending, as `bridge fdb` prints it; of ours nothing does. */
export interface ForwardingDetour {
  /** `port 4789`, `vni 7`, `via 3`, several of them, or the empty text. */
  readonly detour: string
}

function header(family: number, linkIndex: number, state: number, bits: number): Buffer {
  const bytes = Buffer.alloc(headerLength)
  bytes.writeUInt8(family, 0)
  bytes.writeInt32LE(linkIndex, 4)
  bytes.writeUInt16LE(state, 8)
  bytes.writeUInt8(bits, 10)
  return bytes
}

interface Entry {
  readonly family: number
  readonly linkIndex: number
  readonly values: NeighbourValues
}

/** A permanent entry; null for any other message. */
function decodeEntry(payload: Buffer): Entry | null {
  if (payload.length < headerLength || !(payload.readUInt16LE(8) & permanent)) return null
  return {
    family: payload.readUInt8(0),
    linkIndex: payload.readInt32LE(4),
    values: neighbourAttributes.decode(payload.subarray(headerLength)),
  }
}

/** Permanent neighbours on a link, of both families in one answer; for `dump`. */
export function listNeighbours(linkIndex: number): Query<NeighbourReading> {
  return {
    operation: 'list',
    subject: `neighbours on link ${linkIndex}`,
    type: GETNEIGH,
    flags: flags.dump,
    payload: neighbourAttributes.encode({ link: linkIndex }, header(everyFamily, 0, 0, 0)),
    decode: decodeNeighbour,
  }
}

/** null for what is no permanent neighbour with an IPv4 or IPv6 address. */
export function decodeNeighbour(payload: Buffer): NeighbourReading | null {
  const entry = decodeEntry(payload)
  if (!entry || !isInternet(entry.family)) return null
  const { address, mac } = entry.values
  return address !== undefined && mac ? { linkIndex: entry.linkIndex, address, mac } : null
}

/** Permanent entries of a VXLAN device; for `dump`. The MAC of all zeros may come several times. */
export function listForwarding(linkIndex: number): Query<ForwardingReading & ForwardingDetour> {
  return {
    operation: 'list',
    subject: `forwarding entries of link ${linkIndex}`,
    type: GETNEIGH,
    flags: flags.dump,
    payload: header(bridge, linkIndex, 0, 0),
    decode: decodeForwarding,
  }
}

/** null for what is no permanent entry with a destination. */
export function decodeForwarding(payload: Buffer): (ForwardingReading & ForwardingDetour) | null {
  const entry = decodeEntry(payload)
  if (entry?.family !== bridge) return null
  const { address, mac, port, vni, link } = entry.values
  if (address === undefined || !mac) return null
  const detour = [
    port === undefined ? [] : `port ${port}`,
    vni === undefined ? [] : `vni ${vni}`,
    link === undefined ? [] : `via ${link}`,
  ]
  return { linkIndex: entry.linkIndex, mac, destination: address, detour: detour.flat().join(' ') }
}

function neighbourRequest(verb: string, neighbour: NeighbourReading): Request {
  const { linkIndex, address, mac } = neighbour
  const adding = verb === 'set'
  return {
    operation: `${verb} neighbour`,
    subject: `${address} on link ${linkIndex}`,
    type: adding ? NEWNEIGH : DELNEIGH,
    flags: adding ? flags.create | flags.replace : 0,
    payload: neighbourAttributes.encode(
      adding ? { address, mac } : { address },
      header(familyOf(address), linkIndex, adding ? permanent : 0, 0),
    ),
  }
}

/** Makes it permanent and so, whatever was known of the address before. ENODEV: no such link. */
export function setNeighbour(neighbour: NeighbourReading): Request {
  return neighbourRequest('set', neighbour)
}

/** ENOENT: gone already. ENODEV: no such link. */
export function deleteNeighbour(neighbour: NeighbourReading): Request {
  return neighbourRequest('delete', neighbour)
}

/** Adds the entry, or puts it in place of the MAC's former one. ENODEV: no such link. */
export function setForwarding({ linkIndex, mac, destination }: ForwardingReading): Request {
  return {
    operation: 'set forwarding entry',
    subject: `${mac} at ${destination} on link ${linkIndex}`,
    type: NEWNEIGH,
    flags: flags.create | flags.replace,
    payload: neighbourAttributes.encode(
      { address: destination, mac },
      header(bridge, linkIndex, permanent, ofDevice),
    ),
  }
}

/** Deletes a MAC's entry with all its destinations. ENOENT: gone already. ENODEV: no such link. */
export function deleteForwarding({ linkIndex, mac }: Omit<ForwardingReading, 'destination'>): Request {
  return {
    operation: 'delete forwarding entry',
    subject: `${mac} on link ${linkIndex}`,
    type: DELNEIGH,
    flags: 0,
    payload: neighbourAttributes.encode({ mac }, header(bridge, linkIndex, 0, ofDevice)),
  }
}
