/**
 * Virtual services and destinations of IPv4 are added or changed: the messages that come
 * by the ten thousand, written into ones that are there already (template.ts).
 */
import { writeIPv4 } from './attributes.js'
import { genericHeader, genericHeaderLength } from './generic.js'
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

/** A complete payload, and where in it the virtual service is named. */
function templateFor(key: ServiceKey, bytes: Buffer) {
  const inService = (type: number) => placeOf(bytes, genericHeaderLength, [service[0], type])
  return isFwmark(key)
    ? { bytes, fwmark: inService(serviceFields.fwmark[0]), protocol: 0, address: 0, port: 0 }
    : {
        bytes,
        fwmark: 0,
        protocol: inService(serviceFields.protocol[0]),
        address: inService(serviceFields.address[0]),
        port: inService(serviceFields.port[0]),
      }
}

type Template = ReturnType<typeof templateFor>

const anyFwmark: ServiceKey = { fwmark: 0, family: inet }
const anyAddress: ServiceKey = { protocol: 0, address: '0.0.0.0', port: 0 }

function destinationTemplateFor(key: ServiceKey) {
  const values = {
    service: serviceKeyValues(key),
    destination: destinationValues({ address: '0.0.0.0', port: 0, weight: 0 }),
  }
  const bytes = commandAttributes.encode(values, genericHeader(commands.newDest, genericVersion))
  const inDestination = (type: number) => placeOf(bytes, genericHeaderLength, [destination[0], type])
  return {
    service: templateFor(key, bytes),
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

/** Appends a template with another command and virtual service; returns where it begins. */
function append(out: Writer, template: Template, command: number, match: Match): number {
  const start = out.append(template.bytes)
  const { buffer, words } = out
  buffer[start] = command
  if ('fwmark' in match) words[(start + template.fwmark) >> 2] = match.fwmark
  else {
    words[(start + template.protocol) >> 2] = match.protocol
    writeIPv4(buffer, start + template.address, match.address)
    words[(start + template.port) >> 2] = portWord(match.port)
  }
  return start
}

/** Appends the payload that adds or changes a destination; lower threshold 0, forwarding method masquerade. */
export function writeDestination(
  out: Writer,
  verb: Verb,
  match: Match,
  { address, port, weight }: Destination,
  upperThreshold: number,
): void {
  const template = 'fwmark' in match ? destinationOfFwmark : destinationOfAddress
  const start = append(out, template.service, verb === 'add' ? commands.newDest : commands.setDest, match)
  const { buffer, words } = out
  writeIPv4(buffer, start + template.address, address)
  words[(start + template.port) >> 2] = portWord(port)
  words[(start + template.weight) >> 2] = weight
  words[(start + template.upperThreshold) >> 2] = upperThreshold
}

interface ServiceTemplates extends ServiceConfiguration {
  readonly ofFwmark: Template
  readonly ofAddress: Template
}

function serviceTemplatesFor({ scheduler, persistence }: ServiceConfiguration): ServiceTemplates {
  const of = (key: ServiceKey) => {
    const values = { service: serviceValues(key, { scheduler, persistence }) }
    return templateFor(
      key,
      commandAttributes.encode(values, genericHeader(commands.newService, genericVersion)),
    )
  }
  return { scheduler, persistence, ofFwmark: of(anyFwmark), ofAddress: of(anyAddress) }
}

/** Those of the virtual service before: mostly they are configured alike. */
let last = serviceTemplatesFor({ scheduler: 'rr', persistence: 0 })

/** Appends the payload that adds or changes a virtual service. */
export function writeService(
  out: Writer,
  verb: Verb,
  match: Match,
  configuration: { readonly scheduler: string; readonly persistence: number },
): void {
  if (configuration.scheduler !== last.scheduler || configuration.persistence !== last.persistence)
    last = serviceTemplatesFor(configuration)
  const template = 'fwmark' in match ? last.ofFwmark : last.ofAddress
  append(out, template, verb === 'add' ? commands.newService : commands.setService, match)
}
