/**
 * Finds network namespaces that hold something of the mesh, without any memory of
 * what was made: for `meshctl clean`, which may run when the agent's state is gone.
 */
import { readdirSync } from 'node:fs'
import type { Places } from '../kernel/driver.js'
import type { Place } from '../kernel/objects.js'
import { meshLink, meshProtocol, sandboxPath } from '../kernel/ownership.js'
import { namespaceIdentity } from '../netlink/addon.js'
import { NetlinkConnection } from '../netlink/connection.js'
import { listRules } from '../netlink/route.js'
import { pathOf, placeIsGone } from './places.js'
import { findLink } from './veths.js'

/** Directories in which namespaces are kept by name: Docker's, and those of `ip netns`. */
const directories = ['/run/docker/netns', '/run/netns']

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** Every path that may lead to a network namespace: those kept by name, then those of processes. */
function candidates(): string[] {
  const kept = directories.flatMap(directory => list(directory).map(name => `${directory}/${name}`))
  const processes = list('/proc').filter(name => /^\d+$/.test(name))
  return [...kept, ...processes.map(pid => `/proc/${pid}/ns/net`)]
}

/** null where it is none, or none any more, or may not be looked at: the mesh has never been in there then. */
function identityOf(path: string | null): string | null {
  try {
    return namespaceIdentity(path)
  } catch (error) {
    if (placeIsGone(error) || (error as { code?: unknown }).code === 'EACCES') return null
    throw error
  }
}

/** Whether a namespace has a veth of our name or a rule of our protocol, which outlives the link. */
async function holdsMesh(path: string): Promise<boolean> {
  const connection = NetlinkConnection.open('route', path)
  try {
    const rules = await connection.dump(listRules())
    if (rules.some(({ protocol }) => protocol === meshProtocol)) return true
    return (await findLink(connection, meshLink))?.kind === 'veth'
  } finally {
    connection.close()
  }
}

/** The places that are found without looking. */
const usual: Places = new Map([
  ['host', null],
  ['mesh', sandboxPath],
])

/**
 * All namespaces of the machine that hold something of the mesh, but for the host's
 * and the sandbox's, which `own` names. Each is a place `container:netns-<inode>`.
 */
export async function discoverPlaces(own: Places = usual): Promise<Map<Place, string>> {
  const seen = new Set<string | null>([null])
  for (const place of own.keys()) seen.add(identityOf(pathOf(own, place)))
  const found = new Map<Place, string>()
  for (const path of candidates()) {
    try {
      const identity = identityOf(path)
      if (seen.has(identity)) continue
      seen.add(identity)
      if (await holdsMesh(path)) found.set(`container:netns-${identity?.split(':')[1]}`, path)
    } catch (error) {
      // its last process may have ended between two looks
      if (!placeIsGone(error)) throw error
    }
  }
  return found
}
