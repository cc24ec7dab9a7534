/**
 * What the kernel has answered: values, errors, and the bytes by which an answer is known again.
 */
import { NetlinkError } from '../errors.js'
import { errnoName } from './errno.js'
import {
  align,
  decodeAnswer,
  headerLength,
  type Message,
  messageTypes,
  type Query,
  type Request,
} from './message.js'

/** Answers without what is another number each time; the messages themselves are read by now. */
export function withoutSequences(replies: Buffer): Buffer {
  for (let at = 0; at + headerLength <= replies.length; ) {
    const length = replies.readUInt32LE(at)
    if (length < headerLength) break
    replies.writeUInt32LE(0, at + 8) // nlmsg_seq
    at += align(length)
  }
  return replies
}

export function failureOf(request: Request, errno: number, kernelMessage: string | null): NetlinkError {
  return new NetlinkError(request.operation, request.subject, errno, errnoName(errno), kernelMessage)
}

/**
 * Decodes the data among the answers to a query. An error among them is thrown, or
 * gives null when `passing` says that it will pass.
 */
export function readValues<T>(query: Query<T>, messages: readonly Message[]): T[]
export function readValues<T>(
  query: Query<T>,
  messages: readonly Message[],
  passing: (error: NetlinkError) => boolean,
): T[] | null
export function readValues<T>(
  query: Query<T>,
  messages: readonly Message[],
  passing?: (error: NetlinkError) => boolean,
): T[] | null {
  const values: T[] = []
  for (const message of messages) {
    if (message.type === messageTypes.error || message.type === messageTypes.done) {
      const { errno, kernelMessage } = decodeAnswer(message)
      if (errno === 0) continue
      const error = failureOf(query, errno, kernelMessage)
      if (passing?.(error)) return null
      throw error
    }
    if (message.type < 16) continue // NLMSG_MIN_TYPE: control messages
    const value = query.decode(message.payload, message.type)
    if (value !== null) values.push(value)
  }
  return values
}
