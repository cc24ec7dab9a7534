/**
 * Finds places in an encoded message. A message that is sent by the thousand is
 * encoded once by its table; of the others only the numbers at these places differ.
 */
import { align } from './message.js'

const typeMask = 0x3fff // NLA_TYPE_MASK, linux/netlink.h

/**
 * Offset of the value of an attribute. `start`: where the attributes begin; `path`:
 * the types that lead to it, from the outermost nest inwards. Throws RangeError.
 */
export function placeOf(bytes: Buffer, start: number, path: readonly number[]): number {
  let at = start
  let end = bytes.length
  for (const type of path) {
    while (at < end && (bytes.readUInt16LE(at + 2) & typeMask) !== type) at += align(bytes.readUInt16LE(at))
    if (at >= end) throw new RangeError(`the template has no attribute ${path.join('.')}`)
    end = at + bytes.readUInt16LE(at)
    at += 4
  }
  return at
}
