/**
 * Connection tracking over nfnetlink: finding and deleting flows of both families, so
 * that an endpoint that died leaves no UDP flow behind. IPVS keeps connections of its own,
 * which are not these.
 */
import { attributes, u8, u16be, u32be, type Values } from './attributes.js'
import { familyOf, inet6, ip } from './ip.js'
import { flags, type Query, type Request } from './message.js'

const subsystem = 1 // NFNL_SUBSYS_CTNETLINK, linux/netfilter/nfnetlink.h
const everyFamily = 0 // AF_UNSPEC
/** IPCTNL_MSG_CT_*, linux/netfilter/nfnetlink_conntrack.h. */
const commands = { get: 1, delete: 2, getStats: 5 } as const

/** CTA_IP_*, linux/netfilter/nfnetlink_conntrack.h; a tuple has two of them. */
const addressAttributes = attributes({
  source: [1, ip], // CTA_IP_V4_SRC
  destination: [2, ip], // CTA_IP_V4_DST
  source6: [3, ip], // CTA_IP_V6_SRC
  destination6: [4, ip], // CTA_IP_V6_DST
})

/** CTA_TUPLE_* and CTA_PROTO_*, linux/netfilter/nfnetlink_conntrack.h. */
const tupleAttributes = attributes({
  ip: [1, addressAttributes], // CTA_TUPLE_IP
  transport: [
    2, // CTA_TUPLE_PROTO
    attributes({
      protocol: [1, u8], // CTA_PROTO_NUM
      sourcePort: [2, u16be], // CTA_PROTO_SRC_PORT
      destinationPort: [3, u16be], // CTA_PROTO_DST_PORT
    }),
  ],
  zone: [3, u16be], // CTA_TUPLE_ZONE   when only this direction has one
})

/** CTA_*, linux/netfilter/nfnetlink_conntrack.h. */
const flowAttributes = attributes({
  original: [1, tupleAttributes], // CTA_TUPLE_ORIG
  reply: [2, tupleAttributes], // CTA_TUPLE_REPLY
  mark: [8, u32be], // CTA_MARK
  id: [12, u32be], // CTA_ID
  zone: [18, u16be], // CTA_ZONE
})

type TupleValues = Values<typeof tupleAttributes.fields>

export interface Tuple {
  readonly source: string
  readonly sourcePort: number
  readonly destination: string
  readonly destinationPort: number
}

export interface Flow {
  /** IPPROTO_*: 6 tcp, 17 udp, 132 sctp. */
  readonly protocol: number
  readonly original: Tuple
  readonly reply: Tuple
  readonly mark: number
  readonly id: number
  readonly zone: number | null
  /** Zone of the original direction alone. */
  readonly originalZone: number | null
}

function tupleOf(values: TupleValues | undefined): Tuple {
  return {
    source: values?.ip?.source ?? values?.ip?.source6 ?? '0.0.0.0',
    sourcePort: values?.transport?.sourcePort ?? 0,
    destination: values?.ip?.destination ?? values?.ip?.destination6 ?? '0.0.0.0',
    destinationPort: values?.transport?.destinationPort ?? 0,
  }
}

function request(
  operation: string,
  subject: string,
  command: number,
  body: Uint8Array,
  family: number = everyFamily,
): Request {
  const payload = Buffer.alloc(4 + body.length) // struct nfgenmsg: family, version 0, res_id 0
  payload[0] = family
  payload.set(body, 4)
  return { operation, subject, type: (subsystem << 8) | command, flags: 0, payload }
}

/** Flows of a protocol, or of all (null), of both families in one answer; for `dump`. */
export function listFlows(wanted: number | null = null): Query<Flow> {
  return {
    ...request('list', 'flows', commands.get, Buffer.alloc(0)),
    flags: flags.dump,
    decode(payload) {
      const values = flowAttributes.decode(payload.subarray(4))
      if (!values.original?.ip?.source && !values.original?.ip?.source6) return null
      const protocol = values.original.transport?.protocol ?? 0
      if (wanted !== null && protocol !== wanted) return null
      return {
        protocol,
        original: tupleOf(values.original),
        reply: tupleOf(values.reply),
        mark: values.mark ?? 0,
        id: values.id ?? 0,
        zone: values.zone ?? null,
        originalZone: values.original.zone ?? null,
      }
    },
  }
}

/** ENOENT: gone already. */
export function deleteFlow(flow: Flow): Request {
  const { original, protocol, originalZone } = flow
  const family = familyOf(original.source)
  const body = flowAttributes.encode({
    original: {
      ip:
        family === inet6
          ? { source6: original.source, destination6: original.destination }
          : { source: original.source, destination: original.destination },
      transport: { protocol, sourcePort: original.sourcePort, destinationPort: original.destinationPort },
      zone: originalZone ?? undefined,
    },
    // The tuple might belong to another flow by now; the id does not.
    id: flow.id,
    zone: flow.zone ?? undefined,
  })
  const subject = `${original.source}:${original.sourcePort} → ${original.destination}:${original.destinationPort}`
  return request('delete flow', subject, commands.delete, body, family)
}

const statsAttributes = attributes({ entries: [1, u32be] }) // CTA_STATS_GLOBAL_ENTRIES

/** Number of flows tracked in the namespace, of all families; for `get`. */
export function countFlows(): Query<number> {
  return {
    ...request('count', 'flows', commands.getStats, Buffer.alloc(0)),
    decode: payload => statsAttributes.decode(payload.subarray(4)).entries ?? 0,
  }
}
