/**
 * IPVS over generic netlink: virtual services, their destinations, timeouts.
 * Builders return requests for a batch; nothing here touches a socket. A virtual
 * service is matched by fwmark, or by protocol, address and port.
 */
import { type Values, writeIPv4 } from './attributes.js'
import { genericHeader, genericHeaderLength, writeGenericHeader } from './generic.js'
import {
  commandAttributes,
  commands,
  destinationAttributes,
  infoAttributes,
  serviceAttributes,
  type statsAttributes,
} from './ipvs-attributes.js'
import { flags, type Query, type Request } from './message.js'
import { placeOf } from './template.js'
import { Writer } from './writer.js'

const family = 'IPVS' // IPVS_GENL_NAME, linux/ip_vs.h
const version = 1 // IPVS_GENL_VERSION

const inet = 2 // AF_INET
const persistentFlag = 0x1 // IP_VS_SVC_F_PERSISTENT; IP_VS_SVC_F_HASHED (0x2) is the kernel's own
const onePacketFlag = 0x4 // IP_VS_SVC_F_ONEPACKET
const forwardMask = 0x7 // IP_VS_CONN_F_FWD_MASK
const hostMask = Uint8Array.of(255, 255, 255, 255)

/** IP_VS_CONN_F_*, linux/ip_vs.h; the kernel turns masquerade into local-node where it fits. */
export const forwardingMethods = ['masquerade', 'local-node', 'tunnel', 'direct-route', 'bypass'] as const
export type ForwardingMethod = (typeof forwardingMethods)[number]

/** How packets are matched to a virtual service: a fwmark, or protocol, address and port. */
export type ServiceKey =
  | number
  | {
      /** IPPROTO_*: 6 tcp, 17 udp, 132 sctp. */
      readonly protocol: number
      readonly address: string
      readonly port: number
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
  readonly connections: bigint
  readonly incomingPackets: bigint
  readonly outgoingPackets: bigint
  readonly incomingBytes: bigint
  readonly outgoingBytes: bigint
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
  readonly connections: bigint
  readonly incomingPackets: bigint
  readonly outgoingPackets: bigint
  readonly incomingBytes: bigint
  readonly outgoingBytes: bigint
}

/** Seconds; 0 in `setTimeouts` leaves a value as it is. */
export interface Timeouts {
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

/** `fwmark 0x122b8` or `tcp 10.0.0.1:80`. */
export function describeService(key: ServiceKey): string {
  if (typeof key === 'number') return `fwmark 0x${key.toString(16)}`
  const protocol = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[key.protocol] ?? `protocol ${key.protocol}`
  return `${protocol} ${key.address}:${key.port}`
}

function serviceKeyValues(key: ServiceKey): Values<typeof serviceAttributes.fields> {
  if (typeof key === 'number') return { addressFamily: inet, fwmark: key }
  return { addressFamily: inet, protocol: key.protocol, address: key.address, port: key.port }
}

type CommandValues = Values<typeof commandAttributes.fields>

function request(operation: string, subject: string, command: number, values: CommandValues): Request {
  const payload = commandAttributes.encode(values, genericHeader(command, version))
  return { operation, subject, type: family, flags: 0, payload }
}

/**
 * A change of a virtual service or destination. Its bytes and words are made when they
 * are asked for: a first pass sends thousands of them and tells of hardly any.
 */
class ChangeRequest implements Request {
  readonly type = family
  readonly flags = 0
  constructor(
    readonly operation: string,
    private readonly command: number,
    private readonly key: ServiceKey,
    private readonly values: CommandValues,
  ) {}

  get subject(): string {
    const { destination } = this.values
    const service = describeService(this.key)
    return destination ? `${destination.address}:${destination.port} of ${service}` : service
  }

  get payload(): Buffer {
    return commandAttributes.encode(this.values, genericHeader(this.command, version))
  }

  writeTo(out: Writer): void {
    writeGenericHeader(out, this.command, version)
    commandAttributes.write(out, this.values)
  }
}

function serviceValues(
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
    netmask: hostMask,
  }
}

/** EEXIST: there already. ENOENT: no such scheduler. */
export function addService(key: ServiceKey, configuration: ServiceConfiguration): Request {
  const service = serviceValues(key, configuration)
  return new ChangeRequest('add virtual service', commands.newService, key, { service })
}

