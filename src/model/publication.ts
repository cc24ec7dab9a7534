/**
 * A service as a person asks for it: like Service, but a published port may still
 * be open, for the mesh to choose (`settlePorts` in conflicts.ts makes a Service of it).
 */
import { InputError } from '../errors.js'
import { formatPort, lengthOf, type PortSpec } from './ports.js'
import {
  defaultDrain,
  defaultScheduler,
  type EndpointMode,
  type FixedEndpoint,
  type LabelWeight,
  type Scheduler,
  type Selector,
  schedulers,
  type VipPort,
} from './service.js'

export interface Publication {
  readonly name: string
  readonly ports: readonly PortSpec[]
  /** null: by name alone. */
  readonly selector: Selector | null
  readonly endpoints: readonly FixedEndpoint[]
  readonly scheduler: Scheduler
  /** Seconds, 0–86400. */
  readonly drain: number
  /** `auto`: the mesh chooses one; `none`; or the IPv4 address that is wanted. */
  readonly vip: string
  readonly vipPorts: readonly VipPort[]
  readonly endpointMode: EndpointMode
  /** Seconds, 0–86400. */
  readonly persistence: number
  readonly weights: readonly LabelWeight[]
  readonly aliases: readonly string[]
  readonly scopes: readonly string[]
}

/** A publication of `name` with every other field at its default or as given. */
export function publicationOf(name: string, fields: Partial<Omit<Publication, 'name'>> = {}): Publication {
  return {
    name,
    ports: fields.ports ?? [],
    selector: fields.selector ?? null,
    endpoints: fields.endpoints ?? [],
    scheduler: fields.scheduler ?? defaultScheduler,
    drain: fields.drain ?? defaultDrain,
    vip: fields.vip ?? 'auto',
    vipPorts: fields.vipPorts ?? [],
    endpointMode: fields.endpointMode ?? 'vip',
    persistence: fields.persistence ?? 0,
    weights: fields.weights ?? [],
    aliases: fields.aliases ?? [],
    scopes: fields.scopes ?? [],
  }
}

/** A scheduler by the kernel's short name. Throws InputError. */
export function parseScheduler(text: string, field = 'scheduler'): Scheduler {
  const scheduler = schedulers.find(name => name === text)
  if (scheduler === undefined)
    throw new InputError(field, text, 'the kernel has no such scheduler', `use ${schedulers.join(', ')}`)
  return scheduler
}

/** An endpoint with a port of its own cannot answer for a range. Throws InputError. */
export function checkTargets(publication: Publication): void {
  const range = publication.ports.find(({ target }) => lengthOf(target) > 1)
  const fixed = publication.endpoints.find(({ port }) => port !== null)
  if (range && fixed)
    throw new InputError(
      'endpoint',
      `${fixed.address}:${fixed.port}`,
      `one port cannot answer for the range ${formatPort(range)}`,
      `write ${fixed.address} without a port`,
    )
}
