/**
 * IPVS over generic netlink: virtual services, their destinations, timeouts.
 * Builders return requests for a batch; nothing here touches a socket.
 *
 * Ports and addresses are in network order, all else in host order. A virtual
 * service is matched by fwmark, or by protocol, address and port.
 */
import {
  attributes,
  binary,
  formatIPv4,
  i32,
  parseIPv4,
  string,
  u16,
  u16be,
  u32,
  u64,
  type Values,
  type Writer,
} from './attributes.js'
import { genericBody, genericHeader } from './generic.js'
import { flags, type Query, type Request } from './message.js'

const family = 'IPVS' // IPVS_GENL_NAME, linux/ip_vs.h
const version = 1 // IPVS_GENL_VERSION

/** IPVS_CMD_*, linux/ip_vs.h. */
const commands = {
  newService: 1,
  setService: 2,
  delService: 3,
  getService: 4,
  newDest: 5,
  setDest: 6,
  delDest: 7,
  getDest: 8,
  setConfig: 12,
  getConfig: 13,
  getInfo: 15,
} as const

/** union nf_inet_addr: 16 bytes, an IPv4 address in the first 4. */
const inetAddress = {
  flags: 0,
  write(out: Writer, value: string) {
    const offset = out.reserve(16)
    out.buffer.set(parseIPv4(value), offset)
  },
  read: (bytes: Buffer) => formatIPv4(bytes),
}

/** struct ip_vs_flags: only the bits in `mask` are set. */
const serviceFlags = {
  flags: 0,
  write(out: Writer, value: { flags: number; mask: number }) {
    const offset = out.reserve(8)
    out.buffer.writeUInt32LE(value.flags >>> 0, offset)
    out.buffer.writeUInt32LE(value.mask >>> 0, offset + 4)
  },
  read: (bytes: Buffer) => ({ flags: bytes.readUInt32LE(0), mask: bytes.readUInt32LE(4) }),
}

/** IPVS_STATS_ATTR_* with 64-bit values (STATS64, since Linux 4.0); 11 is padding. */
export const statsAttributes = attributes({
  connections: [1, u64], // IPVS_STATS_ATTR_CONNS
  incomingPackets: [2, u64], // IPVS_STATS_ATTR_INPKTS
  outgoingPackets: [3, u64], // IPVS_STATS_ATTR_OUTPKTS
  incomingBytes: [4, u64], // IPVS_STATS_ATTR_INBYTES
  outgoingBytes: [5, u64], // IPVS_STATS_ATTR_OUTBYTES
})

/** IPVS_SVC_ATTR_*, linux/ip_vs.h. */
export const serviceAttributes = attributes({
  addressFamily: [1, u16], // IPVS_SVC_ATTR_AF
  protocol: [2, u16], // IPVS_SVC_ATTR_PROTOCOL
  address: [3, inetAddress], // IPVS_SVC_ATTR_ADDR
  port: [4, u16be], // IPVS_SVC_ATTR_PORT        network order
  fwmark: [5, u32], // IPVS_SVC_ATTR_FWMARK
  scheduler: [6, string], // IPVS_SVC_ATTR_SCHED_NAME
  flags: [7, serviceFlags], // IPVS_SVC_ATTR_FLAGS
  timeout: [8, u32], // IPVS_SVC_ATTR_TIMEOUT     seconds, with the PERSISTENT flag
  netmask: [9, binary], // IPVS_SVC_ATTR_NETMASK  a mask for IPv4, network order
  stats64: [12, statsAttributes], // IPVS_SVC_ATTR_STATS64
})