/** ESRCH: no such virtual service. ENOENT: no such scheduler. */
export function updateService(key: ServiceKey, configuration: ServiceConfiguration): Request {
  const service = serviceValues(key, configuration)
  return new ChangeRequest('update virtual service', commands.setService, key, { service })
}

/** Its destinations go with it. ESRCH: gone already. */
export function deleteService(key: ServiceKey): Request {
  const service = serviceKeyValues(key)
  return new ChangeRequest('delete virtual service', commands.delService, key, { service })
}

function destinationValues(
  destination: DestinationConfiguration,
): Values<typeof destinationAttributes.fields> {
  return {
    address: destination.address,
    port: destination.port,
    forwardingMethod: forwardingMethods.indexOf(destination.forwardingMethod ?? 'masquerade'),
    weight: destination.weight,
    upperThreshold: destination.upperThreshold ?? 0,
    lowerThreshold: destination.lowerThreshold ?? 0,
    addressFamily: inet,
  }
}

/** A complete message about a destination of a fwmark; see placeOf. */
const template = commandAttributes.encode(
  {
    service: serviceKeyValues(0),
    destination: destinationValues({ address: '0.0.0.0', port: 0, weight: 0 }),
  },
  genericHeader(commands.newDest, version),
)

function placeIn(part: 'service' | 'destination', type: number): number {
  return placeOf(template, genericHeaderLength, [commandAttributes.fields[part][0], type])
}

const places = {
  fwmark: placeIn('service', serviceAttributes.fields.fwmark[0]),
  address: placeIn('destination', destinationAttributes.fields.address[0]),
  port: placeIn('destination', destinationAttributes.fields.port[0]),
  forwardingMethod: placeIn('destination', destinationAttributes.fields.forwardingMethod[0]),
  weight: placeIn('destination', destinationAttributes.fields.weight[0]),
  upperThreshold: placeIn('destination', destinationAttributes.fields.upperThreshold[0]),
  lowerThreshold: placeIn('destination', destinationAttributes.fields.lowerThreshold[0]),
} as const

/** A destination of a fwmark is added or changed: the request that comes by the ten thousand. */
class DestinationRequest implements Request {
  readonly type = family
  readonly flags = 0
  constructor(
    readonly operation: string,
    private readonly command: number,
    private readonly fwmark: number,
    private readonly destination: DestinationConfiguration,
  ) {}

  get subject(): string {
    return `${this.destination.address}:${this.destination.port} of ${describeService(this.fwmark)}`
  }

  get payload(): Buffer {
    const out = new Writer()
    this.writeTo(out)
    return out.take()
  }

  writeTo(out: Writer): void {
    const start = out.append(template)
    const { buffer } = out
    const { address, port, weight, upperThreshold = 0, lowerThreshold = 0 } = this.destination
    const method = forwardingMethods.indexOf(this.destination.forwardingMethod ?? 'masquerade')
    buffer[start] = this.command
    buffer.writeUInt32LE(this.fwmark, start + places.fwmark)
    writeIPv4(buffer, start + places.address, address)
    buffer.writeUInt16BE(port, start + places.port)
    buffer.writeUInt32LE(method, start + places.forwardingMethod)
    buffer.writeUInt32LE(weight, start + places.weight)
    buffer.writeUInt32LE(upperThreshold, start + places.upperThreshold)
    buffer.writeUInt32LE(lowerThreshold, start + places.lowerThreshold)
  }
}

function destinationRequest(
  operation: string,
  command: number,
  key: ServiceKey,
  destination: DestinationConfiguration,
): Request {
  return typeof key === 'number'
    ? new DestinationRequest(operation, command, key, destination)
    : new ChangeRequest(operation, command, key, {
        service: serviceKeyValues(key),
        destination: destinationValues(destination),
      })
}

/**
 * EEXIST: there already. ESRCH: no such virtual service. EINVAL: the address is a
 * broadcast one, as every address is in a namespace whose loopback link never was up.
 */
export function addDestination(service: ServiceKey, destination: DestinationConfiguration): Request {
  return destinationRequest('add destination', commands.newDest, service, destination)
}

/** ENOENT: no such destination. ESRCH: no such virtual service. */
export function updateDestination(service: ServiceKey, destination: DestinationConfiguration): Request {
  return destinationRequest('update destination', commands.setDest, service, destination)
}

