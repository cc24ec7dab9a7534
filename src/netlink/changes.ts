/**
 * Tells what has changed in network namespaces since it was asked last, whoever changed it.
 * Nobody has to wait for it: the kernel's messages stay in a socket's buffer until they are
 * asked for, and those of a change are there before the system call that made it has ended; only
 * an address of IPv6 is told of a little later, once it may be used.
 */
import { closeSync } from 'node:fs'
import * as rt from 'netlink/dist/rt/structs.js'
import { NetlinkError } from '../errors.js'
import { drain, type Heard, hearAll, isAddonError, joinGroup, openNetlink } from './addon.js'

/** RTNLGRP_*, linux/rtnetlink.h: links, neighbours, and addresses, routes and rules of both families. */
const groups = {
  link: 1, // RTNLGRP_LINK
  neighbour: 3, // RTNLGRP_NEIGH
  address: 5, // RTNLGRP_IPV4_IFADDR
  route: 7, // RTNLGRP_IPV4_ROUTE
  rule: 8, // RTNLGRP_IPV4_RULE
  address6: 9, // RTNLGRP_IPV6_IFADDR
  route6: 11, // RTNLGRP_IPV6_ROUTE
  rule6: 19, // RTNLGRP_IPV6_RULE
} as const

const neighbourMessages: readonly number[] = [rt.MessageType.NEWNEIGH, rt.MessageType.DELNEIGH]

export interface Changes {
  /** Namespaces with a change, as the socket's own numbers them (`getNamespaceId`); -1: that one itself. */
  readonly namespaces: ReadonlySet<number>
  /** There was more than the socket's buffer holds: anything may have changed anywhere. */
  readonly lost: boolean
}

export class ChangeSocket {
  #descriptor: number

  private constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /**
   * Begins to note the changes in the namespace at `namespacePath` (null: our own) and in every
   * other one that has a number there, as the namespace of a veth's other end has. Throws
   * NetlinkError; ENOENT or EINVAL when there is no namespace at that path.
   */
  static open(namespacePath: string | null): ChangeSocket {
    let descriptor = -1
    try {
      descriptor = openNetlink(0, namespacePath) // NETLINK_ROUTE
      hearAll(descriptor)
      for (const group of Object.values(groups)) joinGroup(descriptor, group)
      return new ChangeSocket(descriptor)
    } catch (error) {
      if (descriptor >= 0) closeSync(descriptor)
      if (!isAddonError(error)) throw error
      const { errno, code, syscall } = error
      const subject = `rtnetlink groups${namespacePath === null ? '' : ` of ${namespacePath}`}`
      throw new NetlinkError(`open (${syscall})`, subject, errno, code, null, { cause: error })
    }
  }

  /**
   * What has changed since the last call. Neighbours come and go by themselves: they count only
   * on links of the socket's own namespace whose index is in `neighboursOf`.
   */
  take(neighboursOf: ReadonlySet<number>): Changes {
    const { heard, lost } = drain(this.#descriptor)
    const namespaces = new Set<number>()
    for (const each of heard) if (counts(each, neighboursOf)) namespaces.add(each.namespaceId)
    return { namespaces, lost }
  }

  /** Harmless when it is closed. */
  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor)
    this.#descriptor = -1
  }
}

function counts({ type, namespaceId, linkIndex }: Heard, neighboursOf: ReadonlySet<number>): boolean {
  return !neighbourMessages.includes(type) || (namespaceId === -1 && neighboursOf.has(linkIndex))
}
