/**
 * Between the kernel's virtual services and destinations and ours. Pure. What a
 * person set that no object of ours can say is told by a value no wanted one has, so
 * that the diff puts it right.
 */
import type { DestinationObject, ServiceMatch, VirtualServiceObject } from '../kernel/objects.js'
import { inet, inet6 } from '../netlink/ip.js'
import type {
  DestinationConfiguration,
  DestinationReading,
  ServiceKey,
  ServiceReading,
} from '../netlink/ipvs.js'

/** Marks a value that was set by hand. */
const foreign = -1

/** How netlink is told of a match. */
export function keyOfService(match: ServiceMatch): ServiceKey {
  if (!('fwmark' in match)) return match
  return { fwmark: match.fwmark, family: match.family === 'inet6' ? inet6 : inet }
}

function matchOf(key: ServiceKey): ServiceMatch {
  if (!('fwmark' in key)) return key
  return { fwmark: key.fwmark, family: key.family === inet6 ? 'inet6' : 'inet' }
}

export function serviceObject(reading: ServiceReading): VirtualServiceObject {
  const { key, scheduler, persistence, onePacket } = reading
  const match = matchOf(key)
  return { kind: 'virtualService', match, scheduler, persistence: onePacket ? foreign : persistence }
}

/** The upper threshold holds the start of the drain (see DestinationObject). */
export function destinationObject(service: ServiceMatch, reading: DestinationReading): DestinationObject {
  const { address, port, weight, forwardingMethod, upperThreshold, lowerThreshold } = reading
  // The kernel calls a masqueraded destination on one of its own addresses local-node.
  const forwards = forwardingMethod === 'masquerade' || forwardingMethod === 'local-node'
  const drainingSince = forwards && lowerThreshold === 0 ? upperThreshold : foreign
  return { kind: 'destination', service, address, port, weight, drainingSince }
}

export function upperThresholdOf({ drainingSince }: DestinationObject): number {
  return Math.max(0, drainingSince)
}

export function destinationConfiguration(destination: DestinationObject): DestinationConfiguration {
  const { address, port, weight } = destination
  return { address, port, weight, upperThreshold: upperThresholdOf(destination), lowerThreshold: 0 }
}
