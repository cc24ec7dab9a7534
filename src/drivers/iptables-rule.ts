/**
 * One iptables rule as text: brings what a person or an older or newer iptables
 * wrote into the one form that `iptables-save` 1.8 prints, so that rules compare
 * by `===`. Pure. Only the options of the matches and targets the mesh uses are
 * known; anything else passes through word by word.
 */
import { formatOption, type Option, splitWords, toOptions } from './iptables-words.js'

/** Options of the packet itself, in the order in which iptables-save prints them. */
const basicOrder = ['-s', '-d', '-i', '-o', '-p', '-f']

const protocolNames: Readonly<Record<string, string>> = {
  '1': 'icmp',
  '6': 'tcp',
  '17': 'udp',
  '58': 'ipv6-icmp',
  icmpv6: 'ipv6-icmp',
  '132': 'sctp',
}
const icmpTypes: Readonly<Record<string, string>> = {
  'echo-reply': '0',
  'destination-unreachable': '3',
  'echo-request': '8',
  'time-exceeded': '11',
}
/** In the order of the bits, in which the conntrack and state matches print them. */
const connectionStates = ['INVALID', 'NEW', 'RELATED', 'ESTABLISHED', 'UNTRACKED', 'SNAT', 'DNAT']
const everyBit = 0xffffffff

