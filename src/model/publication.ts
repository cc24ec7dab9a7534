/**
 * A service as a person asks for it: like Service, but a published port may still
 * be open, for the mesh to choose (`settlePorts` in conflicts.ts makes a Service of it).
 */
import { InputError } from '../errors.js'
import { formatEndpoint } from './endpoint.js'
import { formatPort, lengthOf, type PortSpec } from './ports.js'
import {
  defaultDrain,
  defaultScheduler,
  defaultWeightedScheduler,
  type EndpointMode,
  endpointModes,
  type Scheduler,
  type Service,
  schedulers,
} from './service.js'
import { checkVipPorts, formatVipPort } from './vip-ports.js'
import { formatWeight, knowsWeights } from './weights.js'

export interface Publication
  extends Omit<Service, 'ports' | 'elsewhere' | 'vip' | 'declaredBy' | 'problems'> {
  readonly ports: readonly PortSpec[]
  /** `auto`: the mesh chooses one; `none`; or the IPv4 address that is wanted. */
  readonly vip: string
}

/** A publication of `name` with every other field at its default or as given; weights make `wrr` the default scheduler. */
export function publicationOf(name: string, fields: Partial<Omit<Publication, 'name'>> = {}): Publication {
  return {
    name,
    ports: fields.ports ?? [],
    selector: fields.selector ?? null,
    endpoints: fields.endpoints ?? [],
    scheduler: fields.scheduler ?? (fields.weights?.length ? defaultWeightedScheduler : defaultScheduler),
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

/** Throws InputError. */
export function parseEndpointMode(text: string, field = 'endpoint-mode'): EndpointMode {
  const mode = endpointModes.find(each => each === text.trim())
  if (mode === undefined)
    throw new InputError(
      field,
      text,
      'there is no such mode',
      'write vip (the name stands for a VIP) or dnsrr (for the endpoints)',
    )
  return mode
}

/** Whether fields that are sound by themselves are so together. Throws InputError. */
export function checkService(publication: Publication): void {
  checkTargets(publication)
  const { ports, vip, vipPorts, endpointMode, scheduler, weights } = publication
  checkVipPorts(vipPorts)
  if (weights.length > 0 && !knowsWeights(scheduler))
    throw new InputError(
      'scheduler',
      scheduler,
      'it takes no account of weights',
      'use wrr, wlc or another that does, or no weights',
    )
  const percent = weights.reduce((sum, each) => sum + (each.percent ? each.weight : 0), 0)
  if (percent > 100)
    throw new InputError(
      'weight',
      weights.map(formatWeight).join(','),
      `percentages come to ${percent} together`,
      'leave it at 100 or less',
    )
  if (ports.length > 0 || endpointMode === 'dnsrr') return
  if (vip === 'none')
    throw new InputError(
      'vip',
      vip,
      'nothing of the service would answer',
      'write auto, or publish a port of it',
    )
  if (vipPorts.length === 0)
    throw new InputError(
      'port',
      '',
      'there is no port, published or of the VIP',
      'write one, as in 8080:80/tcp',
    )
}

/** An endpoint with a port of its own cannot answer for a range. Throws InputError. */
export function checkTargets({ ports, vipPorts, endpoints }: Publication): void {
  const fixed = endpoints.find(({ port }) => port !== null)
  const range = ports.find(({ target }) => lengthOf(target) > 1)
  const vipRange = vipPorts.find(({ target }) => lengthOf(target) > 1)
  if (!fixed || !(range || vipRange)) return
  throw new InputError(
    'endpoint',
    formatEndpoint(fixed),
    `one port cannot answer for the range ${range ? formatPort(range) : formatVipPort(vipRange!)}`,
    `write ${fixed.address} without a port`,
  )
}
