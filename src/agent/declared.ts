/**
 * What the store should hold, given what it holds and what labels of Swarm's services
 * declare. Pure; swarm-mirror.ts writes it.
 *
 * A declaration that cannot be had — its labels are wrong, another service has a port of
 * it — changes nothing but the service's problems: what was published last stays in force.
 * Nor do labels change what a person published by meshctl under that name.
 */
import { isDeepStrictEqual } from 'node:util'
import { MeshError } from '../errors.js'
import type { Declaration } from '../model/declaration.js'
import { sameItems } from '../model/differences.js'
import { formatPort } from '../model/ports.js'
import { type Publication, publicationOf } from '../model/publication.js'
import type { Service } from '../model/service.js'
import { keepChosen } from './merge-publication.js'

/** Makes a service of a publication beside others; throws MeshError when it cannot be had. */
export type Settle = (publication: Publication, services: readonly Service[]) => Service

/** All services to be stored; `stored` itself when nothing is to be changed. */
export function withDeclared(
  stored: readonly Service[],
  declarations: readonly Declaration[],
  settle: Settle,
): readonly Service[] {
  let services = stored
  // A port that one service gives up may be what another one was refused a moment ago.
  for (let round = 0; round <= declarations.length; round++) {
    const next = oneRound(services, declarations, settle)
    if (next === services) break
    services = next
  }
  return services
}

/** Declarations whose ports are still to be settled. */
export function unsettled(
  stored: readonly Service[],
  declarations: readonly Declaration[],
): readonly Publication[] {
  const formers = new Map(stored.map(service => [service.name, service]))
  return declarations.flatMap(({ name, publication }) => {
    const former = formers.get(name)
    if (!publication || former?.declaredBy === 'meshctl') return []
    return isSettled(publication, former) ? [] : publication
  })
}

function oneRound(
  stored: readonly Service[],
  declarations: readonly Declaration[],
  settle: Settle,
): readonly Service[] {
  const names = new Set(declarations.map(({ name }) => name))
  const services = new Map<string, Service>()
  for (const service of stored) {
    if (names.has(service.name)) services.set(service.name, service)
    else if (service.declaredBy === 'meshctl') services.set(service.name, withProblems(service, []))
  }
  for (const declaration of declarations) {
    const former = services.get(declaration.name)
    const next = serviceOf(declaration, former, services, settle)
    if (next !== former) services.set(declaration.name, next)
  }
  const next = [...services.values()]
  return sameItems(next, stored) ? stored : next
}

function serviceOf(
  { name, publication, problems }: Declaration,
  former: Service | undefined,
  services: ReadonlyMap<string, Service>,
  settle: Settle,
): Service {
  if (former?.declaredBy === 'meshctl') return withProblems(former, [heldByMeshctl(former), ...problems])
  if (publication && isSettled(publication, former)) return withProblems(former!, [])
  const standing = former ?? unpublished(name)
  if (!publication) return withProblems(standing, problems)
  try {
    const next = settle(wantedOf(publication, former), [...services.values()])
    return isDeepStrictEqual(next, former) ? former! : next
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    return withProblems(standing, [error.message])
  }
}

/** Ports that were left to the mesh stay as they were chosen. */
function wantedOf(publication: Publication, former: Service | undefined): Publication {
  return { ...publication, ports: keepChosen(publication.ports, former) }
}

function isSettled(publication: Publication, former: Service | undefined): boolean {
  if (!former) return false
  const { declaredBy, problems, ...standing } = former
  const wanted = wantedOf(publication, former)
  const vip = keepsVip(publication, former.vip) ? former.vip : publication.vip
  return declaredBy === 'swarm' && isDeepStrictEqual({ ...wanted, vip }, standing)
}

/** Whether a service may go on with the VIP it has; one that has none may have one by now. */
function keepsVip({ vip, endpointMode }: Publication, has: string | null): boolean {
  if (vip !== 'auto') return vip === (has ?? 'none')
  return (has === null) === (endpointMode === 'dnsrr')
}

function unpublished(name: string): Service {
  return { ...publicationOf(name), ports: [], vip: null, declaredBy: 'swarm', problems: [] }
}

function withProblems(service: Service, problems: readonly string[]): Service {
  return isDeepStrictEqual(service.problems, problems) ? service : { ...service, problems }
}

function heldByMeshctl({ name, ports, vipPorts, endpointMode }: Service): string {
  const isCreated = vipPorts.length > 0 || endpointMode === 'dnsrr'
  const commands = isCreated
    ? [`meshctl service rm --force ${name}`]
    : ports.map(port => `meshctl unpublish ${formatPort(port)} ${name}`)
  return (
    `its labels are left aside: ${name} was ${isCreated ? 'created' : 'published'} by meshctl; ` +
    `to go by the labels: ${commands.join('; ')}`
  )
}
