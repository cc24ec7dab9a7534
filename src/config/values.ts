/**
 * How the values of settings are read from text. Each schema's message is
 * `problem; remedy`, which config.ts puts after the field's name and value.
 */
import { isIP } from 'node:net'
import { Address4, Address6 } from 'ip-address'
import { z } from 'zod'
import { InputError } from '../errors.js'
import type { ReservedPort } from '../model/conflicts.js'
import { type PortRange, parsePortSpec, plainIPv6 } from '../model/ports.js'

export function wholeNumber(least: number, most: number, unit: string) {
  const remedy = `give a whole number ${unit && `of ${unit} `}from ${least} to ${most}`
  return z
    .string()
    .regex(/^\d{1,10}$/, `not a whole number; ${remedy}`)
    .transform(Number)
    .refine(value => value >= least && value <= most, `outside ${least}–${most}; ${remedy}`)
}

export const nodeName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/, 'not a name; use letters, digits, "_", "." and "-"')

/** The problem of a thrown InputError without its field and value, which config.ts knows better. */
function read<Output>(parse: (text: string) => Output) {
  return z.string().transform((text, context) => {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      context.addIssue({ code: 'custom', message: `${error.problem}; ${error.remedy}` })
      return z.NEVER
    }
  })
}

export const range = read<PortRange>(text => {
  const { published } = parsePortSpec(`${text}:${text}`)
  if (!published) throw new InputError('port-range', text, 'empty', 'write FIRST-LAST, as in 30000-32767')
  return published
})

/** `9000/tcp,9001-9003/udp`: each port by itself. */
export const ports = read<readonly ReservedPort[]>(text =>
  text
    .split(',')
    .filter(item => item.trim() !== '')
    .flatMap(item => {
      const [number, ...rest] = item.trim().split('/')
      const { protocol, target } = parsePortSpec(
        `${number}:${number}${rest.map(part => `/${part}`).join('')}`,
      )
      const length = target.last - target.first + 1
      return Array.from({ length }, (_, index) => ({
        protocol,
        port: target.first + index,
        purpose: 'other uses (setting reserved-ports)',
      }))
    }),
)

/** A domain of DNS in lower case, without a dot at the end. */
export const domain = z.string().transform((text, context) => {
  const plain = text.toLowerCase().replace(/\.$/, '')
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
  const isName = plain.length <= 100 && plain.split('.').every(each => label.test(each))
  if (isName && !['local', 'localhost', 'arpa'].includes(plain.split('.').at(-1) ?? '')) return plain
  const problem = isName ? 'taken by others' : 'not a domain'
  context.addIssue({ code: 'custom', message: `${problem}; write one that you use nowhere else, as in mesh` })
  return z.NEVER
})

/** `10.0.0.1,10.0.0.2:5353,fd00::1,[fd00::2]:5353`; '' is null. */
export const upstreams = z.string().transform((text, context) => {
  const items = text.split(',').flatMap(item => item.trim() || [])
  const parsed = items.map(item => {
    const match = /^\[(.+)\](?::(\d{1,5}))?$/.exec(item) ?? /^([\d.]+)(?::(\d{1,5}))?$/.exec(item)
    const address = match?.[1] ?? item
    const port = Number(match?.[2] ?? 53)
    return isIP(address) !== 0 && port >= 1 && port <= 65535 ? { address, port } : item
  })
  const wrong = parsed.find(each => typeof each === 'string')
  const list = parsed.filter(each => typeof each !== 'string')
  if (wrong === undefined) return list.length === 0 ? null : list
  const remedy = 'write ADDRESS or ADDRESS:PORT, as in 10.0.0.1 or [fd00::1]:5353'
  context.addIssue({ code: 'custom', message: `"${wrong}" is no address; ${remedy}` })
  return z.NEVER
})

/** `127.0.0.1:9378`; `off` is null. */
export const socketAddress = z.string().transform((text, context) => {
  if (text === 'off') return null
  const match = /^(.+):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match?.[1] && Address4.isValid(match[1]) && port >= 1 && port <= 65535)
    return { address: match[1], port }
  context.addIssue({
    code: 'custom',
    message: 'not an address and a port; write ADDRESS:PORT, as in 127.0.0.1:9378, or off',
  })
  return z.NEVER
})

/** Whether other machines cannot reach anybody there: loopback, link-local, multicast, broadcast or no address at all. */
function isOfOneLink(address: string): boolean {
  return /^(fe[89ab]|ff|::1?$|0\.|127\.|169\.254\.|(22[4-9]|23\d|2[45]\d)\.)/.test(address)
}

/** An address of one machine, in its plain form; '' is null. */
export const nodeAddress = z.string().transform((text, context) => {
  if (text === '') return null
  const address = isIP(text) === 6 ? plainIPv6(text) : isIP(text) === 4 ? text : null
  if (address !== null && !isOfOneLink(address)) return address
  const problem = address === null ? 'not an address' : 'not an address that is good beyond one link'
  context.addIssue({ code: 'custom', message: `${problem}; write one, as in 10.0.0.1 or fd00::1` })
  return z.NEVER
})

/** An IPv4 subnet in its plain form, `10.254.0.0/16`. */
export const pool = z.string().transform((text, context) => {
  const form = 'write an IPv4 subnet, as in 10.254.0.0/16'
  const problem = (message: string) => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!/^[\d.]+\/\d+$/.test(text) || !Address4.isValid(text)) return problem(`not a subnet; ${form}`)
  const subnet = new Address4(text)
  const plain = `${subnet.startAddress().correctForm()}/${subnet.subnetMask}`
  if (plain !== text) return problem(`not where a subnet begins; write ${plain}`)
  if (subnet.subnetMask < 8 || subnet.subnetMask > 28)
    return problem('too large or too small; choose a prefix from /8 to /28')
  const first = Number(text.split('.')[0])
  if (first === 0 || first === 127 || first >= 224)
    return problem('not usable for machines; choose a private one, as in 10.254.0.0/16')
  return text
})

/** An IPv6 subnet in its plain form, with room for all of IPv4: `fd4d:6573:68::/96`. */
export const pool6 = z.string().transform((text, context) => {
  const form = 'write an IPv6 subnet, as in fd4d:6573:68::/96'
  const problem = (message: string) => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!/^[\da-f:]+\/\d+$/i.test(text) || !Address6.isValid(text)) return problem(`not a subnet; ${form}`)
  const subnet = new Address6(text)
  const plain = `${subnet.startAddress().correctForm()}/${subnet.subnetMask}`
  if (plain !== text) return problem(`not where a subnet begins; write ${plain}`)
  if (subnet.subnetMask < 16 || subnet.subnetMask > 96)
    return problem('too large or too small; choose a prefix from /16 to /96')
  if (subnet.isLinkLocal() || subnet.isMulticast() || subnet.startAddress().bigInt() >> 125n === 0n)
    return problem('not usable for machines; choose a private one, as in fd4d:6573:68::/96')
  return text
})

/** Where VIPs come from; `none` is null. */
export const vipPool = z.string().transform((text, context) => {
  if (text === 'none') return null
  const parsed = pool.safeParse(text)
  if (parsed.success) return parsed.data
  const message = parsed.error.issues[0]?.message ?? ''
  context.addIssue({ code: 'custom', message: `${message}, or none` })
  return z.NEVER
})
