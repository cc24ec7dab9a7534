/**
 * Messages of DNS (RFC 1035, 4; EDNS: RFC 6891): queries are read, responses written.
 * dns-packet has the codecs of records; names that are asked for go back as they came, byte
 * by byte, and answers point to them instead of repeating them. Pure.
 */
import packet, { type Answer } from 'dns-packet'
import type { ZoneRecord } from './records.js'

declare module 'dns-packet' {
  /** The codec of one record, which the package has and its types leave out. */
  const answer: {
    encodingLength(record: Answer): number
    readonly encode: {
      (record: Answer, target: Buffer, offset: number): Buffer
      readonly bytes: number
    }
  }
}

/** RCODEs, RFC 1035, 4.1.1. */
export const rcodes = {
  ok: 0,
  malformed: 1,
  failure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const
/** EDNS of another version (BADVERS), RFC 6891, 9: the part of it that OPT carries. */
const badVersion = 1

// Bits of the second 16 bits of a header, RFC 1035, 4.1.1.
const qr = 0x8000
const opcodes = 0x7800
const aa = 0x0400
const tc = 0x0200
const rd = 0x0100
const ra = 0x0080
const headerLength = 12

/** A response over UDP to who says nothing of EDNS, bytes: RFC 1035, 4.2.1. */
export const plainSize = 512
/** What of EDNS is offered, and the largest response of our own over UDP: no fragment on any link. */
export const ednsSize = 1232
/** Nobody asks at such length; what is longer is not even read. */
const longestQuery = 4096
const optLength = 11

export interface Query {
  /** As it came. */
  readonly message: Buffer
  /** In lower case, without a dot at the end; '' is the root. */
  readonly name: string
  /** `A`, … or `UNKNOWN_65400`. */
  readonly type: string
  /** `IN`, `CH`, … */
  readonly class: string
  /** Where the question ends in the message. */
  readonly end: number
  /** Largest response over UDP, bytes. */
  readonly size: number
  readonly hasEdns: boolean
}

/** A message that cannot be answered but by an error, which is this; or not at all (null). */
export interface Refused {
  readonly refusal: Buffer | null
}

function refused(message: Buffer, rcode: number): Refused {
  const refusal = Buffer.alloc(headerLength)
  const flags = message.readUInt16BE(2)
  refusal.writeUInt16BE(message.readUInt16BE(0), 0)
  refusal.writeUInt16BE(qr | (flags & (opcodes | rd)) | rcode, 2)
  return { refusal }
}

/** Where the question ends; null for one that is cut off, or made with pointers, of which it has no need. */
function endOfQuestion(message: Buffer): number | null {
  let at = headerLength
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63) return null
    at += length + 1
    if (length === 0) return at + 4 <= message.length ? at + 4 : null
  }
}

export function readQuery(message: Buffer): Query | Refused {
  if (message.length < headerLength) return { refusal: null }
  const flags = message.readUInt16BE(2)
  // A response is never answered: two resolvers would go on for ever.
  if (flags & qr) return { refusal: null }
  if (flags & opcodes) return refused(message, rcodes.notImplemented)
  const [questions, answers, authorities, additionals = 0] = [4, 6, 8, 10].map(at => message.readUInt16BE(at))
  const end = endOfQuestion(message)
  // Looked at before the codec makes lists as long as a header claims.
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals > 2 || end === null)
    return refused(message, rcodes.malformed)
  if (message.length > longestQuery) return refused(message, rcodes.malformed)
  let decoded: packet.DecodedPacket
  try {
    decoded = packet.decode(message)
  } catch {
    return refused(message, rcodes.malformed)
  }
  const question = decoded.questions?.[0]
  const opts = (decoded.additionals ?? []).filter(record => record.type === 'OPT')
  if (!question || opts.length > 1) return refused(message, rcodes.malformed)
  const [opt] = opts as (packet.OptAnswer & { readonly ednsVersion: number })[]
  const query: Query = {
    message,
    name: question.name === '.' ? '' : question.name.toLowerCase(),
    type: question.type,
    class: question.class ?? 'IN',
    end,
    size: Math.max(plainSize, opt?.udpPayloadSize ?? 0),
    hasEdns: opt !== undefined,
  }
  if (opt && opt.ednsVersion !== 0) return { refusal: writeError(query, rcodes.ok, badVersion) }
  return query
}

