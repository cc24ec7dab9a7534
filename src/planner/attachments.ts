/**
 * Which attachment a kernel object belongs to, so that all of it stays while one of
 * its destinations drains, and what the kernel knows of addresses handed out. Pure.
 */
import type { KernelObject } from '../kernel/objects.js'
import { attachmentLink } from '../kernel/ownership.js'
import { hairpinSet, neighbourSet } from './names.js'

const linkForm = /^p([0-9a-f]{12})$/

/** Name of the sandbox's end of the veth of this object's attachment, or null: `p1a2b3c4d5e6f`. */
export function linkOf(object: KernelObject, linkByAddress: ReadonlyMap<string, string>): string | null {
  if ('place' in object && object.place.startsWith('container:'))
    return attachmentLink(object.place.slice('container:'.length))
  if (object.kind === 'link' && linkForm.test(object.name)) return object.name
  if (object.kind === 'route' && linkForm.test(object.link)) return object.link
  if (object.kind === 'entry' && (object.set === hairpinSet || object.set === neighbourSet))
    return linkByAddress.get(object.element.slice(object.element.indexOf(',') + 1)) ?? null
  return null
}

/** Mesh address → the link it is reached by, read from the sandbox's routes. */
export function linksByAddress(objects: Iterable<KernelObject>): Map<string, string> {
  const links = new Map<string, string>()
  for (const object of objects)
    if (object.kind === 'route' && object.place === 'mesh' && linkForm.test(object.link))
      links.set(object.destination.replace('/32', ''), object.link)
  return links
}
