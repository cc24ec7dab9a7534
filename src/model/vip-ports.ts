/**
 * At which ports a service's VIP answers. Pure.
 */
import { lengthOf, overlaps } from './ports.js'
import type { Service, VipPort } from './service.js'

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
