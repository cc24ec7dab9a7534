/**
 * A service as a person asks for it: like Service, but a published port may still
 * be open, for the mesh to choose (`settlePorts` in conflicts.ts makes a Service of it).
 */
import { InputError } from '../errors.js'
import type { PortSpec } from './ports.js'
import {
  defaultDrain,
  defaultScheduler,
  type FixedEndpoint,
  type Scheduler,
  type Selector,
  schedulers,
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
  }
}

/** A scheduler by the kernel's short name. Throws InputError. */
export function parseScheduler(text: string, field = 'scheduler'): Scheduler {
  const scheduler = schedulers.find(name => name === text)
  if (scheduler === undefined)
    throw new InputError(field, text, 'the kernel has no such scheduler', `use ${schedulers.join(', ')}`)
  return scheduler
}
