/**
 * Messages put together for one send. Its memory is used again for the next batch:
 * thousands of requests cost no buffers of their own.
 */
import { flags, headerLength, type Request } from './message.js'
import { Writer } from './writer.js'

export type Acknowledgement = 'last' | 'none'

/**
 * Writes the payloads of items that come by the ten thousand, and of which no request is
 * made unless one of them fails.
 */
export interface ItemWriter<T> {
  /** The generic netlink family of the messages, which have no flags of their own, and of all others of these items. */
  readonly family: string
  /** Appends the message, its header left empty. false: it is none that it writes, and nothing is appended. */
  write(item: T, out: Writer): boolean
}

/** Bytes of a thousand messages: growing up to there would cost as much as writing them. */
const capacity = 128 * 1024

export class Batch {
  readonly #out = new Writer(capacity)
  #sequence = 0
  #last = 0

  /** Empties it; its messages are numbered from `firstSequence`. */
  begin(firstSequence: number): void {
    this.#out.clear()
    this.#sequence = firstSequence
  }

  /** Bytes so far. */
  get length(): number {
    return this.#out.length
  }

  /** `type`: nlmsg_type, the family's number if the request names one. */
  add(request: Pick<Request, 'flags' | 'payload' | 'writeTo'>, type: number): void {
    const out = this.#out
    const start = out.reserve(headerLength)
    if (request.writeTo) request.writeTo(out)
    else out.append(request.payload)
    this.#end(start, type, request.flags)
  }

  /** false: the item is none that the writer writes. */
  addItem<T>(item: T, writer: ItemWriter<T>, type: number): boolean {
    const start = this.#out.length
    if (!writer.write(item, this.#out)) return false
    this.#end(start, type, 0)
    return true
  }

  /** Fills in the header of the message that begins at `start`. */
  #end(start: number, type: number, itsFlags: number): void {
    const out = this.#out
    const size = out.length - start
    if (size & 3) out.reserve(-size & 3) // NLMSG_ALIGN
    const { words } = out
    const at = start >> 2
    words[at] = size
    words[at + 1] = type | ((itsFlags | flags.request) << 16)
    words[at + 2] = this.#sequence
    this.#sequence = (this.#sequence + 1) >>> 0
    this.#last = start
  }

  /** The bytes to send, good until the next `begin`; with `last` the last message asks for an answer. */
  end(acknowledgement: Acknowledgement): Buffer {
    const bytes = this.#out.view()
    if (acknowledgement === 'last' && bytes.length > 0) {
      const at = this.#last + 6
      bytes.writeUInt16LE(bytes.readUInt16LE(at) | flags.ack, at)
    }
    return bytes
  }
}
