/**
 * Several publications beside what is stored, all or none. Pure; publisher.ts stores what
 * comes of it.
 */
import { MeshError } from '../errors.js'
import type { Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'

/**
 * Their services, in the order that was given. What one of them gives up another one may
 * have, whichever comes first. `settle` makes a service beside others; what it refuses with
 * is thrown.
 */
export function settleAll(
  publications: readonly Publication[],
  stored: readonly Service[],
  settle: (publication: Publication, services: readonly Service[]) => Service,
): Service[] {
  const services = new Map(stored.map(service => [service.name, service]))
  let waiting = publications
  while (waiting.length > 0) {
    const refused: { readonly publication: Publication; readonly error: unknown }[] = []
    for (const publication of waiting)
      try {
        services.set(publication.name, settle(publication, [...services.values()]))
      } catch (error) {
        if (!isTaken(error)) throw error
        refused.push({ publication, error })
      }
    if (refused.length === waiting.length) throw refused[0]!.error
    waiting = refused.map(({ publication }) => publication)
  }
  return publications.map(({ name }) => services.get(name)!)
}

function isTaken(error: unknown): boolean {
  return error instanceof MeshError && (error.code === 'MESH_PORT_TAKEN' || error.code === 'MESH_VIP_TAKEN')
}
