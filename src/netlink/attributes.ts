/**
 * Netlink attributes from one declaration: a table of fields gives the encoder,
 * the decoder and the TypeScript type. Fields a table does not know are skipped
 * when reading, so that newer kernels do no harm.
 *
 *     0        2      4
 *     ├ length ┼ type ┼ value … padded to 4 bytes      (length without the padding)
 */
import { align } from './message.js'

const nestedFlag = 0x8000 // NLA_F_NESTED, linux/netlink.h
const networkOrderFlag = 0x4000 // NLA_F_NET_BYTEORDER
const typeMask = 0x3fff // NLA_TYPE_MASK

/** Growing buffer that attributes are written into. */
export class Writer {
  #buffer = Buffer.alloc(512)
  #length = 0

  /** Reserves `size` zeroed bytes; returns their offset, good until the next reservation. */
  reserve(size: number): number {
    const offset = this.#length
    this.#length += size
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#buffer.length * 2))
      this.#buffer.copy(larger, 0, 0, offset)
      this.#buffer = larger
    }
    const buffer = this.#buffer
    for (let at = offset; at < this.#length; at++) buffer[at] = 0
    return offset
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  /** Writes one attribute whose value `write` appends. */
  attribute(type: number, write: () => void): void {
    const start = this.reserve(4)
    write()
    this.#buffer.writeUInt16LE(this.#length - start, start)
    this.#buffer.writeUInt16LE(type, start + 2)
    this.reserve(align(this.#length) - this.#length)
  }

  append(bytes: Uint8Array): void {
    const offset = this.reserve(bytes.length)
    this.#buffer.set(bytes, offset)
  }

  /** A copy of all that was written; the writer is empty afterwards. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#length))
    this.#length = 0
    return bytes
  }
}

/** How one value is written and read. */
export interface Codec<T> {
  /** NLA_F_* to set on attributes of this kind. */
  readonly flags: number
  write(out: Writer, value: T): void
  /** Throws RangeError on too few bytes. */
  read(bytes: Buffer): T
}

/** A type that may occur any number of times. */
export interface Repeated<T> extends Codec<readonly T[]> {
  readonly item: Codec<T>
}

export type Fields = Readonly<Record<string, readonly [type: number, codec: Codec<never>]>>

/** The values a table describes; every one may be missing. */
export type Values<F> = {
  -readonly [K in keyof F]?:
    | (F[K] extends readonly [number, { read(bytes: Buffer): infer T }] ? T : never)
    | undefined
}

export interface AttributeTable<F> extends Codec<Values<F>> {
  readonly fields: F
  /** `header`, where given, comes before the attributes; its length must be a multiple of 4. */
  encode(values: Values<F>, header?: Uint8Array): Buffer
  decode(bytes: Buffer): Values<F>
}

/** Calls `visit` for each attribute in `bytes`; stops at a damaged one. */
export function eachAttribute(bytes: Buffer, visit: (type: number, value: Buffer) => void): void {
  let offset = 0
  while (offset + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(offset)
    if (length < 4 || offset + length > bytes.length) return
    visit(bytes.readUInt16LE(offset + 2) & typeMask, bytes.subarray(offset + 4, offset + length))
    offset += align(length)
  }
}

/** One for all tables: thousands of messages are encoded in a row, and none while another is. */
const shared = new Writer()

/** Makes a table. Attributes are written in the order of declaration. */
export function attributes<const F extends Record<string, readonly [number, unknown]>>(
  fields: F,
): AttributeTable<F> {
  const entries = Object.entries(fields) as [string, [number, Codec<unknown> | Repeated<unknown>]][]
  const byType = new Map(entries.map(([name, [type, codec]]) => [type, [name, codec] as const]))
  const table: AttributeTable<F> = {
    fields,
    flags: nestedFlag,
    write(out, values) {
      for (const [name, [type, codec]] of entries) {
        const value = (values as Record<string, unknown>)[name]
        if (value === undefined) continue
        if ('item' in codec) {
          for (const item of value as unknown[])
            out.attribute(type | codec.item.flags, () => codec.item.write(out, item))
        } else out.attribute(type | codec.flags, () => codec.write(out, value))
      }
    },
    read(bytes) {
      const values: Record<string, unknown> = {}
      eachAttribute(bytes, (type, value) => {
        const field = byType.get(type)
        if (!field) return
        const [name, codec] = field
        if ('item' in codec) {
          const list = (values[name] ?? []) as unknown[]
          list.push(codec.item.read(value))
          values[name] = list
        } else values[name] = codec.read(value)
      })
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
    decode: bytes => table.read(bytes),
  }
  return table
}

function fixed<T>(
  size: number,
  flags: number,
  write: (buffer: Buffer, offset: number, value: T) => void,
  read: (bytes: Buffer) => T,
): Codec<T> {
  return {
    flags,
    write(out, value) {
      const offset = out.reserve(size)
      write(out.buffer, offset, value)
    },
    read,
  }
}

export const u8 = fixed<number>(
  1,
  0,
  (b, at, v) => b.writeUInt8(v, at),
  b => b.readUInt8(0),
)
export const u16 = fixed<number>(
  2,
  0,
  (b, at, v) => b.writeUInt16LE(v, at),
  b => b.readUInt16LE(0),
)
/** struct fib_rule_port_range, linux/fib_rules.h: two ports in host order, inclusive. */
export const portRange = fixed<{ readonly first: number; readonly last: number }>(
  4,
  0,
  (b, at, v) => b.writeUInt16LE(v.last, b.writeUInt16LE(v.first, at)),
  b => ({ first: b.readUInt16LE(0), last: b.readUInt16LE(2) }),
)
export const u32 = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeUInt32LE(v, at),
  b => b.readUInt32LE(0),
)
export const i32 = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeInt32LE(v, at),
  b => b.readInt32LE(0),
)
export const u64 = fixed<bigint>(
  8,
  0,
  (b, at, v) => b.writeBigUInt64LE(v, at),
  b => b.readBigUInt64LE(0),
)
/** Network order, without saying so in the attribute's type. */
export const u16be = fixed<number>(
  2,
  0,
  (b, at, v) => b.writeUInt16BE(v, at),
  b => b.readUInt16BE(0),
)
export const u32be = fixed<number>(
  4,
  0,
  (b, at, v) => b.writeUInt32BE(v, at),
  b => b.readUInt32BE(0),
)
/** Network order, said by NLA_F_NET_BYTEORDER, as ipset demands. */
export const netU16 = { ...u16be, flags: networkOrderFlag }
export const netU32 = { ...u32be, flags: networkOrderFlag }
export const netU64 = fixed<bigint>(
  8,
  networkOrderFlag,
  (b, at, v) => b.writeBigUInt64BE(v, at),
  b => b.readBigUInt64BE(0),
)

/** NUL-terminated text. */
export const string: Codec<string> = {
  flags: 0,
  write(out, value) {
    const offset = out.reserve(Buffer.byteLength(value) + 1)
    out.buffer.write(value, offset)
  },
  read(bytes) {
    const end = bytes.indexOf(0)
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
  },
}

/** Bytes as they are. */
export const binary: Codec<Uint8Array> = {
  flags: 0,
  write(out, value) {
    out.append(value)
  },
  read: bytes => Buffer.from(bytes),
}

/** An attribute whose presence is its value. */
export const flag: Codec<true> = { flags: 0, write() {}, read: () => true }

/** IPv4 address of 4 bytes in network order: `10.0.0.1` ⇄ 0a 00 00 01. */
export const ipv4 = fixed<string>(
  4,
  0,
  (b, at, v) => b.set(parseIPv4(v), at),
  b => formatIPv4(b),
)
export const netIPv4 = { ...ipv4, flags: networkOrderFlag }

/** Hardware address, 6 bytes for Ethernet: `02:4d:00:00:00:01`. Reads any length, none as the empty text. */
export const mac: Codec<string> = {
  flags: 0,
  write(out, value) {
    out.append(parseMac(value))
  },
  read: bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':'),
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
    read: bytes => [item.read(bytes)],
  }
}

/** `10.0.0.1` → 4 bytes. Throws RangeError on anything else. */
export function parseIPv4(text: string): Uint8Array {
  const parts = text.split('.')
  const bytes = Uint8Array.from(parts, Number)
  if (parts.length !== 4 || parts.some(part => !/^\d{1,3}$/.test(part) || Number(part) > 255))
    throw new RangeError(`"${text}" is not an IPv4 address`)
  return bytes
}

/** First 4 bytes → `10.0.0.1`. */
export function formatIPv4(bytes: Uint8Array): string {
  if (bytes.length < 4) throw new RangeError('an IPv4 address has 4 bytes')
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`
}