/** Options of one match in the order in which it prints them; those not listed keep their place behind. */
const matchOrder = [
  '--sport',
  '--dport',
  '--tcp-option',
  '--tcp-flags',
  '--src-type',
  '--dst-type',
  '--ctstate',
  '--ctproto',
  '--ctorigsrc',
  '--ctorigdst',
  '--ctreplsrc',
  '--ctrepldst',
  '--ctorigsrcport',
  '--ctorigdstport',
  '--ctreplsrcport',
  '--ctrepldstport',
  '--ctstatus',
  '--ctexpire',
  '--ctdir',
]

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`
}

/** `10.0.0.1` → `10.0.0.1/32`, `10.0.0.0/255.0.0.0` → `10.0.0.0/8`, `fd4d::1` → `fd4d::1/128`. */
function normaliseNetwork(text: string): string {
  const [address = '', mask = text.includes(':') ? '128' : '32'] = text.split('/')
  if (!mask.includes('.')) return `${address}/${mask}`
  const bits = mask
    .split('.')
    .reduce((sum, octet) => sum + Number(octet).toString(2).replace(/0/g, '').length, 0)
  return `${address}/${bits}`
}

/** `74424` → `0x122b8`; a mask that leaves every bit is not printed. */
function normaliseMark(text: string): string {
  const [value, mask] = text.split('/')
  return mask === undefined || Number(mask) === everyBit
    ? hex(Number(value))
    : `${hex(Number(value))}/${hex(Number(mask))}`
}

/** All ways of setting a mark are one to the kernel: value and mask of the bits that change. */
function normaliseSetMark(option: Option): Option {
  const [valueText = '0', maskText] = (option.values[0] ?? '0').split('/')
  const value = Number(valueText)
  let mask = maskText === undefined ? everyBit : Number(maskText)
  let set = value
  if (option.name === '--set-mark') mask = (mask | value) >>> 0
  else if (option.name === '--or-mark') mask = value
  else if (option.name === '--and-mark') [set, mask] = [0, ~value]
  else if (option.name === '--xor-mark') mask = 0
  return { name: '--set-xmark', negated: false, values: [`${hex(set)}/${hex(mask)}`] }
}

function normaliseStates(text: string): string {
  const states = text.toUpperCase().split(',')
  return states.sort((a, b) => connectionStates.indexOf(a) - connectionStates.indexOf(b)).join(',')
}

function normaliseOption(option: Option): Option {
  const value = option.values[0] ?? ''
  switch (option.name) {
    case '-s':
    case '-d':
      return { ...option, values: [normaliseNetwork(value)] }
    case '-p':
      return { ...option, values: [protocolNames[value] ?? value.toLowerCase()] }
    case '--mark':
      return { ...option, values: [normaliseMark(value)] }
    case '--set-mark':
    case '--set-xmark':
    case '--or-mark':
    case '--and-mark':
    case '--xor-mark':
      return normaliseSetMark(option)
    case '--nfmask':
    case '--ctmask':
      return { ...option, values: [hex(Number(value))] }
    case '--ctstate':
    case '--state':
      return { ...option, values: [normaliseStates(value)] }
    case '--icmp-type':
      return { ...option, values: [icmpTypes[value] ?? value] }
    default:
      return option
  }
}

const portOptions = new Set([
  '--sport',
  '--dport',
  '--tcp-flags',
  '--syn',
  '--tcp-option',
  '--icmp-type',
  '--chunk-types',
])

/** `-p tcp --dport 80` → `-p tcp -m tcp --dport 80`: the match that save prints though nobody typed it. */
function addProtocolMatch(options: readonly Option[]): Option[] {
  const protocol = options.find(option => option.name === '-p' && !option.negated)?.values[0]
  const result: Option[] = []
  let match: string | null = null
  for (const option of options) {
    if (option.name === '-m') match = option.values[0] ?? null
    else if (protocol && match !== protocol && match !== 'multiport' && portOptions.has(option.name)) {
      result.push({ name: '-m', negated: false, values: [protocol] })
      match = protocol
    }
    result.push(option)
  }
  return result
}

/** `-m conntrack` may be typed twice with one option each; a match `-m tcp` without options says nothing. */
function dropEmptyProtocolMatch(options: readonly Option[]): Option[] {
  return options.filter((option, i) => {
    if (option.name !== '-m' || !['tcp', 'udp', 'sctp', 'icmp'].includes(option.values[0] ?? '')) return true
    const next = options[i + 1]
    return next !== undefined && portOptions.has(next.name)
  })
}

/** What save adds to a target that was given without its defaults. */
function addTargetDefaults(options: readonly Option[]): Option[] {
  const has = (name: string) => options.some(option => option.name === name)
  const target = options.find(option => option.name === '-j')?.values[0]
  const extra: Option[] = []
  if (target === 'REJECT' && !has('--reject-with'))
    extra.push({ name: '--reject-with', negated: false, values: ['icmp-port-unreachable'] })
  if (target === 'CONNMARK' && (has('--save-mark') || has('--restore-mark')))
    for (const name of ['--nfmask', '--ctmask'])
      if (!has(name)) extra.push({ name, negated: false, values: [hex(everyBit)] })
  return [...options, ...extra]
}

/**
 * A rule (without `-A CHAIN`) in the form iptables-save prints. Idempotent; text
 * that is in that form already comes back unchanged.
 */
export function normaliseRule(text: string): string {
  const options = addTargetDefaults(
    addProtocolMatch(dropEmptyProtocolMatch(toOptions(splitWords(text)).map(normaliseOption))),
  )
  const basic = options.filter(option => basicOrder.includes(option.name))
  basic.sort((a, b) => basicOrder.indexOf(a.name) - basicOrder.indexOf(b.name))
  const others = options.filter(option => !basicOrder.includes(option.name))
  return [...basic, ...sortMatches(others)].map(formatOption).join(' ')
}

/** Sorts the options within each match; the matches themselves stand in the order in which they are tried. */
function sortMatches(options: readonly Option[]): Option[] {
  const rank = ({ name }: Option) => (matchOrder.indexOf(name) + 1 || matchOrder.length + 1) - 1
  const result: Option[] = []
  let section: Option[] = []
  const close = () => {
    result.push(...section.sort((a, b) => rank(a) - rank(b)))
    section = []
  }
  for (const option of options)
    if (option.name === '-m' || option.name === '-j' || option.name === '-g') {
      close()
      result.push(option)
    } else section.push(option)
  close()
  return result
}

/** Splits a normalised rule into its match part and the chain it jumps to (`-j`; null where it does not). */
export function splitTarget(rule: string): { match: string; target: string | null } {
  const found = /(?:^| )-j (\S+)$/.exec(rule)
  return found ? { match: rule.slice(0, found.index), target: found[1]! } : { match: rule, target: null }
}
