/**
 * Netlink connections into places, for all drivers. Those into the host and the
 * sandbox stay open; one into a container is closed after each use, because an open
 * socket keeps a dead namespace alive, and with it the veth that must go.
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import type { Places } from '../kernel/driver.js'
import type { Place } from '../kernel/objects.js'
import { namespaceIdentity } from '../netlink/addon.js'
import { ChangeSocket } from '../netlink/changes.js'
import { NetlinkConnection, type NetlinkProtocol } from '../netlink/connection.js'
import { goneError, PlaceGoneError, pathOf, placeIsGone } from './places.js'

interface Kept<Open> {
  readonly open: Open
  readonly path: string | null
  /** Of the namespace it was opened in: the path may lead to another one by now. */
  readonly identity: string
}

export class Sockets {
  private readonly kept = new Map<string, Kept<{ close(): void }>>()

  /**
   * Calls `run` with a connection into the place. Throws PlaceGoneError when the
   * namespace is not there any more, and what `run` throws.
   */
  async use<T>(
    protocol: NetlinkProtocol,
    places: Places,
    place: Place,
    run: (connection: NetlinkConnection) => Promise<T>,
  ): Promise<T> {
    if (place === 'host' || place === 'mesh')
      return run(
        this.keep(`${protocol} ${place}`, places, place, path => NetlinkConnection.open(protocol, path)),
      )
    return this.withNamespace(places, place, async (_, path) => {
      const connection = NetlinkConnection.open(protocol, path)
      try {
        return await run(connection)
      } finally {
        connection.close()
      }
    })
  }

  /**
   * Calls `run` with an open descriptor of the place's namespace and a path by which
   * that very namespace can be entered. Throws PlaceGoneError.
   */
  async withNamespace<T>(
    places: Places,
    place: Place,
    run: (descriptor: number, path: string) => Promise<T>,
  ): Promise<T> {
    const descriptor = openNamespace(places, place)
    try {
      return await run(descriptor, `/proc/self/fd/${descriptor}`)
    } finally {
      closeSync(descriptor)
    }
  }

  /**
   * Notes the changes in the sandbox and in all namespaces that links lead to from there; another
   * one when the sandbox is another one. Throws PlaceGoneError, NetlinkError.
   */
  changes(places: Places): ChangeSocket {
    return this.keep('changes mesh', places, 'mesh', path => ChangeSocket.open(path))
  }

  private keep<Open extends { close(): void }>(
    key: string,
    places: Places,
    place: Place,
    open: (path: string | null) => Open,
  ): Open {
    const path = pathOf(places, place)
    // A key is opened by one caller only.
    const kept = this.kept.get(key) as Kept<Open> | undefined
    try {
      const identity = namespaceIdentity(path)
      if (kept && kept.path === path && kept.identity === identity) return kept.open
      this.drop(key)
      const opened = open(path)
      this.kept.set(key, { open: opened, path, identity })
      return opened
    } catch (error) {
      this.drop(key)
      throw placeIsGone(error) ? goneError(place, error) : error
    }
  }

  private drop(key: string): void {
    this.kept.get(key)?.open.close()
    this.kept.delete(key)
  }

  /** Closes what is open into a place, so that its namespace can end. */
  forget(place: Place): void {
    for (const key of [...this.kept.keys()]) if (key.endsWith(` ${place}`)) this.drop(key)
  }

  close(): void {
    for (const key of [...this.kept.keys()]) this.drop(key)
  }
}

/** Opens the namespace file of a place; the caller closes the descriptor. Throws PlaceGoneError. */
export function openNamespace(places: Places, place: Place): number {
  const path = pathOf(places, place) ?? '/proc/thread-self/ns/net'
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    throw placeIsGone(error) ? goneError(place, error) : error
  }
  try {
    if (place.startsWith('container:')) checkForeign(places, place, descriptor)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

/**
 * A container's path names a process by its number, and numbers are used again: one
 * that leads into the host or the sandbox is not the container's any more.
 */
function checkForeign(places: Places, place: Place, descriptor: number): void {
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  for (const own of ['host', 'mesh'] as const) {
    if (!places.has(own)) continue
    try {
      if (namespaceIdentity(pathOf(places, own)) !== `${dev}:${ino}`) continue
    } catch (error) {
      if (placeIsGone(error)) continue
      throw error
    }
    throw new PlaceGoneError(place, `its network namespace is gone (the path leads to that of ${own})`)
  }
}
