/**
 * A destination of IPv4 is added or changed: the request that comes by the ten thousand,
 * written into a message that is there already (template.ts).
 */
import { writeIPv4 } from './attributes.js'
import { genericHeader, genericHeaderLength } from './generic.js'
import { inet } from './ip.js'
import {
  commandAttributes,
  commands,
  destinationAttributes,
  genericFamily,
  genericVersion,
  serviceAttributes,
} from './ipvs-attributes.js'
import {
  type DestinationConfiguration,
  describeService,
  destinationValues,
  forwardingMethods,
  isFwmark,
  type ServiceKey,
  serviceKeyValues,
} from './ipvs-words.js'
import type { Request } from './message.js'
import { placeOf } from './template.js'
import { Writer } from './writer.js'

/** A complete message about a destination of a virtual service; see placeOf. */
function templateFor(key: ServiceKey) {
  const bytes = commandAttributes.encode(
    {
      service: serviceKeyValues(key),
      destination: destinationValues({ address: '0.0.0.0', port: 0, weight: 0 }),
    },
    genericHeader(commands.newDest, genericVersion),
  )
  const { service, destination } = commandAttributes.fields
  const inService = (type: number) => placeOf(bytes, genericHeaderLength, [service[0], type])
  const inDestination = (type: number) => placeOf(bytes, genericHeaderLength, [destination[0], type])
  const fields = destinationAttributes.fields
  return {
    bytes,
    inService,
    address: inDestination(fields.address[0]),
    port: inDestination(fields.port[0]),
    forwardingMethod: inDestination(fields.forwardingMethod[0]),
    weight: inDestination(fields.weight[0]),
    upperThreshold: inDestination(fields.upperThreshold[0]),
    lowerThreshold: inDestination(fields.lowerThreshold[0]),
  }
}

const ofFwmark = templateFor({ fwmark: 0, family: inet })
const fwmarkPlace = ofFwmark.inService(serviceAttributes.fields.fwmark[0])
const ofAddress = templateFor({ protocol: 0, address: '0.0.0.0', port: 0 })
const addressPlaces = {
  protocol: ofAddress.inService(serviceAttributes.fields.protocol[0]),
  address: ofAddress.inService(serviceAttributes.fields.address[0]),
  port: ofAddress.inService(serviceAttributes.fields.port[0]),
}

export class DestinationRequest implements Request {
  readonly type = genericFamily
  readonly flags = 0
  constructor(
    readonly operation: string,
    private readonly command: number,
    private readonly service: ServiceKey,
    private readonly destination: DestinationConfiguration,
  ) {}

  get subject(): string {
    return `${this.destination.address}:${this.destination.port} of ${describeService(this.service)}`
  }

  get payload(): Buffer {
    const out = new Writer()
    this.writeTo(out)
    return out.take()
  }

  writeTo(out: Writer): void {
    const { service } = this
    const template = isFwmark(service) ? ofFwmark : ofAddress
    const start = out.append(template.bytes)
    const { buffer } = out
    buffer[start] = this.command
    if (isFwmark(service)) buffer.writeUInt32LE(service.fwmark, start + fwmarkPlace)
    else {
      buffer.writeUInt16LE(service.protocol, start + addressPlaces.protocol)
      writeIPv4(buffer, start + addressPlaces.address, service.address)
      buffer.writeUInt16BE(service.port, start + addressPlaces.port)
    }
    const { address, port, weight, upperThreshold = 0, lowerThreshold = 0 } = this.destination
    const method = forwardingMethods.indexOf(this.destination.forwardingMethod ?? 'masquerade')
    writeIPv4(buffer, start + template.address, address)
    buffer.writeUInt16BE(port, start + template.port)
    buffer.writeUInt32LE(method, start + template.forwardingMethod)
    buffer.writeUInt32LE(weight, start + template.weight)
    buffer.writeUInt32LE(upperThreshold, start + template.upperThreshold)
    buffer.writeUInt32LE(lowerThreshold, start + template.lowerThreshold)
  }
}
