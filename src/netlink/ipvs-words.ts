/**
 * What IPVS is asked and answers, in words of its own: virtual services and how packets
 * are matched to them, destinations. Pure; the messages are made in ipvs.ts.
 */
import type { Values } from './attributes.js'
import { type AddressFamily, familyOf, inet, inet6 } from './ip.js'
import type { destinationAttributes, serviceAttributes } from './ipvs-attributes.js'

/** IP_VS_CONN_F_*, linux/ip_vs.h; the kernel turns masquerade into local-node where it fits. */
export const forwardingMethods = ['masquerade', 'local-node', 'tunnel', 'direct-route', 'bypass'] as const
export type ForwardingMethod = (typeof forwardingMethods)[number]

/** How packets are matched to a virtual service: a fwmark on those of a family, or protocol, address and port. */
export type ServiceKey = FwmarkKey | AddressKey

export interface FwmarkKey {
  readonly fwmark: number
  readonly family: AddressFamily
}

/** A fwmark on packets of IPv4, unless another family is given. */
export function byFwmark(fwmark: number, family: AddressFamily = inet): FwmarkKey {
  return { fwmark, family }
}

export interface AddressKey {
  /** IPPROTO_*: 6 tcp, 17 udp, 132 sctp. */
  readonly protocol: number
  readonly address: string
  readonly port: number
}

export function isFwmark(key: ServiceKey): key is FwmarkKey {
  return 'fwmark' in key
}

/** The family of the packets a virtual service is for. */
export function familyOfKey(key: ServiceKey): AddressFamily {
  return isFwmark(key) ? key.family : familyOf(key.address)
}

export interface ServiceConfiguration {
  /** The kernel's short name: `rr`. */
  readonly scheduler: string
  /** Persistence timeout, seconds; 0: none. */
  readonly persistence: number
  /** Every datagram is scheduled by itself (UDP only). */
  readonly onePacket?: boolean
}

export interface ServiceReading extends Required<ServiceConfiguration> {
  readonly key: ServiceKey
}

export interface DestinationKey {
  readonly address: string
  /** 0 keeps the port the packet came with. */
  readonly port: number
}

export interface DestinationConfiguration extends DestinationKey {
  /** 0 takes no new connections. */
  readonly weight: number
  /** Connections above which the kernel sends no more; 0: no limit. u32. */
  readonly upperThreshold?: number
  readonly lowerThreshold?: number
  readonly forwardingMethod?: ForwardingMethod
}

export interface DestinationReading extends Required<DestinationConfiguration> {
  /** Connections in state ESTABLISHED. */
  readonly active: number
  /** Connections in all other states. */
  readonly inactive: number
  readonly persistent: number
}

/** `10.0.0.1:80` or `[fd4d::1]:80` */
export function atPort(address: string, port: number): string {
  return familyOf(address) === inet6 ? `[${address}]:${port}` : `${address}:${port}`
}

/** `fwmark 0x122b8`, `fwmark 0x122b8 of IPv6` or `tcp 10.0.0.1:80`. */
export function describeService(key: ServiceKey): string {
  if (isFwmark(key)) return `fwmark 0x${key.fwmark.toString(16)}${key.family === inet6 ? ' of IPv6' : ''}`
  const protocol = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[key.protocol] ?? `protocol ${key.protocol}`
  return `${protocol} ${atPort(key.address, key.port)}`
}

/** What names a virtual service. */
export function serviceKeyValues(key: ServiceKey): Values<typeof serviceAttributes.fields> {
  const addressFamily = familyOfKey(key)
  if (isFwmark(key)) return { addressFamily, fwmark: key.fwmark }
  return { addressFamily, protocol: key.protocol, address: key.address, port: key.port }
}

export const persistentFlag = 0x1 // IP_VS_SVC_F_PERSISTENT; IP_VS_SVC_F_HASHED (0x2) is the kernel's own
export const onePacketFlag = 0x4 // IP_VS_SVC_F_ONEPACKET
/** Persistence is for each client by itself: a mask of all bits, or the length of one. */
const hostMasks: Readonly<Record<AddressFamily, Uint8Array>> = {
  [inet]: Uint8Array.of(255, 255, 255, 255),
  [inet6]: Uint8Array.of(128, 0, 0, 0),
}

/** All that a virtual service is made of. */
export function serviceValues(
  key: ServiceKey,
  configuration: ServiceConfiguration,
): Values<typeof serviceAttributes.fields> {
  const bits =
    (configuration.persistence > 0 ? persistentFlag : 0) | (configuration.onePacket ? onePacketFlag : 0)
  return {
    ...serviceKeyValues(key),
    scheduler: configuration.scheduler,
    flags: { flags: bits, mask: persistentFlag | onePacketFlag },
    timeout: configuration.persistence,
    netmask: hostMasks[familyOfKey(key)],
  }
}

/** All that a destination is made of. */
export function destinationValues(
  destination: DestinationConfiguration,
): Values<typeof destinationAttributes.fields> {
  return {
    address: destination.address,
    port: destination.port,
    forwardingMethod: forwardingMethods.indexOf(destination.forwardingMethod ?? 'masquerade'),
    weight: destination.weight,
    upperThreshold: destination.upperThreshold ?? 0,
    lowerThreshold: destination.lowerThreshold ?? 0,
    addressFamily: familyOf(destination.address),
  }
}
