/**
 * MESH_TRACE=netlink: every message in both directions, decoded, on stderr.
 */
import { inspect } from 'node:util'
import * as rt from 'netlink/dist/rt/structs.js'
import { errnoName } from './errno.js'
import { genericHeaderLength } from './generic.js'
import { decodeEntryCommand } from './ipset.js'
import { commandAttributes } from './ipvs-attributes.js'
import { decodeAnswer, type Message, messageTypes, type Request } from './message.js'

/** Whether the environment asks for netlink traces; `MESH_TRACE` is a comma-separated list. */
export function tracing(): boolean {
  return (process.env.MESH_TRACE ?? '').split(',').includes('netlink')
}

function show(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: Number.POSITIVE_INFINITY, compact: true })
}

/** What a payload says, as far as it can be read. */
function decodePayload(protocol: string, family: string, type: number, payload: Buffer): string {
  try {
    if (protocol === 'route') {
      const { data, attrs } = rt.parseMessage(type, payload) as { data: object; attrs: object }
      return `${rt.MessageType[type]} ${show({ ...data, ...attrs })}`
    }
    if (family === 'IPVS')
      return `IPVS command ${payload[0]} ${show(commandAttributes.decode(payload, genericHeaderLength))}`
    if (protocol === 'netfilter' && type >> 8 === 6)
      return `ipset command ${type & 0xff} ${show(decodeEntryCommand(payload))}`
  } catch {
    // bytes it is, then
  }
  return `type ${type} ${payload.toString('hex')}`
}

function print(line: string): void {
  process.stderr.write(`netlink ${line}\n`)
}

export function traceRequest(protocol: string, sequence: number, request: Request, type: number): void {
  const family = typeof request.type === 'string' ? request.type : ''
  const text = decodePayload(protocol, family, type, Buffer.from(request.payload))
  print(
    `→ ${protocol} #${sequence} ${request.operation} ${request.subject}: ${text} flags 0x${request.flags.toString(16)}`,
  )
}

export function traceReply(protocol: string, message: Message, request: Request | undefined): void {
  if (message.type === messageTypes.error || message.type === messageTypes.done) {
    const { errno, kernelMessage } = decodeAnswer(message)
    const word = message.type === messageTypes.done ? 'done' : errno === 0 ? 'ok' : errnoName(errno)
    print(`← ${protocol} #${message.sequence} ${word}${kernelMessage ? ` (${kernelMessage})` : ''}`)
    return
  }
  const family = typeof request?.type === 'string' ? request.type : ''
  print(
    `← ${protocol} #${message.sequence} ${decodePayload(protocol, family, message.type, message.payload)}`,
  )
}
