/**
 * Netlink messages: header, flags, error answers. Pure; they are put together in
 * batch.ts, the sockets are in connection.ts, the meaning of payloads in ipvs.ts,
 * ipset.ts, link.ts, route.ts …
 *
 *     0         4     6       8          12       16
 *     ├─ length ┼ type┼ flags ┼ sequence ┼─ port ─┼─ payload … padded to 4 bytes
 *
 * Everything here is in host byte order.
 */
import { endianness } from 'node:os'
import type { Writer } from './writer.js'

if (endianness() !== 'LE') throw new Error('the mesh runs on little-endian machines only')

/** One netlink message to send, with the words by which an error of it is told. */
export interface Request {
  /** `add destination` */
  readonly operation: string
  /** `10.0.1.5:80 of fwmark 0x122b8` */
  readonly subject: string
  /** nlmsg_type; a string is a generic netlink family, whose number the connection looks up. */
  readonly type: number | string
  /** NLM_F_* without NLM_F_REQUEST and NLM_F_ACK, which the connection sets. */
  readonly flags: number
  readonly payload: Uint8Array
  /** Appends the payload to a batch; for requests that come by the thousand and have none of their own. */
  writeTo?(out: Writer): void
}

/** A request that asks for data; `decode` turns one answer into a value, or null for one to skip. */
export interface Query<T> extends Request {
  decode(payload: Buffer, type: number): T | null
}

/** One message received. */
export interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly payload: Buffer
}

/** linux/netlink.h */
export const headerLength = 16 // NLMSG_HDRLEN
export const messageTypes = { noop: 1, error: 2, done: 3, overrun: 4 } as const // NLMSG_*

/** NLM_F_*, linux/netlink.h. */
export const flags = {
  /** The message asks something of the kernel. */
  request: 0x1,
  /** Answer even when all went well. */
  ack: 0x4,
  /** The dump changed while it was made (NLM_F_DUMP_INTR). */
  dumpInterrupted: 0x10,
  /** All objects: NLM_F_ROOT | NLM_F_MATCH. */
  dump: 0x300,
  /** Change an object that is there already. */
  replace: 0x100,
  /** Refuse an object that is there already. */
  exclusive: 0x200,
  /** Make the object when it is not there. */
  create: 0x400,
  /** In error answers: the request is quoted by its header only (NLM_F_CAPPED). */
  capped: 0x100,
  /** In error answers: attributes follow (NLM_F_ACK_TLVS). */
  attributesFollow: 0x200,
} as const

/** #define NLMSG_ALIGN(len) (((len) + 3) & ~3), and NLA_ALIGN the same */
export function align(length: number): number {
  return (length + 3) & ~3
}

/** Splits a buffer into its messages; a damaged rest is left out. */
export function decodeMessages(buffer: Buffer): Message[] {
  const messages: Message[] = []
  let offset = 0
  while (offset + headerLength <= buffer.length) {
    const length = buffer.readUInt32LE(offset)
    if (length < headerLength || offset + length > buffer.length) break
    messages.push({
      type: buffer.readUInt16LE(offset + 4),
      flags: buffer.readUInt16LE(offset + 6),
      sequence: buffer.readUInt32LE(offset + 8),
      payload: buffer.subarray(offset + headerLength, offset + length),
    })
    offset += align(length)
  }
  return messages
}

/** What an NLMSG_ERROR or NLMSG_DONE says. */
export interface Answer {
  /** Positive errno; 0 is an acknowledgement. */
  readonly errno: number
  /** NLMSGERR_ATTR_MSG, or null. */
  readonly kernelMessage: string | null
}

const kernelMessageAttribute = 1 // NLMSGERR_ATTR_MSG

/** Reads struct nlmsgerr (error) or the bare int of NLMSG_DONE. */
export function decodeAnswer(message: Message): Answer {
  const { payload } = message
  const errno = payload.length >= 4 ? -payload.readInt32LE(0) : 0
  let kernelMessage: string | null = null
  if (message.flags & flags.attributesFollow) {
    let offset = 4
    if (message.type === messageTypes.error) {
      const quoted = payload.length >= 8 ? payload.readUInt32LE(4) : headerLength
      offset += message.flags & flags.capped ? headerLength : align(quoted)
    }
    while (offset + 4 <= payload.length) {
      const length = payload.readUInt16LE(offset)
      if (length < 4 || offset + length > payload.length) break
      if ((payload.readUInt16LE(offset + 2) & 0x3fff) === kernelMessageAttribute) {
        const text = payload.toString('utf8', offset + 4, offset + length)
        kernelMessage = text.replace(/\0.*$/s, '')
      }
      offset += align(length)
    }
  }
  return { errno: errno === 0 ? 0 : errno, kernelMessage }
}

/** The package's enumerations read known numbers as names; back to the number. */
export function numberOf(names: object, value: string | number | undefined): number {
  return typeof value === 'string' ? ((names as Record<string, number>)[value] ?? 0) : (value ?? 0)
}
