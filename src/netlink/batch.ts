/**
 * Messages put together for one send. Its memory is used again for the next batch:
 * thousands of requests cost no buffers of their own.
 */
import { flags, headerLength, type Request } from './message.js'
import { Writer } from './writer.js'

export type Acknowledgement = 'last' | 'none'

export class Batch {
  readonly #out = new Writer()
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
    const { buffer } = out
    const size = out.length - start
    buffer.writeUInt32LE(size, start)
    buffer.writeUInt16LE(type, start + 4)
    buffer.writeUInt16LE(request.flags | flags.request, start + 6)
    buffer.writeUInt32LE(this.#sequence, start + 8)
    out.reserve(-size & 3) // NLMSG_ALIGN
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