export interface Response {
  readonly rcode: number
  /** Whether it is the mesh that says so. */
  readonly authoritative: boolean
  readonly answers: readonly ZoneRecord[]
  readonly authorities: readonly ZoneRecord[]
  readonly additionals: readonly ZoneRecord[]
  /** Of all records, seconds. */
  readonly ttl: number
}

/** Where responses are written before they are as long as they are. */
const page = Buffer.alloc(65_535)
const toQuestion = 0xc000 | headerLength

/** Behind `at`, if it fits before `limit`; where it ends, or null. */
function writeRecord(record: ZoneRecord, ttl: number, at: number, limit: number): number | null {
  if (record.name !== null) return put({ ...record, name: record.name, ttl } as Answer, at, limit)
  // The codec writes one 0 for the root, where two bytes of pointer have their second one.
  const end = put({ ...record, name: '.', ttl } as Answer, at + 1, limit)
  page.writeUInt16BE(toQuestion, at)
  return end
}

function put(record: Answer, at: number, limit: number): number | null {
  if (at + packet.answer.encodingLength(record) > limit) return null
  packet.answer.encode(record, page, at)
  return at + packet.answer.encode.bytes
}

function writeOpt(at: number, extendedRcode: number): number {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: ednsSize,
    extendedRcode,
    ednsVersion: 0,
    flags: 0,
    options: [],
  }
  packet.answer.encode(opt as unknown as Answer, page, at)
  return at + optLength
}

/**
 * The response to a query in at most `limit` bytes. Answers that do not fit are left out,
 * and it says so (TC); others are left out in silence.
 */
export function writeResponse(query: Query, response: Response, limit: number): Buffer {
  const room = limit - (query.hasEdns ? optLength : 0)
  let at = begin(query)
  let isCut = false
  const sections = [response.answers, response.authorities, response.additionals]
  const counts = sections.map((records, section) => {
    let count = 0
    for (const record of records) {
      const end = isCut ? null : writeRecord(record, response.ttl, at, room)
      if (end === null) {
        isCut ||= section === 0
        break
      }
      at = end
      count++
    }
    return count
  })
  return finish(query, at, {
    flags: response.rcode | (response.authoritative ? aa : 0) | (isCut ? tc : 0),
    counts,
    extended: 0,
  })
}

/** A response without records. */
export function writeError(query: Query, rcode: number, extended = 0): Buffer {
  return finish(query, begin(query), { flags: rcode, counts: [0, 0, 0], extended })
}

function begin({ message, end }: Query): number {
  message.copy(page, 0, 0, end)
  return end
}

function finish(
  { message, hasEdns }: Query,
  at: number,
  {
    flags,
    counts,
    extended,
  }: { readonly flags: number; readonly counts: readonly number[]; readonly extended: number },
): Buffer {
  const end = hasEdns ? writeOpt(at, extended) : at
  const [answers = 0, authorities = 0, additionals = 0] = counts
  page.writeUInt16BE(qr | ra | (message.readUInt16BE(2) & rd) | flags, 2)
  page.writeUInt16BE(1, 4)
  page.writeUInt16BE(answers, 6)
  page.writeUInt16BE(authorities, 8)
  page.writeUInt16BE(additionals + (hasEdns ? 1 : 0), 10)
  return Buffer.from(page.subarray(0, end))
}

/** Whether it is the response to that query, asked under the number `id`: RFC 5452, 9.1, but for addresses. */
export function answers(response: Buffer, query: Query, id: number): boolean {
  if (response.length < query.end || response.readUInt16BE(0) !== id) return false
  if (!(response.readUInt16BE(2) & qr) || response.readUInt16BE(4) !== 1) return false
  const text = (bytes: Buffer) => bytes.toString('latin1', headerLength, query.end - 4).toLowerCase()
  return (
    response.compare(query.message, query.end - 4, query.end, query.end - 4, query.end) === 0 &&
    text(response) === text(query.message)
  )
}

export function rcodeOf(response: Buffer): number {
  return response.readUInt16BE(2) & 0xf
}

export function isTruncated(response: Buffer): boolean {
  return (response.readUInt16BE(2) & tc) !== 0
}

/** The same message under another number. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt16BE(id, 0)
  return copy
}

/** A foreign response as it may be sent over UDP: as it is, or without records and saying so (TC). */
export function fitted(response: Buffer, query: Query): Buffer {
  if (response.length <= query.size) return response
  const short = writeError(query, rcodeOf(response))
  short.writeUInt16BE(short.readUInt16BE(2) | tc, 2)
  return short
}
