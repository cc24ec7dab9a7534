/**
 * ipset over nfnetlink: sets and their elements. Builders return requests for a
 * batch; nothing here touches a socket. What elements are as text is in ipset-element.ts.
 *
 *     nlmsghdr │ nfgenmsg: family, version, resource id (16 bits, network order) │ attributes
 */
import { attributes, netU16, netU32, repeated, string, u8, type Values } from './attributes.js'
import { type AddressFamily, inet, inet6 } from './ip.js'
import { elementAttributes, formatElement, parseElement } from './ipset-element.js'
import { flags, type Query, type Request } from './message.js'

export { formatElement, parseElement } from './ipset-element.js'

const subsystem = 6 // NFNL_SUBSYS_IPSET, linux/netfilter/nfnetlink.h
/** IPSET_PROTOCOL_MIN: every kernel since 3.9 speaks 6; 7 (Linux 4.20) only adds set indices. */
const protocol = 6

/** IPSET_CMD_*, linux/netfilter/ipset/ip_set.h. */
const commands = { create: 2, destroy: 3, swap: 6, list: 7, add: 9, delete: 10 } as const

const creationAttributes = attributes({
  port: [4, netU16], // IPSET_ATTR_PORT_FROM
  portTo: [5, netU16], // IPSET_ATTR_PORT_TO
  flags: [8, netU32], // IPSET_ATTR_CADT_FLAGS
  maximum: [19, netU32], // IPSET_ATTR_MAXELEM
  references: [25, netU32], // IPSET_ATTR_REFERENCES
})

function commandTable<const D>(data: D) {
  return attributes({
    protocol: [1, u8], // IPSET_ATTR_PROTOCOL
    name: [2, string], // IPSET_ATTR_SETNAME
    typeName: [3, string], // IPSET_ATTR_TYPENAME, and IPSET_ATTR_SETNAME2 of a swap
    revision: [4, u8], // IPSET_ATTR_REVISION
    family: [5, u8], // IPSET_ATTR_FAMILY
    flags: [6, netU32], // IPSET_ATTR_FLAGS
    data: [7, data], // IPSET_ATTR_DATA
    elements: [8, repeatedElements], // IPSET_ATTR_ADT
  })
}
/** IPSET_ATTR_ADT: any number of IPSET_ATTR_DATA. */
const repeatedElements = attributes({ list: [7, repeated(elementAttributes)] })
const setCommand = commandTable(creationAttributes)
const elementCommand = commandTable(elementAttributes)

const withSkbinfo = 1 << 6 // IPSET_FLAG_WITH_SKBINFO
const listHeader = 1 << 2 // IPSET_FLAG_LIST_HEADER

/** First revision of each type that has skbinfo; all in Linux 3.18. Created sets ask for it. */
const revisions = {
  'bitmap:port': 3,
  'hash:ip': 4,
  'hash:net': 6,
  'hash:ip,port': 5,
  'hash:net,net': 2,
} as const
export type SetType = keyof typeof revisions

export interface SetConfiguration {
  /** At most 31 bytes. */
  readonly name: string
  readonly type: SetType
  /** Of the addresses in a hash, IPv4 unless given; bitmap:port sets have none. */
  readonly family?: AddressFamily
  /** Elements carry a fwmark. */
  readonly skbinfo: boolean
  /** Most elements a hash may hold; 65536 unless given. bitmap:port sets always cover 0–65535. */
  readonly maximum?: number
}

export interface SetReading {
  readonly name: string
  /** The kernel's name, perhaps of a type that is not among SetType. */
  readonly type: string
  /** `inet6` where all addresses are of IPv6; else, and for sets without addresses, `inet`. */
  readonly family: AddressFamily
  readonly skbinfo: boolean
  /** iptables rules and others that use it; null where the kernel did not say. */
  readonly references: number | null
  readonly maximum: number | null
}

export interface Entry {
  readonly set: string
  /** `8888`, `10.0.0.1`, `10.0.0.1,tcp:80`, `172.17.0.2,10.254.0.3`. */
  readonly element: string
  /** fwmark; null without skbinfo. */
  readonly mark: number | null
}

