/**
 * Netlink attributes from one declaration: a table of fields gives the encoder,
 * the decoder and the TypeScript type. Fields a table does not know are skipped
 * when reading, so that newer kernels do no harm.
 *
 *     0        2      4
 *     ├ length ┼ type ┼ value … padded to 4 bytes      (length without the padding)
 */
import { align } from './message.js'
import { Writer } from './writer.js'

const nestedFlag = 0x8000 // NLA_F_NESTED, linux/netlink.h
const networkOrderFlag = 0x4000 // NLA_F_NET_BYTEORDER
const typeMask = 0x3fff // NLA_TYPE_MASK

/** How one value is written and read. */
export interface Codec<T> {
  /** NLA_F_* to set on attributes of this kind. */
  readonly flags: number
  write(out: Writer, value: T): void
  /** Reads the value between `start` and `end`. Throws RangeError on too few bytes. */
  read(bytes: Buffer, start: number, end: number): T
}

/** A type that may occur any number of times. */
export interface Repeated<T> extends Codec<readonly T[]> {
  readonly item: Codec<T>
}

export type Fields = Readonly<Record<string, readonly [type: number, codec: Codec<never>]>>

/** The values a table describes; every one may be missing. */
export type Values<F> = {
  -readonly [K in keyof F]?:
    | (F[K] extends readonly [number, { read(bytes: Buffer, start: number, end: number): infer T }]
        ? T
        : never)
    | undefined
}

export interface AttributeTable<F> extends Codec<Values<F>> {
  readonly fields: F
  /** `header`, where given, comes before the attributes; its length must be a multiple of 4. */
  encode(values: Values<F>, header?: Uint8Array): Buffer
  /** `start`: where the attributes begin, behind a header. */
  decode(bytes: Buffer, start?: number): Values<F>
}

/** One for all tables: thousands of messages are encoded in a row, and none while another is. */
const shared = new Writer()

interface Field {
  readonly name: string
  /** With its flags. */
  readonly type: number
  /** Codec of one attribute. */
  readonly item: Codec<unknown>
  /** Whether there may be several. */
  readonly many: boolean
}

function fieldOf(name: string, type: number, codec: Codec<unknown> | Repeated<unknown>): Field {
  const many = 'item' in codec
  const item = many ? codec.item : codec
  return { name, type: type | item.flags, item, many }
}

function writeOne(out: Writer, type: number, item: Codec<unknown>, value: unknown): void {
  const start = out.begin(type)
  item.write(out, value)
  out.end(start)
}

/** Makes a table. Attributes are written in the order of declaration. */
export function attributes<const F extends Record<string, readonly [number, unknown]>>(
  fields: F,
): AttributeTable<F> {
  const entries = Object.entries(fields) as [string, [number, Codec<unknown> | Repeated<unknown>]][]
  const all = entries.map(([name, [type, codec]]) => fieldOf(name, type, codec))
  const byType: (Field | undefined)[] = []
  for (const field of all) byType[field.type & typeMask] = field
  const table: AttributeTable<F> = {
    fields,
    flags: nestedFlag,
    write(out, values) {
      for (let i = 0; i < all.length; i++) {
        const { name, type, item, many } = all[i] as Field // an iterator would cost an object per attribute
        const value = (values as Record<string, unknown>)[name]
        if (value === undefined) continue
        if (many) for (const one of value as unknown[]) writeOne(out, type, item, one)
        else writeOne(out, type, item, value)
      }
    },
    // Damage ends the reading: what came before it counts.
    read(bytes, start, end) {
      const values: Record<string, unknown> = {}
      for (let at = start; at + 4 <= end; ) {
        const length = bytes.readUInt16LE(at)
        if (length < 4 || at + length > end) break
        const field = byType[bytes.readUInt16LE(at + 2) & typeMask]
        if (field) {
          const value = field.item.read(bytes, at + 4, at + length)
          if (!field.many) values[field.name] = value
          else if (values[field.name]) (values[field.name] as unknown[]).push(value)
          else values[field.name] = [value]
        }
        at += align(length)
      }
      return values as Values<F>
    },
    encode(values, header) {
      if (header) shared.append(header)
      try {
        table.write(shared, values)
      } catch (error) {
        shared.take()
        throw error
      }
      return shared.take()
    },
    decode: (bytes, start = 0) => table.read(bytes, start, bytes.length),
  }
  return table
}

/** Throws RangeError unless `size` bytes lie between `start` and `end`. */
export function checkSize(start: number, end: number, size: number): void {
  if (end - start < size) throw new RangeError(`an attribute of ${size} bytes has only ${end - start}`)
}

function fixed<T>(
  size: number,
  flags: number,
  write: (buffer: Buffer, offset: number, value: T) => void,
  read: (bytes: Buffer, offset: number) => T,
): Codec<T> {
  return {
    flags,
    write(out, value) {
      const offset = out.reserve(size)
      write(out.buffer, offset, value)
    },
    read(bytes, start, end) {
      checkSize(start, end, size)
      return read(bytes, start)
    },
  }
}

