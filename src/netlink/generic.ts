/**
 * Generic netlink: the frame its messages share, and the look-up of a family's
 * number by name. Pure; the connection asks and remembers the number.
 *
 *     0 ─────── 16 ───── 17 ────── 18 ──────── 20
 *     │ nlmsghdr │ command │ version │ reserved │ attributes …
 */
import { attributes, string, u16, u32, type Values } from './attributes.js'
import type { Query } from './message.js'
import type { Writer } from './writer.js'

export const genericHeaderLength = 4 // GENL_HDRLEN, linux/genetlink.h

/** struct genlmsghdr. */
export function genericHeader(command: number, version: number): Uint8Array {
  return Uint8Array.of(command, version, 0, 0)
}

/** The same, appended to a batch. */
export function writeGenericHeader(out: Writer, command: number, version: number): void {
  const offset = out.reserve(genericHeaderLength)
  out.buffer.writeUInt8(command, offset)
  out.buffer.writeUInt8(version, offset + 1)
}

const controllerType = 16 // GENL_ID_CTRL, linux/genetlink.h
const getFamilyCommand = 3 // CTRL_CMD_GETFAMILY

/** CTRL_ATTR_*, linux/genetlink.h. */
export const familyAttributes = attributes({
  id: [1, u16], // CTRL_ATTR_FAMILY_ID
  name: [2, string], // CTRL_ATTR_FAMILY_NAME
  version: [3, u32], // CTRL_ATTR_VERSION
})

/** Asks for a family; ENOENT when the kernel does not have it (or has not loaded its module). */
export function getFamily(name: string): Query<Values<typeof familyAttributes.fields>> {
  return {
    operation: 'look up netlink family',
    subject: name,
    type: controllerType,
    flags: 0,
    payload: familyAttributes.encode({ name }, genericHeader(getFamilyCommand, 1)),
    decode: payload => familyAttributes.decode(payload, genericHeaderLength),
  }
}

/** The kernel module that holds a family, for advice. */
export function familyModule(family: string): string {
  return family === 'IPVS' ? 'ip_vs' : family.toLowerCase()
}
