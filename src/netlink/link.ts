/**
 * Links over rtnetlink: veth pairs and VXLAN devices. Builders return requests for a
 * batch; nothing here touches a socket. The fixed headers are coded by the netlink
 * package; attributes by tables of our own, which read only what the mesh needs and
 * therefore cannot stumble over a foreign link's exotic ones.
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { attributes, binary, i32, mac, string, u32, type Values } from './attributes.js'
import { flags, type Query, type Request } from './message.js'
import { decodeVxlan, encodeVxlan, type VxlanConfiguration, type VxlanReading } from './vxlan.js'

const { NEWLINK, DELLINK, GETLINK, NEWNSID, GETNSID } = rt.MessageType

/** struct ifinfomsg, linux/rtnetlink.h, 16 bytes; `change` names the flags that count. */
function linkHeader(index: number, up: boolean | null): Buffer {
  return rt.formatLink({ index, flags: up ? { up } : {}, change: up === null ? {} : { up: true } })
}

const peerBinary = attributes({ peer: [1, binary] }) // VETH_INFO_PEER, linux/veth.h: ifinfomsg and attributes

/** IFLA_INFO_*, linux/if_link.h. `data` means what `kind` says. */
const infoAttributes = attributes({
  kind: [1, string], // IFLA_INFO_KIND
  data: [2, binary], // IFLA_INFO_DATA
})

/** IFLA_*, linux/if_link.h. */
const linkAttributes = attributes({
  hardwareAddress: [1, mac], // IFLA_ADDRESS
  name: [3, string], // IFLA_IFNAME
  mtu: [4, u32], // IFLA_MTU
  peerIndex: [5, u32], // IFLA_LINK           of a veth: the other end
  master: [10, u32], // IFLA_MASTER
  info: [18, infoAttributes], // IFLA_LINKINFO
  alias: [20, string], // IFLA_IFALIAS
  namespace: [28, u32], // IFLA_NET_NS_FD      a descriptor of the sending process
  extendedMask: [29, u32], // IFLA_EXT_MASK
  peerNamespaceId: [37, i32], // IFLA_LINK_NETNSID   absent when in the same namespace
})

export interface LinkReading {
  readonly index: number
  readonly name: string
  /** `veth`, `bridge`, … or null. */
  readonly kind: string | null
  readonly up: boolean
  /** Bytes. */
  readonly mtu: number
  /** `02:42:ac:11:00:02`, or null. */
  readonly hardwareAddress: string | null
  /** Index of a veth's other end, in that end's namespace; null for other links. */
  readonly peerIndex: number | null
  /**
   * The namespace of a veth's other end or of a VXLAN device's socket, as
   * `getNamespaceId` numbers it here; null when it is this one.
   */
  readonly peerNamespaceId: number | null
  readonly master: number | null
  readonly alias: string | null
  /** null for links of another kind. */
  readonly vxlan: VxlanReading | null
}

/** null for what is no link. */
export function decodeLink(payload: Buffer): LinkReading | null {
  if (payload.length < rt.__LENGTH_Link) return null
  const header = rt.parseLink(payload.subarray(0, rt.__LENGTH_Link))
  const values = linkAttributes.decode(payload.subarray(rt.__LENGTH_Link))
  return {
    index: header.index ?? 0,
    name: values.name ?? '',
    kind: values.info?.kind ?? null,
    up: header.flags?.up === true,
    mtu: values.mtu ?? 0,
    hardwareAddress: values.hardwareAddress || null,
    peerIndex: values.peerIndex || null,
    peerNamespaceId: values.peerNamespaceId ?? null,
    master: values.master ?? null,
    alias: values.alias ?? null,
    vxlan: values.info?.kind === 'vxlan' ? decodeVxlan(Buffer.from(values.info.data ?? [])) : null,
  }
}

function linkRequest(
  operation: string,
  link: string | number,
  type: number,
  bits: number,
  up: boolean | null,
  values: Values<typeof linkAttributes.fields>,
): Request {
  const index = typeof link === 'number' ? link : 0
  const named = typeof link === 'number' ? values : { name: link, ...values }
  const payload = linkAttributes.encode(named, linkHeader(index, up))
  return {
    operation,
    subject: `link ${link}`,
    type,
    flags: bits,
    payload,
  }
}

const withoutStatistics = 8 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h

