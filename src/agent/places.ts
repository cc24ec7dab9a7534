/**
 * The network namespaces that are the mesh's on this node.
 */
import { discoverPlaces } from '../drivers/discover.js'
import type { Places } from '../kernel/driver.js'
import { sandboxPath } from '../kernel/ownership.js'

/** Those that an agent always has. */
export const ownPlaces: Places = new Map([
  ['host', null],
  ['mesh', sandboxPath],
])

/** These, and every one in which something of the mesh is found. */
export async function allPlaces(): Promise<Places> {
  return new Map([...ownPlaces, ...(await discoverPlaces(ownPlaces))])
}
