/**
 * What a publication means on this node: which containers its name stands for at this
 * moment, and where the other nodes reach a process of this one.
 */
import { InputError } from '../errors.js'
import { resolveName } from '../model/names.js'
import type { Publication } from '../model/publication.js'
import type { FixedEndpoint, Selector } from '../model/service.js'
import type { Loop } from './loop.js'

/** What of the loop it takes. */
export type ResolvingLoop = Pick<Loop, 'collected' | 'store' | 'hasHeardDocker'>

/**
 * A publication without a selector with the one that its name stands for, or, if that
 * `keeps`, with the one that the stored service has. Throws InputError where the name stands
 * for several things, or a file defines the service.
 */
export function resolved(
  loop: ResolvingLoop,
  asked: Publication,
  warnings: string[],
  keeps: (former: Selector) => boolean,
): Publication {
  const publication = placed(loop, asked)
  const { name, selector } = publication
  const { services, origins } = loop.collected.services
  const origin = origins.get(name)
  if (origin !== undefined && origin !== loop.store.name)
    throw new InputError('service', name, `it is defined by ${origin}`, 'change it there')
  if (selector) return publication
  const former = services.find(each => each.name === name)?.selector
  if (former && keeps(former)) return { ...publication, selector: former }
  return { ...publication, selector: selectorOf(loop, publication, warnings) }
}

/** What its name stands for at this moment; null, with a warning: nothing yet. Throws InputError for several things. */
export function selectorOf(
  loop: ResolvingLoop,
  { name, endpoints }: Publication,
  warnings: string[],
): Selector | null {
  const selector = resolveName(name, loop.collected.containers)
  if (!selector && endpoints.length === 0)
    warnings.push(
      loop.hasHeardDocker
        ? `no Swarm service, compose service or container on this node is called ${name} yet; connections are refused until there is one`
        : `Docker has not answered yet; connections are refused until it has, and something called ${name} runs`,
    )
  return selector
}

/** A process of this node has an address by which the other nodes know it too. */
export function placed(loop: ResolvingLoop, publication: Publication): Publication {
  const { membership } = loop.collected.own
  const place = (endpoint: FixedEndpoint) =>
    membership && endpoint.address.startsWith('127.')
      ? { ...endpoint, address: membership.address }
      : endpoint
  return { ...publication, endpoints: publication.endpoints.map(place) }
}
