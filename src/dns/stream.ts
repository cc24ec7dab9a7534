/**
 * Messages in a stream: each has its length before it (RFC 1035, 4.2.2). Pure.
 */

/** A message with its length, at most 65535 bytes. */
export function framed(message: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(message.length + 2)
  bytes.writeUInt16BE(message.length, 0)
  message.copy(bytes, 2)
  return bytes
}

/** Makes messages again of what comes, cut anyhow. */
export class Unframer {
  private parts: Buffer[] = []
  private length = 0

  /** The messages that are whole by now. */
  put(data: Buffer): Buffer[] {
    this.parts.push(data)
    this.length += data.length
    if (this.length < 2 || this.length < this.wanted()) return []
    let bytes = Buffer.concat(this.parts)
    const messages: Buffer[] = []
    while (bytes.length >= 2) {
      const end = 2 + bytes.readUInt16BE(0)
      if (bytes.length < end) break
      messages.push(bytes.subarray(2, end))
      bytes = bytes.subarray(end)
    }
    this.parts = bytes.length > 0 ? [bytes] : []
    this.length = bytes.length
    return messages
  }

  /** How many bytes the first message and its length have. */
  private wanted(): number {
    const first = this.parts[0]!
    if (first.length >= 2) return 2 + first.readUInt16BE(0)
    this.parts = [Buffer.concat(this.parts)]
    return 2 + this.parts[0]!.readUInt16BE(0)
  }
}