export const u8 = fixed<number>(
  1,
  0,
  (b, at, v) => b.writeUInt8(v, at),
  (b, at) => b.readUInt8(at),
)
export const u16 = fixed<number>(
  2,
  0,
  (b, at, v) => b.writeUInt16LE(v, at),
  (b, at) => b.readUInt16LE(at),
)
/** struct fib_rule_port_range, linux/fib_rules.h: two ports in host order, inclusive. */
export const portRange = fixed<{ readonly first: number; readonly last: number }>(
  4,
  0,
  (b, at, v) => b.writeUInt16LE(v.last, b.writeUInt16LE(v.first, at)),
  (b, at) => ({ first: b.readUInt16LE(at), last: b.readUInt16LE(at + 2) }),
)
export const u32 = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeUInt32LE(v, at),
  (b, at) => b.readUInt32LE(at),
)
export const i32 = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeInt32LE(v, at),
  (b, at) => b.readInt32LE(at),
)
/** Network order, without saying so in the attribute's type. */
export const u16be = fixed<number>(
  2,
  0,
  (b, at, v) => b.writeUInt16BE(v, at),
  (b, at) => b.readUInt16BE(at),
)
export const u32be = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeUInt32BE(v, at),
  (b, at) => b.readUInt32BE(at),
)
/** Network order, said by NLA_F_NET_BYTEORDER, as ipset demands. */
export const netU16 = { ...u16be, flags: networkOrderFlag }
export const netU32 = { ...u32be, flags: networkOrderFlag }
export const netU64 = fixed<bigint>(
  8,
  networkOrderFlag,
  (b, at, v) => b.writeBigUInt64BE(v, at),
  (b, at) => b.readBigUInt64BE(at),
)

/** NUL-terminated text. */
export const string: Codec<string> = {
  flags: 0,
  write(out, value) {
    const offset = out.reserve(Buffer.byteLength(value) + 1)
    out.buffer.write(value, offset)
  },
  read(bytes, start, end) {
    const nul = bytes.indexOf(0, start)
    return bytes.toString('utf8', start, nul < 0 ? end : Math.min(nul, end))
  },
}

/** Bytes as they are. */
export const binary: Codec<Uint8Array> = {
  flags: 0,
  write(out, value) {
    out.append(value)
  },
  read: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)),
}

/** An attribute whose presence is its value. */
export const flag: Codec<true> = { flags: 0, write() {}, read: () => true }

/** IPv4 address of 4 bytes in network order: `10.0.0.1` ⇄ 0a 00 00 01. */
export const ipv4 = fixed<string>(
  4,
  0,
  (b, at, v) => writeIPv4(b, at, v),
  (b, at) => formatIPv4(b, at),
)

/** Hardware address, 6 bytes for Ethernet: `02:4d:00:00:00:01`. Reads any length, none as the empty text. */
export const mac: Codec<string> = {
  flags: 0,
  write(out, value) {
    out.append(parseMac(value))
  },
  read: (bytes, start, end) =>
    Array.from(bytes.subarray(start, end), byte => byte.toString(16).padStart(2, '0')).join(':'),
}

/** `02:4d:00:00:00:01` → 6 bytes. Throws RangeError on anything else. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new RangeError(`"${text}" is not a MAC address`)
  return Uint8Array.from(text.split(':'), byte => Number.parseInt(byte, 16))
}

/** Any number of attributes of one type. */
export function repeated<T>(item: Codec<T>): Repeated<T> {
  return {
    flags: 0,
    item,
    write() {},
    read: (bytes, start, end) => [item.read(bytes, start, end)],
  }
}

/** `10.0.0.1` → 4 bytes. Throws RangeError on anything else. */
export function parseIPv4(text: string): Uint8Array {
  const bytes = new Uint8Array(4)
  writeIPv4(bytes, 0, text)
  return bytes
}

const zero = 48
const dot = 46

/** Writes the 4 bytes of `10.0.0.1` at `offset`, digit by digit: there are thousands to write. Throws RangeError. */
export function writeIPv4(bytes: Uint8Array, offset: number, text: string): void {
  let at = offset
  let start = 0
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= zero && code <= zero + 9) {
      value = value * 10 + code - zero
      continue
    }
    if (code !== dot || at === offset + 3 || !isPart(value, i - start)) throw notIPv4(text)
    bytes[at++] = value
    start = i + 1
    value = 0
  }
  if (at !== offset + 3 || !isPart(value, text.length - start)) throw notIPv4(text)
  bytes[at] = value
}

/**
 * The bytes of `10.0.0.1` as a number in host order; null for an address of IPv6. Not for what
 * may be no address at all.
 */
export function wordOfIPv4(address: string): number | null {
  const one = address.indexOf('.')
  const two = address.indexOf('.', one + 1)
  const three = address.indexOf('.', two + 1)
  const first = +address.slice(0, one)
  if (three < 0 || two < 0 || !(first <= 255)) return null // `fd4d::1`, `::ffff:10.0.0.1`
  return (
    first |
    (+address.slice(one + 1, two) << 8) |
    (+address.slice(two + 1, three) << 16) |
    (+address.slice(three + 1) << 24)
  )
}

function isPart(value: number, digits: number): boolean {
  return digits > 0 && digits <= 3 && value <= 255
}

function notIPv4(text: string): RangeError {
  return new RangeError(`"${text}" is not an IPv4 address`)
}

/** 4 bytes → `10.0.0.1`. Throws RangeError when there are fewer. */
export function formatIPv4(bytes: Uint8Array, offset = 0): string {
  if (bytes.length < offset + 4) throw new RangeError('an IPv4 address has 4 bytes')
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`
}
