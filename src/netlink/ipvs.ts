/**
 * IPVS over generic netlink: virtual services, their destinations, timeouts.
 * Builders return requests for a batch; nothing here touches a socket. A virtual
 * service is matched by fwmark, or by protocol, address and port.
 */
import type { Values } from './attributes.js'
import { genericHeader, genericHeaderLength, writeGenericHeader } from './generic.js'
import { familyOf, inet, isInternet } from './ip.js'
import {
  commandAttributes,
  commands,
  formatAddress,
  genericFamily,
  genericVersion,
  infoAttributes,
} from './ipvs-attributes.js'
import {
  atPort,
  type DestinationConfiguration,
  type DestinationKey,
  type DestinationReading,
  describeService,
  destinationValues,
  forwardingMethods,
  onePacketFlag,
  persistentFlag,
  type ServiceConfiguration,
  type ServiceKey,
  type ServiceReading,
  serviceKeyValues,
  serviceValues,
} from './ipvs-words.js'
import { flags, type Query, type Request } from './message.js'
import type { Writer } from './writer.js'

export * from './ipvs-words.js'

const forwardMask = 0x7 // IP_VS_CONN_F_FWD_MASK

/** Seconds; 0 in `setTimeouts` leaves a value as it is. */
export interface Timeouts {
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

type CommandValues = Values<typeof commandAttributes.fields>

function request(operation: string, subject: string, command: number, values: CommandValues): Request {
  const payload = commandAttributes.encode(values, genericHeader(command, genericVersion))
  return { operation, subject, type: genericFamily, flags: 0, payload }
}

/**
 * A change of a virtual service or destination. Its bytes and words are made when they
 * are asked for: a first pass sends thousands of them and tells of hardly any.
 */
class ChangeRequest implements Request {
  readonly type = genericFamily
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
    return destination
      ? `${atPort(String(destination.address), destination.port ?? 0)} of ${service}`
      : service
  }

  get payload(): Buffer {
    return commandAttributes.encode(this.values, genericHeader(this.command, genericVersion))
  }

  writeTo(out: Writer): void {
    writeGenericHeader(out, this.command, genericVersion)
    commandAttributes.write(out, this.values)
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

function destinationRequest(
  operation: string,
  command: number,
  key: ServiceKey,
  destination: DestinationConfiguration,
): Request {
  return new ChangeRequest(operation, command, key, {
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
    destination: { address, port, addressFamily: familyOf(address) },
  })
}

/** null for what is no virtual service of IPv4 or IPv6. */
export function decodeService(payload: Buffer): ServiceReading | null {
  const { service } = commandAttributes.decode(payload, genericHeaderLength)
  const family = service?.addressFamily
  if (!service || !isInternet(family)) return null
  const bits = service.flags?.flags ?? 0
  return {
    key: service.fwmark
      ? { fwmark: service.fwmark, family }
      : {
          protocol: service.protocol ?? 0,
          address: formatAddress(service.address, family),
          port: service.port ?? 0,
        },
    scheduler: service.scheduler ?? '',
    // The kernel keeps a timeout also where there is no persistence; it means nothing then.
    persistence: bits & persistentFlag ? (service.timeout ?? 0) : 0,
    onePacket: (bits & onePacketFlag) !== 0,
  }
}

/** null for what is no destination of IPv4 or IPv6. */
export function decodeDestination(payload: Buffer): DestinationReading | null {
  const { destination } = commandAttributes.decode(payload, genericHeaderLength)
  const family = destination?.addressFamily ?? inet
  if (!destination || !isInternet(family)) return null
  return {
    address: formatAddress(destination.address, family),
    port: destination.port ?? 0,
    weight: destination.weight ?? 0,
    upperThreshold: destination.upperThreshold ?? 0,
    lowerThreshold: destination.lowerThreshold ?? 0,
    forwardingMethod: forwardingMethods[(destination.forwardingMethod ?? 0) & forwardMask] ?? 'masquerade',
    active: destination.active ?? 0,
    inactive: destination.inactive ?? 0,
    persistent: destination.persistent ?? 0,
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
