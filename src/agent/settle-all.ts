/**
 * Several publications beside what is stored, all or none. Pure; publisher.ts stores what
 * comes of it.
 */
import { sameDoor } from '../model/conflicts.js'
import type { Publication } from '../model/publication.js'
import type { Service } from '../model/service.js'

/**
 * Their services, in the order that was given. What one of them gives up another one may
 * have, whichever comes first, and two may swap what they have. `settle` makes a service
 * beside others; what it refuses with is thrown.
 */
export function settleAll(
  publications: readonly Publication[],
  stored: readonly Service[],
  settle: (publication: Publication, services: readonly Service[]) => Service,
): Service[] {
  const services = new Map(stored.map(service => [service.name, service]))
  for (const publication of publications) {
    const former = services.get(publication.name)
    if (former) services.set(former.name, kept(former, publication))
  }
  return publications.map(publication => {
    const service = settle(publication, [...services.values()])
    services.set(service.name, service)
    return service
  })
}

/** What a service has and is to go on with. */
function kept(former: Service, { ports, vip, endpointMode }: Publication): Service {
  const keepsVip = vip === former.vip || (vip === 'auto' && endpointMode === 'vip')
  return {
    ...former,
    ports: former.ports.filter(port => ports.some(each => sameDoor(each, port))),
    vip: keepsVip ? former.vip : null,
  }
}
