/**
 * Tells when links, IPv4 addresses, routes or rules of a namespace change, whoever
 * changed them. Events say what became of one object; `overrun` says that events
 * were lost, and that only a dump can tell what the kernel holds now.
 */
import { closeSync } from 'node:fs'
import * as rt from 'netlink/dist/rt/structs.js'
import { NetlinkError } from '../errors.js'
import { isAddonError, joinGroup, openNetlink, unwatch, type WatchHandle, watch } from './addon.js'
import { type AddressReading, decodeAddress } from './address.js'
import { errnoName } from './errno.js'
import { decodeLink, type LinkReading } from './link.js'
import { decodeMessages, type Message } from './message.js'
import { decodeRoute, decodeRule, type RouteReading, type RuleReading } from './route.js'
import { traceReply, tracing } from './trace.js'

/** RTNLGRP_*, linux/rtnetlink.h. */
const groups = { link: 1, address: 5, route: 7, rule: 8 } as const // LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE
const noBuffers = 105 // ENOBUFS, errno.h

/** `gone`: the object was removed; else it was added or changed, and `reading` is how it is now. */
export type KernelEvent =
  | { readonly kind: 'link'; readonly gone: boolean; readonly reading: LinkReading }
  | { readonly kind: 'address'; readonly gone: boolean; readonly reading: AddressReading }
  | { readonly kind: 'route'; readonly gone: boolean; readonly reading: RouteReading }
  | { readonly kind: 'rule'; readonly gone: boolean; readonly reading: RuleReading }
  | { readonly kind: 'overrun' }

/** What a message tells; null for one that is of no interest. */
export function decodeEvent(message: Message): KernelEvent | null {
  const { type, payload } = message
  switch (type) {
    case rt.MessageType.NEWLINK:
    case rt.MessageType.DELLINK: {
      const reading = decodeLink(payload)
      return reading && { kind: 'link', gone: type === rt.MessageType.DELLINK, reading }
    }
    case rt.MessageType.NEWADDR:
    case rt.MessageType.DELADDR: {
      const reading = decodeAddress(payload)
      return reading && { kind: 'address', gone: type === rt.MessageType.DELADDR, reading }
    }
    case rt.MessageType.NEWROUTE:
    case rt.MessageType.DELROUTE: {
      const reading = decodeRoute(payload)
      return reading && { kind: 'route', gone: type === rt.MessageType.DELROUTE, reading }
    }
    case rt.MessageType.NEWRULE:
    case rt.MessageType.DELRULE: {
      const reading = decodeRule(payload)
      return reading && { kind: 'rule', gone: type === rt.MessageType.DELRULE, reading }
    }
    default:
      return null
  }
}

export class NetlinkWatch {
  #descriptor: number
  #handle: WatchHandle

  private constructor(descriptor: number, handle: WatchHandle) {
    this.#descriptor = descriptor
    this.#handle = handle
  }

  /**
   * Begins to watch the namespace at `namespacePath` (null: our own). `onError` gets
   * what the listener throws, and a NetlinkError when the watch has come to its end.
   * Keeps the process alive until closed. Throws NetlinkError.
   */
  static open(
    namespacePath: string | null,
    listener: (event: KernelEvent) => void,
    onError: (error: unknown) => void,
  ): NetlinkWatch {
    const subject = `rtnetlink groups${namespacePath === null ? '' : ` of ${namespacePath}`}`
    let descriptor = -1
    try {
      descriptor = openNetlink(0, namespacePath) // NETLINK_ROUTE
      for (const group of Object.values(groups)) joinGroup(descriptor, group)
      const deliver = (bytes: Buffer | null, errno: number) => {
        if (bytes !== null) tell(bytes, listener, onError)
        else if (errno === noBuffers) listener({ kind: 'overrun' })
        else throw new NetlinkError('watch', subject, errno, errnoName(errno), null)
      }
      return new NetlinkWatch(descriptor, watch(descriptor, deliver, onError))
    } catch (error) {
      if (descriptor >= 0) closeSync(descriptor)
      if (!isAddonError(error)) throw error
      throw new NetlinkError('watch', subject, error.errno, error.code, null, { cause: error })
    }
  }

  /** Ends the watch; no event comes afterwards. Harmless when it is closed. */
  close(): void {
    if (this.#descriptor < 0) return
    unwatch(this.#handle)
    closeSync(this.#descriptor)
    this.#descriptor = -1
  }
}

/** One event's throwing listener must not swallow the other events of the same datagram. */
function tell(
  bytes: Buffer,
  listener: (event: KernelEvent) => void,
  onError: (error: unknown) => void,
): void {
  const trace = tracing()
  for (const message of decodeMessages(bytes)) {
    if (trace) traceReply('route', message, undefined)
    try {
      const event = decodeEvent(message)
      if (event) listener(event)
    } catch (error) {
      onError(error)
    }
  }
}
