/**
 * At which ports a service's VIP answers, and what a person writes for them:
 * `PORT[:TARGET][/PROTOCOL]`. Pure; the command line, labels and files all come here.
 */
import { InputError } from '../errors.js'
import { formatRange, lengthOf, overlaps, parsePortSpec } from './ports.js'
import type { Service, VipPort } from './service.js'

const form = 'write PORT[:TARGET][/tcp|udp|sctp], for example 8080:80 or 5000-5009/udp'

/** Parses `8080:80/tcp`, `80` (the same at the endpoints) or Contiv's `8080:80:TCP`. Throws InputError. */
export function parseVipPort(text: string, field = 'port'): VipPort {
  const spec = text.trim().replace(/:(tcp|udp|sctp)$/i, '/$1')
  const [body = '', ...protocol] = spec.split('/')
  if (body.split(':').length > 2 || body.includes('.') || body.includes('['))
    throw new InputError(field, text, 'a port of a VIP has no address of its own', form)
  const whole = body.includes(':') ? spec : [`${body}:${body}`, ...protocol].join('/')
  try {
    const parsed = parsePortSpec(whole)
    return { protocol: parsed.protocol, port: parsed.published ?? parsed.target, target: parsed.target }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    throw new InputError(field, text, error.problem, form)
  }
}

/** The text `parseVipPort` reads. */
export function formatVipPort({ protocol, port, target }: VipPort): string {
  const same = port.first === target.first
  return `${formatRange(port)}${same ? '' : `:${formatRange(target)}`}/${protocol}`
}

/** One port leads to one target. Throws InputError. */
export function checkVipPorts(ports: readonly VipPort[], field = 'port'): void {
  for (const [index, port] of ports.entries()) {
    const twin = ports
      .slice(0, index)
      .find(each => each.protocol === port.protocol && overlaps(each.port, port.port))
    if (twin)
      throw new InputError(
        field,
        formatVipPort(port),
        `${formatVipPort(twin)} has that port already`,
        'give each port of a VIP once',
      )
  }
}

/**
 * The ports that were asked for, then the targets of the published ports at the same
 * number: `web` published as 8888:80 answers at its VIP's port 80. A target that a port
 * already answers for, or part of whose range, is left out.
 */
export function vipPortsOf(service: Pick<Service, 'ports' | 'vipPorts'>): readonly VipPort[] {
  const all: VipPort[] = [...service.vipPorts]
  for (const { protocol, target } of service.ports)
    if (!all.some(each => each.protocol === protocol && overlaps(each.port, target)))
      all.push({ protocol, port: target, target })
  return all
}

/** Each single port of a VIP port with its target, in order. */
export function* pairsOf({ port, target }: VipPort): Generator<{ port: number; target: number }> {
  for (let i = 0; i < lengthOf(port); i++) yield { port: port.first + i, target: target.first + i }
}