/** ENOENT: gone already. ESRCH: no such virtual service. */
export function deleteDestination(service: ServiceKey, { address, port }: DestinationKey): Request {
  return new ChangeRequest('delete destination', commands.delDest, service, {
    service: serviceKeyValues(service),
    destination: { address, port, addressFamily: inet },
  })
}

function statsOf(stats: Values<typeof statsAttributes.fields> | undefined) {
  return {
    connections: stats?.connections ?? 0n,
    incomingPackets: stats?.incomingPackets ?? 0n,
    outgoingPackets: stats?.outgoingPackets ?? 0n,
    incomingBytes: stats?.incomingBytes ?? 0n,
    outgoingBytes: stats?.outgoingBytes ?? 0n,
  }
}

/** null for what is not an IPv4 virtual service. */
export function decodeService(payload: Buffer): ServiceReading | null {
  const { service } = commandAttributes.decode(payload, genericHeaderLength)
  if (service?.addressFamily !== inet) return null
  const bits = service.flags?.flags ?? 0
  return {
    key: service.fwmark
      ? service.fwmark
      : { protocol: service.protocol ?? 0, address: service.address ?? '0.0.0.0', port: service.port ?? 0 },
    scheduler: service.scheduler ?? '',
    // The kernel keeps a timeout also where there is no persistence; it means nothing then.
    persistence: bits & persistentFlag ? (service.timeout ?? 0) : 0,
    onePacket: (bits & onePacketFlag) !== 0,
    ...statsOf(service.stats64),
  }
}

/** null for what is not an IPv4 destination. */
export function decodeDestination(payload: Buffer): DestinationReading | null {
  const { destination } = commandAttributes.decode(payload, genericHeaderLength)
  if (!destination || (destination.addressFamily ?? inet) !== inet) return null
  return {
    address: destination.address ?? '0.0.0.0',
    port: destination.port ?? 0,
    weight: destination.weight ?? 0,
    upperThreshold: destination.upperThreshold ?? 0,
    lowerThreshold: destination.lowerThreshold ?? 0,
    forwardingMethod: forwardingMethods[(destination.forwardingMethod ?? 0) & forwardMask] ?? 'masquerade',
    active: destination.active ?? 0,
    inactive: destination.inactive ?? 0,
    persistent: destination.persistent ?? 0,
    ...statsOf(destination.stats64),
  }
}

/** All virtual services of the namespace; for `dump`. */
export function listServices(): Query<ServiceReading> {
  return {
    ...request('list', 'virtual services', commands.getService, {}),
    flags: flags.dump,
    decode: decodeService,
  }
}

/** One virtual service; for `get`. ESRCH: no such. */
export function getService(key: ServiceKey): Query<ServiceReading> {
  const service = serviceKeyValues(key)
  return {
    ...request('get virtual service', describeService(key), commands.getService, { service }),
    decode: decodeService,
  }
}

/** Destinations of one virtual service; for `dump` and `dumpAll`. None when the virtual service is gone. */
export function listDestinations(key: ServiceKey): Query<DestinationReading> {
  const service = serviceKeyValues(key)
  return {
    ...request('list destinations of', describeService(key), commands.getDest, { service }),
    flags: flags.dump,
    decode: decodeDestination,
  }
}

export function setTimeouts(timeouts: Timeouts): Request {
  const { tcp, tcpFin, udp } = timeouts
  return request('set', 'IPVS timeouts', commands.setConfig, { tcp, tcpFin, udp })
}

/** For `get`. */
export function getTimeouts(): Query<Timeouts> {
  return {
    ...request('get', 'IPVS timeouts', commands.getConfig, {}),
    decode(payload) {
      const { tcp = 0, tcpFin = 0, udp = 0 } = commandAttributes.decode(payload, genericHeaderLength)
      return { tcp, tcpFin, udp }
    },
  }
}

export interface Info {
  /** `1.2.1` */
  readonly version: string
  readonly connectionTableSize: number
}

/** For `get`. */
export function getInfo(): Query<Info> {
  return {
    ...request('get', 'IPVS version', commands.getInfo, {}),
    decode(payload) {
      const info = infoAttributes.decode(payload, genericHeaderLength)
      const number = info.version ?? 0
      return {
        version: `${(number >> 16) & 0xff}.${(number >> 8) & 0xff}.${number & 0xff}`,
        connectionTableSize: info.connectionTableSize ?? 0,
      }
    },
  }
}
