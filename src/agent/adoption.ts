/**
 * What `meshctl adopt` and `meshctl release` make of a Swarm service's ports: those that
 * Swarm's ingress publishes, and those of its label for the mesh. Pure; adopt.ts does it.
 */
import { InputError } from '../errors.js'
import { publishLabel } from '../model/declaration.js'
import { formatPort, lengthOf, overlaps, type PublishedPort, parsePortSpec } from '../model/ports.js'
import type { Service } from '../model/service.js'
import type { IngressPort, SwarmNode } from '../sources/swarm-service.js'

export interface Adoption {
  /** Value of the label `mesh.publish` by which the mesh publishes the ports. */
  readonly label: string
  /** The ports that change hands. */
  readonly ports: readonly PublishedPort[]
}

/**
 * `label`: what the service's label says now; null: there is none. Throws InputError when
 * there is nothing to adopt, and when the label leads one of the ports elsewhere.
 */
export function adoptionOf(name: string, label: string | null, ingress: readonly IngressPort[]): Adoption {
  if (ingress.length === 0)
    throw new InputError(
      'service',
      name,
      label === null ? 'Docker publishes no port of it in ingress mode' : 'its ports are the mesh’s already',
      label === null ? `publish one: meshctl publish 8888:80 ${name}` : `see meshctl inspect ${name}`,
    )
  const declared = label === null ? [] : label.split(',').map(parsePortSpec)
  const ports = ingress.map(meshPortOf)
  const added = ports.filter(port => {
    const same = declared.find(
      ({ protocol, published }) =>
        protocol === port.protocol && published !== null && overlaps(published, port.published),
    )
    if (!same?.published) return true
    const target = same.target.first + port.published.first - same.published.first
    if (target === port.target.first && same.address === null) return false
    throw new InputError(
      `label ${publishLabel}`,
      label ?? '',
      `${formatPort(same)} is not where Docker's ${formatPort(port)} leads`,
      `make them agree, or remove one: docker service update --publish-rm ${port.published.first} ${name}`,
    )
  })
  return { label: [...(label === null ? [] : [label]), ...added.map(formatPort)].join(','), ports }
}

/**
 * All ports that Swarm's ingress is to publish in the mesh's place. Throws InputError for
 * what an ingress cannot do.
 */
export function releaseOf(service: Service, ingress: readonly IngressPort[]): IngressPort[] {
  const refusal = (problem: string, remedy: string) =>
    new InputError('service', service.name, problem, remedy)
  if (service.endpoints.length > 0)
    throw refusal(
      "Docker's ingress leads to the service's tasks alone",
      'take the label mesh.endpoint away first',
    )
  const bound = service.ports.find(({ address }) => address !== null)
  if (bound)
    throw refusal(
      `${formatPort(bound)} is bound to one address, and Docker's ingress answers on all`,
      'publish it on all addresses, or unpublish it first',
    )
  const released = service.ports.flatMap(({ protocol, published, target }) =>
    Array.from({ length: lengthOf(published) }, (_, i) => ({
      protocol,
      published: published.first + i,
      target: target.first + i,
    })),
  )
  const kept = ingress.filter(port => !released.some(other => sameDoor(other, port)))
  return [...kept, ...released]
}

/** Whether two lists are the same ports, in whatever order. */
export function samePorts(a: readonly IngressPort[], b: readonly IngressPort[]): boolean {
  return (
    a.length === b.length &&
    a.every(port => b.some(each => sameDoor(each, port) && each.target === port.target))
  )
}

/** Names of the Swarm's nodes that answer, and where nothing of the mesh would. */
export function strangers(
  swarm: readonly SwarmNode[],
  mesh: readonly { readonly name: string; readonly addresses: readonly string[] }[],
): string[] {
  return swarm
    .filter(
      ({ ready, hostname, addresses }) =>
        ready &&
        !mesh.some(node => node.name === hostname || node.addresses.some(each => addresses.includes(each))),
    )
    .map(({ hostname }) => hostname)
}

function meshPortOf({ protocol, published, target }: IngressPort): PublishedPort {
  return {
    protocol,
    published: { first: published, last: published },
    target: { first: target, last: target },
    address: null,
  }
}

function sameDoor(a: IngressPort, b: IngressPort): boolean {
  return a.protocol === b.protocol && a.published === b.published
}