/** All links of the namespace; for `dump`. */
export function listLinks(): Query<LinkReading> {
  const values = { extendedMask: withoutStatistics }
  return {
    ...linkRequest('list', 0, GETLINK, flags.dump, null, values),
    subject: 'links',
    decode: decodeLink,
  }
}

/** One link by name or index; for `get`. ENODEV: no such link. */
export function getLink(link: string | number): Query<LinkReading> {
  const values = { extendedMask: withoutStatistics }
  return { ...linkRequest('get', link, GETLINK, 0, null, values), decode: decodeLink }
}

export interface VethConfiguration {
  /** At most 15 bytes, as all link names. */
  readonly name: string
  readonly peerName: string
  /** Descriptor of the peer's namespace; null: the same as that of `name`. */
  readonly peerNamespace: number | null
  /** Of both ends; bytes, 68–65535. */
  readonly mtu: number
}

/**
 * Makes a veth pair. Only the end called `name` is up: the kernel cannot bring up the
 * other one before the pair is joined, so `setLink(peerName, { up: true })` in the
 * peer's namespace must follow. EEXIST: one of the names is taken.
 */
export function addVeth(veth: VethConfiguration): Request {
  const peer: Values<typeof linkAttributes.fields> = { name: veth.peerName, mtu: veth.mtu }
  if (veth.peerNamespace !== null) peer.namespace = veth.peerNamespace
  const data = peerBinary.encode({ peer: linkAttributes.encode(peer, linkHeader(0, null)) })
  return linkRequest('add veth', veth.name, NEWLINK, flags.create | flags.exclusive, true, {
    mtu: veth.mtu,
    info: { kind: 'veth', data },
  })
}

export interface VxlanLinkConfiguration extends VxlanConfiguration {
  readonly name: string
  readonly mac: string
  /** Bytes, 68–65535. */
  readonly mtu: number
  /** Descriptor of the namespace the device shall be in; its socket stays in that of the request. */
  readonly namespace: number
}

/**
 * Makes a VXLAN device that is up. EEXIST: its name is taken in the other namespace,
 * or another device of this one's sockets has its VNI and port. EADDRINUSE: another
 * socket has the port, or VXLAN devices without group policy. EOPNOTSUPP: the kernel
 * has no VXLAN.
 */
export function addVxlan(vxlan: VxlanLinkConfiguration): Request {
  return linkRequest('add vxlan', vxlan.name, NEWLINK, flags.create | flags.exclusive, true, {
    hardwareAddress: vxlan.mac,
    mtu: vxlan.mtu,
    info: { kind: 'vxlan', data: encodeVxlan(vxlan) },
    namespace: vxlan.namespace,
  })
}

export interface LinkChange {
  readonly up?: boolean
  /** Bytes. */
  readonly mtu?: number
  /** `02:4d:00:00:00:01` */
  readonly hardwareAddress?: string
  /** The new name; the link must be down on kernels before 6.0. */
  readonly name?: string
  /** Descriptor of the namespace to move it to. */
  readonly namespace?: number
}

/** Changes a link by index (or by name, unless it shall be renamed). ENODEV: no such link. */
export function setLink(link: string | number, change: LinkChange): Request {
  const { up, ...values } = change
  return linkRequest('change', link, NEWLINK, 0, up ?? null, values)
}

/** Deletes a link; of a veth both ends go. ENODEV: gone already. */
export function deleteLink(link: string | number): Request {
  return linkRequest('delete', link, DELLINK, 0, null, {})
}

/** NETNSA_*, linux/net_namespace.h. */
const namespaceAttributes = attributes({
  id: [1, i32], // NETNSA_NSID   -1: none given yet
  descriptor: [3, u32], // NETNSA_FD
})

/**
 * The number by which links of this namespace refer to another one (`peerNamespaceId`);
 * -1 when no link refers to it. For `get`. `descriptor` is an open namespace file.
 */
export function getNamespaceId(descriptor: number): Query<number> {
  const rtgenmsg = Buffer.alloc(4) // struct rtgenmsg, padded
  return {
    operation: 'get',
    subject: 'namespace id',
    type: GETNSID,
    flags: 0,
    payload: namespaceAttributes.encode({ descriptor }, rtgenmsg),
    decode: (payload, type) =>
      type === NEWNSID ? (namespaceAttributes.decode(payload.subarray(4)).id ?? -1) : null,
  }
}
