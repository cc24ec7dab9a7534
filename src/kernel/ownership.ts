/**
 * How the mesh's things on a host are recognised: names, numbers, marks. All of
 * them are here, so that `meshctl clean` needs no memory of what was made.
 */

/** rtm_protocol / FRA_PROTOCOL of our routes and rules (linux/rtnetlink.h leaves 5–255 to users); 'm' is 109. */
export const meshProtocol = 109

/** Routing table of the default route that takes replies back into the sandbox, in hosts and containers. */
export const replyTable = 1090

/** Priority of our policy rules: after `local` (0), before `main` (32766), room on both sides. */
export const rulePriority = 1090
/** Priority of the rules for what is addressed to the mesh: before those that others have for sources, marks or VPNs. */
export const poolPriority = 90

/** The sandbox; `ip netns exec mesh …`. */
export const sandboxPath = '/run/netns/mesh'

/** The host's end of the veth to the sandbox, and every container's end of its own. */
export const meshLink = 'mesh0'
/** The parameter by which IPv6 is on or off on that link, in whichever namespace. */
export const ipv6Switch = `net.ipv6.conf.${meshLink}.disable_ipv6`

/** The sandbox's end of the veth to the host. */
export const uplink = 'eth0'

/**
 * What every attached container calls the sandbox in IPv6, on its own link. A machine
 * answers for its IPv4 addresses on all of its links, but of IPv6 on each for its own.
 */
export const linkGateway = 'fe80::1'

/** The VXLAN device in the sandbox, and a stray one in the host by the same name. */
export const overlayLink = 'mesh-vxlan'

/** The sandbox's end of a container's veth: `p` and Docker's short id. */
export function attachmentLink(containerId: string): string {
  return `p${containerId.slice(0, 12)}`
}

/** Every chain of ours starts so, in the host and in the sandbox. */
export const chainPrefix = 'MESH-'
/** Every ipset of ours starts so. */
export const setPrefix = 'mesh-'
/**
 * Sets of what only some may call, and of pairs of those and it; of IPv6 their names end in 6.
 * Their elements are the first of all: what is not closed yet must not be there.
 */
export const scopeSets = { scoped: `${setPrefix}scoped`, allowed: `${setPrefix}allowed` } as const

const protocolCodes = { tcp: 1, udp: 2, sctp: 3 } as const

/** Protocol names by IPPROTO_*, linux/in.h. */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const

/**
 * The fwmark of a virtual service, derived from the first port it is published on,
 * and therefore the same on every node and after every restart: bits 0–15 the
 * port, bits 16–17 the protocol (1 tcp, 2 udp, 3 sctp). Node numbers, which share
 * the mark field, stay below 0x10000.
 */
export function fwmarkOf(protocol: keyof typeof protocolCodes, port: number): number {
  return (protocolCodes[protocol] << 16) | port
}

/** Not bit 31: ipvsadm takes fwmarks for signed numbers. */
const vipMark = 0x40000000

/**
 * The fwmark of all ports of a VIP together: bit 30, bits 24–25 the protocol, bits 0–23
 * how far into its pool the VIP lies. No published port and no node has such a one.
 */
export function fwmarkOfVip(protocol: keyof typeof protocolCodes, offset: number): number {
  return vipMark | (protocolCodes[protocol] << 24) | offset
}

/** Whether packets with this fwmark of a virtual service are UDP. */
export function isUdpMark(fwmark: number): boolean {
  return ((fwmark >= vipMark ? fwmark >>> 24 : fwmark >>> 16) & 3) === protocolCodes.udp
}
