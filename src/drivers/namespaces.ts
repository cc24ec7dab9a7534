/**
 * Driver of the sandbox's existence: a network namespace kept by a bind mount, with
 * its loopback link up. What is in it is the other drivers' matter.
 */
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { KernelObject, NamespaceObject } from '../kernel/objects.js'
import { createNamespace, namespaceIdentity, removeNamespace } from '../netlink/addon.js'
import { getLink, setLink } from '../netlink/link.js'
import { Outcomes, placeIsGone } from './places.js'
import { sameList } from './same-list.js'
import type { Sockets } from './sockets.js'

/** Whether the path is a mounted namespace; a plain file left by a reboot is none. */
function exists(path: string): boolean {
  try {
    namespaceIdentity(path)
    return true
  } catch (error) {
    if (placeIsGone(error)) return false
    throw error
  }
}

export function createNamespaceDriver(sockets: Sockets): Driver {
  const make = async ({ path, place }: NamespaceObject) => {
    if (!exists(path)) createNamespace(path)
    const places: Places = new Map([[place, path]])
    const [error] = await sockets.use('route', places, place, connection =>
      connection.request([setLink('lo', { up: true })]),
    )
    if (error) throw error
  }

  const applyOne = async (change: Change) => {
    const object = change.object as NamespaceObject
    if (change.type !== 'remove') return make(object)
    sockets.forget(object.place)
    try {
      removeNamespace(object.path)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') throw error
    }
  }

  /** null: there is no sandbox. */
  const find = async (places: Places): Promise<NamespaceObject | null> => {
    const path = places.get('mesh')
    if (typeof path !== 'string' || !exists(path)) return null
    try {
      const [loopback] = await sockets.use('route', places, 'mesh', connection =>
        connection.get(getLink('lo')),
      )
      return {
        kind: 'namespace',
        place: 'mesh',
        path,
        ...(loopback?.up ? {} : { loopback: 'down' as const }),
      }
    } catch (error) {
      if (placeIsGone(error)) return null
      throw error
    }
  }

  let last: readonly KernelObject[] = []
  return {
    name: 'namespace',
    kinds: ['namespace'],
    async observe(places) {
      const sandbox = await find(places)
      last = sameList(last, sandbox ? [sandbox] : [])
      return { objects: last }
    },
    async apply(changes) {
      const outcomes = new Outcomes()
      for (const change of changes) await applyOne(change).catch(error => outcomes.fail(change, error))
      return outcomes.list(changes)
    },
  }
}