function request(operation: string, subject: string, command: number, bits: number, body: Buffer): Request {
  const payload = Buffer.alloc(4 + body.length) // struct nfgenmsg: family, version 0, res_id 0
  payload[0] = inet // of elements and sets each its own attribute tells the family
  payload.set(body, 4)
  return { operation, subject, type: (subsystem << 8) | command, flags: bits, payload }
}

/** EEXIST: a set of that name is there already, whatever its type. */
export function createSet(set: SetConfiguration): Request {
  const bitmap = set.type === 'bitmap:port'
  const data: Values<typeof creationAttributes.fields> = bitmap
    ? { port: 0, portTo: 65535 }
    : { maximum: set.maximum ?? 65536 }
  if (set.skbinfo) data.flags = withSkbinfo
  const body = setCommand.encode({
    protocol,
    name: set.name,
    typeName: set.type,
    revision: revisions[set.type],
    family: bitmap ? 0 : (set.family ?? inet),
    data,
  })
  return request('create set', set.name, commands.create, flags.create | flags.exclusive, body)
}

/** ENOENT: gone already. IPSET_ERR_BUSY: rules use it. */
export function destroySet(name: string): Request {
  // without NLM_F_EXCL newer kernels call a set that is gone a success
  return request(
    'destroy set',
    name,
    commands.destroy,
    flags.exclusive,
    setCommand.encode({ protocol, name }),
  )
}

/**
 * Exchanges the contents of two sets, while rules go on using them by name. ENOENT: no
 * such set. IPSET_ERR_TYPE_MISMATCH: their elements are of different kinds.
 */
export function swapSets(one: string, other: string): Request {
  // IPSET_ATTR_SETNAME2 has the number of IPSET_ATTR_TYPENAME
  const body = setCommand.encode({ protocol, name: one, typeName: other })
  return request('swap set', `${one} and ${other}`, commands.swap, 0, body)
}

/** An element already there gets the given mark and is no error. ENOENT: no such set. */
export function addEntry(set: string, element: string, mark: number | null): Request {
  const data = parseElement(element)
  if (mark !== null) data.mark = (BigInt(mark >>> 0) << 32n) | 0xffffffffn
  const body = elementCommand.encode({ protocol, name: set, data })
  return request('add', `${element} to set ${set}`, commands.add, 0, body)
}

/** An element already gone is no error. ENOENT: no such set. */
export function deleteEntry(set: string, element: string): Request {
  const body = elementCommand.encode({ protocol, name: set, data: parseElement(element) })
  return request('delete', `${element} from set ${set}`, commands.delete, 0, body)
}

/** All sets of the namespace without their elements; for `dump`. */
export function listSets(): Query<SetReading> {
  const body = setCommand.encode({ protocol, flags: listHeader })
  return {
    ...request('list', 'sets', commands.list, flags.dump, body),
    decode(payload) {
      const { name, typeName, family, data } = setCommand.decode(payload.subarray(4))
      if (name === undefined || typeName === undefined) return null
      return {
        name,
        type: typeName,
        family: family === inet6 ? inet6 : inet,
        skbinfo: ((data?.flags ?? 0) & withSkbinfo) !== 0,
        references: data?.references ?? null,
        maximum: data?.maximum ?? null,
      }
    },
  }
}

/** Elements of one set, or of all sets; one value per message of the kernel. For `dump`. ENOENT: no such set. */
export function listEntries(set: string | null): Query<readonly Entry[]> {
  const body = setCommand.encode(set === null ? { protocol } : { protocol, name: set })
  return {
    ...request('list elements of', set === null ? 'all sets' : `set ${set}`, commands.list, flags.dump, body),
    decode(payload) {
      const { name = '', elements } = elementCommand.decode(payload.subarray(4))
      return (elements?.list ?? []).map(values => ({
        set: name,
        element: formatElement(values),
        mark: values.mark === undefined ? null : Number(values.mark >> 32n),
      }))
    },
  }
}

/** The attributes of any message of ipset, for traces. */
export function decodeEntryCommand(payload: Buffer): object {
  return elementCommand.decode(payload.subarray(4))
}
