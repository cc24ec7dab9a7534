/**
 * A growing buffer that messages and attributes are written into. Pure memory: what
 * is written is in attributes.ts and batch.ts.
 */
import { align } from './message.js'

function wordsOf({ buffer, byteOffset, length }: Buffer): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length >> 2)
}

export class Writer {
  /** Zero from #length on, so that what is reserved need not be cleared. */
  #buffer: Buffer
  #words: Uint32Array
  #length = 0

  /** `capacity`: bytes it has room for before it grows. */
  constructor(capacity = 512) {
    this.#buffer = Buffer.alloc(capacity)
    this.#words = wordsOf(this.#buffer)
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  /** The buffer as numbers of 32 bits in host order, which attributes are aligned to. */
  get words(): Uint32Array {
    return this.#words
  }

  get length(): number {
    return this.#length
  }

  /** Reserves `size` zeroed bytes; returns their offset in `buffer`, which may be another one from now on. */
  reserve(size: number): number {
    const offset = this.#length
    this.#length += size
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#buffer.length * 2))
      this.#buffer.copy(larger, 0, 0, offset)
      this.#buffer = larger
      this.#words = wordsOf(larger)
    }
    return offset
  }

  /** Returns where the bytes now begin. */
  append(bytes: Uint8Array): number {
    const offset = this.reserve(bytes.length)
    this.#buffer.set(bytes, offset)
    return offset
  }

  /** Begins an attribute; its value is what is written until `end`, which wants the offset returned here. */
  begin(type: number): number {
    const start = this.reserve(4)
    this.#buffer.writeUInt16LE(type, start + 2)
    return start
  }

  end(start: number): void {
    this.#buffer.writeUInt16LE(this.#length - start, start)
    this.reserve(align(this.#length) - this.#length)
  }

  /** What was written, as it lies in the buffer: good until the next `clear` or reservation. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  clear(): void {
    this.#buffer.fill(0, 0, this.#length)
    this.#length = 0
  }

  /** A copy of all that was written; the writer is empty afterwards. */
  take(): Buffer {
    const bytes = Buffer.from(this.view())
    this.clear()
    return bytes
  }
}
