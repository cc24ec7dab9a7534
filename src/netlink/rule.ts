/**
 * Policy rules of both families over rtnetlink. Builders return requests for a batch; nothing here
 * touches a socket.
 */
import * as rt from 'netlink/dist/rt/structs.js'
import { parsePrefix } from './address.js'
import { attributes, i32, portRange, string, u8, u32, type Values } from './attributes.js'
import { anyAddress, ip, isInternet } from './ip.js'
import { flags, numberOf, type Query, type Request } from './message.js'

const { NEWRULE, DELRULE, GETRULE } = rt.MessageType
const everyFamily = 0 // AF_UNSPEC
const anyTable = 0 // RT_TABLE_UNSPEC: the attribute says which

/** FRA_*, linux/fib_rules.h. */
const ruleAttributes = attributes({
  destination: [1, ip], // FRA_DST
  source: [2, ip], // FRA_SRC
  inputLink: [3, string], // FRA_IIFNAME
  goto: [4, u32], // FRA_GOTO
  priority: [6, u32], // FRA_PRIORITY
  fwmark: [10, u32], // FRA_FWMARK
  suppressPrefixLength: [14, i32], // FRA_SUPPRESS_PREFIXLEN   -1: no suppression
  table: [15, u32], // FRA_TABLE
  fwmask: [16, u32], // FRA_FWMASK
  outputLink: [17, string], // FRA_OIFNAME
  protocol: [21, u8], // FRA_PROTOCOL   Linux 4.17
  ipProtocol: [22, u8], // FRA_IP_PROTO   Linux 4.17
  sourcePorts: [23, portRange], // FRA_SPORT_RANGE   Linux 4.17
})

export interface RuleConfiguration {
  readonly priority: number
  /** `10.254.0.5/32`; `0.0.0.0/0` or `::/0`: from all. */
  readonly source: string
  /** `10.254.0.0/16`; null or missing: to all. */
  readonly destination?: string | null
  /** 0 in a rule with `goto`. */
  readonly table: number
  /** Priority of the rule to go on with, larger than this one's; null or missing: it looks up `table`. */
  readonly goto?: number | null
  /** FRA_PROTOCOL, 0–255. */
  readonly protocol: number
  /** null or missing: any. */
  readonly fwmark?: number | null
  /** Bits of the mark that are compared; null or missing: all, where a mark is given. */
  readonly fwmask?: number | null
  /** Name of the link a packet came in by. */
  readonly inputLink?: string | null
  /** Only packets of this protocol, IPPROTO_*: 17 udp. */
  readonly ipProtocol?: number | null
  /** Only packets from these ports; needs `ipProtocol`. */
  readonly sourcePorts?: { readonly first: number; readonly last: number } | null
  /** Routes of the table with a prefix of at most this length do not count; 0: its default route. */
  readonly suppressPrefixLength?: number | null
}

export interface RuleReading extends Required<RuleConfiguration> {
  /** Whether it is a plain `lookup TABLE`, and not `goto`, `blackhole`, … or inverted. */
  readonly lookup: boolean
}

/** FR_ACT_*, linux/fib_rules.h. */
const toTable = 1 // FR_ACT_TO_TBL
const toRule = 2 // FR_ACT_GOTO

/** Policy rules, of both families in one answer; for `dump`. */
export function listRules(): Query<RuleReading> {
  return {
    operation: 'list',
    subject: 'rules',
    type: GETRULE,
    flags: flags.dump,
    payload: rt.formatRule({ family: everyFamily }),
    decode: decodeRule,
  }
}

/** null for what is no rule of IPv4 or IPv6. */
export function decodeRule(payload: Buffer): RuleReading | null {
  if (payload.length < rt.__LENGTH_Rule) return null
  const header = rt.parseRule(payload.subarray(0, rt.__LENGTH_Rule))
  if (!isInternet(header.family)) return null
  const values = ruleAttributes.decode(payload.subarray(rt.__LENGTH_Rule))
  return {
    priority: values.priority ?? 0,
    source: `${values.source ?? anyAddress(header.family)}/${header.srcLen ?? 0}`,
    destination: values.destination === undefined ? null : `${values.destination}/${header.dstLen ?? 0}`,
    table: values.table ?? header.table ?? 0,
    goto: values.goto ?? null,
    protocol: values.protocol ?? 0,
    fwmark: values.fwmark ?? (values.fwmask === undefined ? null : 0), // a mark of 0 is not told
    fwmask: values.fwmask ?? null,
    inputLink: values.inputLink ?? null,
    ipProtocol: values.ipProtocol ?? null,
    sourcePorts: values.sourcePorts ?? null,
    suppressPrefixLength:
      values.suppressPrefixLength === undefined || values.suppressPrefixLength < 0
        ? null
        : values.suppressPrefixLength,
    lookup: numberOf(rt.RuleAction, header.action) === toTable && !header.flags?.invert,
  }
}

function ruleRequest(verb: string, type: number, bits: number, rule: RuleConfiguration): Request {
  const { family, address, length } = parsePrefix(rule.source)
  const destination = rule.destination ? parsePrefix(rule.destination) : null
  const header = rt.formatRule({
    family,
    srcLen: length,
    dstLen: destination?.length ?? 0,
    table: rule.table < 256 ? rule.table : anyTable,
    action: typeof rule.goto === 'number' ? toRule : toTable,
  })
  const values: Values<typeof ruleAttributes.fields> = {
    priority: rule.priority,
    table: rule.table,
    protocol: rule.protocol,
  }
  if (typeof rule.goto === 'number') values.goto = rule.goto
  if (length > 0) values.source = address
  if (destination) values.destination = destination.address
  if (typeof rule.fwmark === 'number') values.fwmark = rule.fwmark
  if (typeof rule.fwmask === 'number') values.fwmask = rule.fwmask
  if (typeof rule.inputLink === 'string') values.inputLink = rule.inputLink
  if (typeof rule.ipProtocol === 'number') values.ipProtocol = rule.ipProtocol
  if (rule.sourcePorts) values.sourcePorts = rule.sourcePorts
  if (typeof rule.suppressPrefixLength === 'number') values.suppressPrefixLength = rule.suppressPrefixLength
  return {
    operation: `${verb} rule`,
    subject: `${rule.priority} from ${length > 0 ? rule.source : 'all'} ${rule.destination ? `to ${rule.destination} ` : ''}${typeof rule.goto === 'number' ? `goto ${rule.goto}` : `lookup ${rule.table}`}`,
    type,
    flags: bits,
    payload: ruleAttributes.encode(values, header),
  }
}

/** EEXIST: the same rule is there. */
export function addRule(rule: RuleConfiguration): Request {
  return ruleRequest('add', NEWRULE, flags.create | flags.exclusive, rule)
}

/** ENOENT: gone already. */
export function deleteRule(rule: RuleConfiguration): Request {
  return ruleRequest('delete', DELRULE, 0, rule)
}
