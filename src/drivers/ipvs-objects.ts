/**
 * Between the kernel's virtual services and destinations and ours. Pure. What a
 * person set that no object of ours can say is told by a value no wanted one has, so
 * that the diff puts it right.
 */
import type { DestinationObject, ForeignServiceObject, VirtualServiceObject } from '../kernel/objects.js'
import type { DestinationConfiguration, DestinationReading, ServiceReading } from '../netlink/ipvs.js'

/** Marks a value that was set by hand. */
const foreign = -1

export function serviceObject(reading: ServiceReading): VirtualServiceObject | ForeignServiceObject {
  const { key, scheduler, persistence, onePacket } = reading
  if (typeof key !== 'number') return { kind: 'foreignService', ...key }
  return { kind: 'virtualService', fwmark: key, scheduler, persistence: onePacket ? foreign : persistence }
}

/** The upper threshold holds the start of the drain (see DestinationObject). */
export function destinationObject(fwmark: number, reading: DestinationReading): DestinationObject {
  const { address, port, weight, forwardingMethod, upperThreshold, lowerThreshold } = reading
  // The kernel calls a masqueraded destination on one of its own addresses local-node.
  const forwards = forwardingMethod === 'masquerade' || forwardingMethod === 'local-node'
  const drainingSince = forwards && lowerThreshold === 0 ? upperThreshold : foreign
  return { kind: 'destination', fwmark, address, port, weight, drainingSince }
}

export function destinationConfiguration(destination: DestinationObject): DestinationConfiguration {
  const { address, port, weight, drainingSince } = destination
  return { address, port, weight, upperThreshold: Math.max(0, drainingSince), lowerThreshold: 0 }
}