/** IPVS_DEST_ATTR_*, linux/ip_vs.h. */
export const destinationAttributes = attributes({
  address: [1, inetAddress], // IPVS_DEST_ATTR_ADDR   16 bytes, v4 in the first 4
  port: [2, u16be], // IPVS_DEST_ATTR_PORT            network order
  forwardingMethod: [3, u32], // IPVS_DEST_ATTR_FWD_METHOD
  weight: [4, u32], // IPVS_DEST_ATTR_WEIGHT
  upperThreshold: [5, u32], // IPVS_DEST_ATTR_U_THRESH
  lowerThreshold: [6, u32], // IPVS_DEST_ATTR_L_THRESH
  active: [7, u32], // IPVS_DEST_ATTR_ACTIVE_CONNS
  inactive: [8, u32], // IPVS_DEST_ATTR_INACT_CONNS
  persistent: [9, u32], // IPVS_DEST_ATTR_PERSIST_CONNS
  addressFamily: [11, u16], // IPVS_DEST_ATTR_ADDR_FAMILY   absent before Linux 3.18
  stats64: [12, statsAttributes], // IPVS_DEST_ATTR_STATS64
})

/** IPVS_CMD_ATTR_*, linux/ip_vs.h. */
export const commandAttributes = attributes({
  service: [1, serviceAttributes], // IPVS_CMD_ATTR_SERVICE
  destination: [2, destinationAttributes], // IPVS_CMD_ATTR_DEST
  tcp: [4, i32], // IPVS_CMD_ATTR_TIMEOUT_TCP
  tcpFin: [5, i32], // IPVS_CMD_ATTR_TIMEOUT_TCP_FIN
  udp: [6, i32], // IPVS_CMD_ATTR_TIMEOUT_UDP
})

/** IPVS_INFO_ATTR_*, linux/ip_vs.h. */
const infoAttributes = attributes({
  version: [1, u32], // IPVS_INFO_ATTR_VERSION
  connectionTableSize: [2, u32], // IPVS_INFO_ATTR_CONN_TAB_SIZE
})

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

function request(
  operation: string,
  subject: string,
  command: number,
  values: Values<typeof commandAttributes.fields>,
): Request {
  return {
    operation,
    subject,
    type: family,
    flags: 0,
    payload: commandAttributes.encode(values, genericHeader(command, version)),
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
  return request('add virtual service', describeService(key), commands.newService, { service })
}

/** ESRCH: no such virtual service. ENOENT: no such scheduler. */
export function updateService(key: ServiceKey, configuration: ServiceConfiguration): Request {
  const service = serviceValues(key, configuration)
  return request('update virtual service', describeService(key), commands.setService, { service })
}

/** Its destinations go with it. ESRCH: gone already. */
export function deleteService(key: ServiceKey): Request {
  return request('delete virtual service', describeService(key), commands.delService, {
    service: serviceKeyValues(key),
  })
}

function destinationRequest(
  verb: string,
  command: number,
  key: ServiceKey,
  destination: Values<typeof destinationAttributes.fields>,
): Request {
  const subject = `${destination.address}:${destination.port} of ${describeService(key)}`
  return request(`${verb} destination`, subject, command, { service: serviceKeyValues(key), destination })
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

/**
 * EEXIST: there already. ESRCH: no such virtual service. EINVAL: the address is a
 * broadcast one, as every address is in a namespace whose loopback link never was up.
 */
export function addDestination(service: ServiceKey, destination: DestinationConfiguration): Request {
  return destinationRequest('add', commands.newDest, service, destinationValues(destination))
}

/** ENOENT: no such destination. ESRCH: no such virtual service. */
export function updateDestination(service: ServiceKey, destination: DestinationConfiguration): Request {
  return destinationRequest('update', commands.setDest, service, destinationValues(destination))
}

/** ENOENT: gone already. ESRCH: no such virtual service. */
export function deleteDestination(service: ServiceKey, destination: DestinationKey): Request {
  const { address, port } = destination
  return destinationRequest('delete', commands.delDest, service, { address, port, addressFamily: inet })
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
  const { service } = commandAttributes.decode(genericBody(payload))
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
  const { destination } = commandAttributes.decode(genericBody(payload))
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
      const { tcp = 0, tcpFin = 0, udp = 0 } = commandAttributes.decode(genericBody(payload))
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
      const info = infoAttributes.decode(genericBody(payload))
      const number = info.version ?? 0
      return {
        version: `${(number >> 16) & 0xff}.${(number >> 8) & 0xff}.${number & 0xff}`,
        connectionTableSize: info.connectionTableSize ?? 0,
      }
    },
  }
}
