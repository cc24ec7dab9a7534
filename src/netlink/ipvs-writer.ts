/**
 * Virtual services and destinations of IPv4 are added or changed: the messages that come
 * by the ten thousand, written into ones that are there already (template.ts).
 */
import { wordOfIPv4 } from './attributes.js'
import { genericHeaderLength } from './generic.js'
import { inet } from './ip.js'
import {
  commandAttributes,
  commands,
  destinationAttributes,
  genericVersion,
  serviceAttributes,
} from './ipvs-attributes.js'
import {
  type AddressKey,
  destinationValues,
  isFwmark,
  type ServiceConfiguration,
  type ServiceKey,
  serviceKeyValues,
  serviceValues,
} from './ipvs-words.js'
import { headerLength } from './message.js'
import { placeOf } from './template.js'
import type { Writer } from './writer.js'

export type Verb = 'add' | 'update'

/** What a virtual service of IPv4 is matched by. */
export type Match = { readonly fwmark: number } | AddressKey

interface Destination {
  readonly address: string
  readonly port: number
  readonly weight: number
}

const { service, destination } = commandAttributes.fields
const serviceFields = serviceAttributes.fields
const destinationFields = destinationAttributes.fields

/** Words of 32 bits in front of the attributes: nlmsghdr and genlmsghdr. */
const headerWords = (headerLength + genericHeaderLength) / 4

/** A complete message but for its header, and in which words of it the virtual service is named. */
function templateFor(key: ServiceKey, values: Parameters<typeof commandAttributes.encode>[0]) {
  const bytes = commandAttributes.encode(values, Buffer.alloc(headerWords * 4))
  const wordOf = (path: readonly number[]) => placeOf(bytes, headerWords * 4, path) >> 2
  const inService = (type: number) => wordOf([service[0], type])
  const named = isFwmark(key)
    ? { fwmark: inService(serviceFields.fwmark[0]), protocol: 0, address: 0, port: 0 }
    : {
        fwmark: 0,
        protocol: inService(serviceFields.protocol[0]),
        address: inService(serviceFields.address[0]),
        port: inService(serviceFields.port[0]),
      }
  return { bytes, wordOf, ...named }
}

type Template = Omit<ReturnType<typeof templateFor>, 'wordOf'>

const anyFwmark: ServiceKey = { fwmark: 0, family: inet }
const anyAddress: ServiceKey = { protocol: 0, address: '0.0.0.0', port: 0 }

function destinationTemplateFor(key: ServiceKey) {
  const { wordOf, ...template } = templateFor(key, {
    service: serviceKeyValues(key),
    destination: destinationValues({ address: '0.0.0.0', port: 0, weight: 0 }),
  })
  const inDestination = (type: number) => wordOf([destination[0], type])
  return {
    service: template,
    address: inDestination(destinationFields.address[0]),
    port: inDestination(destinationFields.port[0]),
    weight: inDestination(destinationFields.weight[0]),
    upperThreshold: inDestination(destinationFields.upperThreshold[0]),
  }
}

const destinationOfFwmark = destinationTemplateFor(anyFwmark)
const destinationOfAddress = destinationTemplateFor(anyAddress)

/** Bytes of a port in network order, as a number in host order. */
function portWord(port: number): number {
  return ((port & 0xff) << 8) | (port >> 8)
}

/** struct genlmsghdr in host order: command and version. */
function commandWord(command: number): number {
  return command | (genericVersion << 8)
}

/** Appends a template with a command and a virtual service; returns its first word, null for one of IPv6. */
function append(out: Writer, template: Template, command: number, match: Match): number | null {
  const address = 'fwmark' in match ? 0 : wordOfIPv4(match.address)
  if (address === null) return null
  const at = out.append(template.bytes) >> 2
  const { words } = out
  words[at + headerWords - 1] = commandWord(command)
  if ('fwmark' in match) words[at + template.fwmark] = match.fwmark
  else {
    words[at + template.protocol] = match.protocol
    words[at + template.address] = address
    words[at + template.port] = portWord(match.port)
  }
  return at
}

/**
 * Appends the message that adds or changes a destination; lower threshold 0, forwarding method
 * masquerade. false for one of IPv6, of which nothing is appended.
 */
export function writeDestination(
  out: Writer,
  verb: Verb,
  match: Match,
  { address, port, weight }: Destination,
  upperThreshold: number,
): boolean {
  const word = wordOfIPv4(address)
  if (word === null) return false
  const template = 'fwmark' in match ? destinationOfFwmark : destinationOfAddress
  const at = append(out, template.service, verb === 'add' ? commands.newDest : commands.setDest, match)
  if (at === null) return false
  const { words } = out
  words[at + template.address] = word
  words[at + template.port] = portWord(port)
  words[at + template.weight] = weight
  words[at + template.upperThreshold] = upperThreshold
  return true
}

interface ServiceTemplates extends ServiceConfiguration {
  readonly ofFwmark: Template
  readonly ofAddress: Template
}

function serviceTemplatesFor({ scheduler, persistence }: ServiceConfiguration): ServiceTemplates {
  const of = (key: ServiceKey) =>
    templateFor(key, { service: serviceValues(key, { scheduler, persistence }) })
  return { scheduler, persistence, ofFwmark: of(anyFwmark), ofAddress: of(anyAddress) }
}

/** Those of the virtual service before: mostly they are configured alike. */
let last = serviceTemplatesFor({ scheduler: 'rr', persistence: 0 })

/** Appends the message that adds or changes a virtual service. false for one of IPv6, of which nothing is appended. */
export function writeService(
  out: Writer,
  verb: Verb,
  match: Match,
  configuration: { readonly scheduler: string; readonly persistence: number },
): boolean {
  if (configuration.scheduler !== last.scheduler || configuration.persistence !== last.persistence)
    last = serviceTemplatesFor(configuration)
  const template = 'fwmark' in match ? last.ofFwmark : last.ofAddress
  return append(out, template, verb === 'add' ? commands.newService : commands.setService, match) !== null
}
