/**
 * A netlink connection: a socket that belongs to one namespace, over which batches
 * of requests and dumps are exchanged one after the other. Multicast events are
 * another matter: watch.ts.
 */
import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { MeshError, NetlinkError } from '../errors.js'
import { type AddonError, type ExchangeResult, exchange, isAddonError, openNetlink } from './addon.js'
import { type Acknowledgement, Batch, type ItemWriter } from './batch.js'
import { familyModule, getFamily } from './generic.js'
import {
  decodeAnswer,
  decodeMessages,
  flags,
  type Message,
  messageTypes,
  type Query,
  type Request,
} from './message.js'
import { failureOf, readValues, withoutSequences } from './replies.js'
import { traceReply, traceRequest, tracing } from './trace.js'

/** NETLINK_*, linux/netlink.h. */
const protocols = { route: 0, netfilter: 12, generic: 16 } as const
export type NetlinkProtocol = keyof typeof protocols

/**
 * Messages sent by all connections since the process began: those that may change
 * the kernel (`request`) and those that only read (`get`, `dump`). For tests and metrics.
 */
export const messagesSent = { changes: 0, queries: 0 }

/**
 * Most requests in one send: their error answers must fit the receive buffer together. Each send is the work of
 * another thread, and until that begins, and is heard of when it has ended, a hundred messages could be sent.
 */
const batchMessages = 1024
/** Most bytes in one send; below any socket's send buffer (net.core.wmem_default is 212992). */
const batchBytes = 128 * 1024
/** Most dumps in one go: their answers are in memory together. */
const batchDumps = 256
/** Milliseconds one exchange may take. The kernel answers at once; it may have to wait for its locks. */
const deadline = 30_000
/** A dump that changed while it was made is asked again so often. */
const dumpAttempts = 12
const interrupted = 4 // EINTR, errno.h
const noEntry = 2 // ENOENT
const noBuffers = 105 // ENOBUFS

/** For all connections: from a batch's beginning until it is sent nobody else has a turn. */
const outgoing = new Batch()

/** A batch that is being put together. */
interface Begun {
  readonly firstSequence: number
  /** Its requests; null when nobody traces them. */
  readonly traced: Request[] | null
}

interface Exchanged {
  readonly messages: readonly Message[]
  readonly result: ExchangeResult
  readonly firstSequence: number
}

/** Dumps that are being made. */
interface AskedDumps<T> extends Exchanged {
  readonly batch: readonly Query<T>[]
}

/** What dumps gave, in the order of the queries, and by what to know it again. */
export interface Dumped<T> {
  readonly answers: readonly (readonly T[])[]
  readonly bytes: Buffer
}

export class NetlinkConnection {
  readonly protocol: NetlinkProtocol
  readonly #descriptor: number
  readonly #families = new Map<string, number>()
  #sequence = 1
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #closed = false

  private constructor(protocol: NetlinkProtocol, descriptor: number) {
    this.protocol = protocol
    this.#descriptor = descriptor
  }

  /**
   * Opens a connection into the namespace at `namespacePath` (null: our own).
   * Throws NetlinkError; ENOENT or EINVAL when there is no namespace at that path.
   */
  static open(protocol: NetlinkProtocol, namespacePath: string | null): NetlinkConnection {
    try {
      return new NetlinkConnection(protocol, openNetlink(protocols[protocol], namespacePath))
    } catch (error) {
      if (!isAddonError(error)) throw error
      const { errno, code, syscall }: AddonError = error
      const subject = namespacePath === null ? `${protocol} socket` : `${protocol} socket in ${namespacePath}`
      throw new NetlinkError(`open (${syscall})`, subject, errno, code, null, { cause: error })
    }
  }

  /**
   * Sends the requests in order, many at once, and tells of each what came of it:
   * null, or the kernel's error. One failure does not stop those after it. When the
   * exchange itself fails (a deadline, lost answers), requests whose fate is unknown
   * get that error. Throws only MESH_UNSUPPORTED, for a generic family the kernel lacks.
   */
  async request(requests: readonly Request[]): Promise<(NetlinkError | null)[]> {
    const failures = await this.requestEach(requests, request => request)
    return requests.map((_, index) => failures.get(index) ?? null)
  }

  /**
   * The same for thousands, of which those that fail are told by their index: `toRequest` is called
   * for an item when its turn comes, and once more if its request fails; for an item of `writer`
   * only if its message fails.
   */
  async requestEach<T>(
    items: readonly T[],
    toRequest: (item: T) => Request,
    writer: ItemWriter<T> | null = null,
  ): Promise<Map<number, NetlinkError>> {
    return this.#exclusively(async () => {
      const failures = new Map<number, NetlinkError>()
      for (let start = 0; start < items.length; ) {
        await this.#typeOf(writer ? { type: writer.family } : toRequest(items[start] as T))
        start = await this.#send(items, toRequest, writer, start, failures)
      }
      return failures
    })
  }

  /** Sends what fits into one batch, from `start` on; returns the index after it. */
  async #send<T>(
    items: readonly T[],
    toRequest: (item: T) => Request,
    writer: ItemWriter<T> | null,
    start: number,
    failures: Map<number, NetlinkError>,
  ): Promise<number> {
    const requestAt = (index: number) => toRequest(items[index] as T)
    const begun = this.#begin()
    // A trace tells of requests.
    const type = writer && !begun.traced ? this.#families.get(writer.family) : undefined
    let end = start
    while (end < items.length && end - start < batchMessages && outgoing.length <= batchBytes) {
      const item = items[end] as T
      const isWritten = type !== undefined && outgoing.addItem(item, writer!, type)
      if (!isWritten) {
        const request = requestAt(end)
        // A family whose number is not known yet begins the next batch.
        if (this.#knownType(request) === undefined) break
        this.#add(request, begun)
      }
      end++
    }
    this.#sequence = (begun.firstSequence + end - start) >>> 0
    const { messages, result, firstSequence } = await this.#exchange(begun, 'last', false)
    messagesSent.changes += end - start
    // No word of a request means success, provided that the last one's answer came.
    if (result.errno !== 0)
      for (let index = start; index < end; index++)
        failures.set(index, failureOf(requestAt(index), result.errno, `no answer, ${result.syscall} failed`))
    for (const message of messages) {
      if (message.type !== messageTypes.error) continue
      const index = start + ((message.sequence - firstSequence) >>> 0)
      if (index >= end) continue
      const { errno, kernelMessage } = decodeAnswer(message)
      if (errno === 0) failures.delete(index)
      else failures.set(index, failureOf(requestAt(index), errno, kernelMessage))
    }
    return end
  }

  /** Asks for something single and returns the decoded answers. Throws NetlinkError. */
  async get<T>(query: Query<T>): Promise<T[]> {
    return this.#exclusively(() => this.#get(query))
  }

  async #get<T>(query: Query<T>): Promise<T[]> {
    await this.#typeOf(query)
    messagesSent.queries++
    const { messages, result } = await this.#exchange(this.#begin([query]), 'last', false)
    const values = readValues(query, messages)
    if (result.errno !== 0) throw failureOf(query, result.errno, `${result.syscall} failed`)
    return values
  }

  /** Asks for all objects of a kind; none is []. A dump that was interrupted is made again. Throws NetlinkError. */
  async dump<T>(query: Query<T>): Promise<T[]> {
    const [values] = await this.dumpAll([query])
    return values ?? []
  }

  /** Several dumps in a row, in one go; answers in the order of the queries. Throws NetlinkError. */
  async dumpAll<T>(queries: readonly Query<T>[]): Promise<T[][]> {
    return this.#exclusively(async () => {
      const answers: T[][] = new Array(queries.length)
      let open = queries.map((_, index) => index)
      for (let attempt = 1; open.length > 0; attempt++) {
        const again: number[] = []
        for (let start = 0; start < open.length; start += batchDumps) {
          const part = open.slice(start, start + batchDumps)
          again.push(...this.#readDumps(await this.#askDumps(queries, part), part, answers))
        }
        open = again
        const first = queries[open[0] ?? -1]
        if (!first) break
        if (attempt >= dumpAttempts)
          throw failureOf(first, interrupted, 'the dump was interrupted every time')
        if (attempt > 2) await sleep(attempt * 5)
      }
      return answers
    })
  }

  /**
   * Several dumps that were made before and mostly say the same: where the kernel answers with the same
   * bytes, `before` is what is returned, and nothing is decoded. 256 of them at most. Throws NetlinkError.
   */
  async dumpAgain<T>(queries: readonly Query<T>[], before: Dumped<T> | null): Promise<Dumped<T>> {
    const answers: T[][] = new Array(queries.length)
    const all = queries.map((_, index) => index)
    const dumped = await this.#exclusively(async () => {
      const batch = await this.#askDumps(queries, all)
      const bytes = withoutSequences(batch.result.replies)
      if (batch.result.errno === 0 && before?.bytes.equals(bytes)) return before
      return this.#readDumps(batch, all, answers).length === 0 ? { bytes, answers } : null
    })
    // One that was interrupted is not to be compared with.
    return dumped ?? { bytes: Buffer.alloc(0), answers: await this.dumpAll(queries) }
  }

  async #askDumps<T>(queries: readonly Query<T>[], part: readonly number[]): Promise<AskedDumps<T>> {
    const batch = part.map(index => {
      const query = queries[index] as Query<T>
      return { ...query, flags: query.flags | flags.dump }
    })
    for (const query of batch) if (this.#knownType(query) === undefined) await this.#typeOf(query)
    messagesSent.queries += batch.length
    return { batch, ...(await this.#exchange(this.#begin(batch), 'none', true)) }
  }

  /** Fills `answers` at the indices of `part`; returns those that have to be asked again. */
  #readDumps<T>(
    { batch, messages, result, firstSequence }: AskedDumps<T>,
    part: readonly number[],
    answers: T[][],
  ): number[] {
    const bySequence = new Map<number, Message[]>()
    for (const message of messages) {
      const list = bySequence.get(message.sequence)
      if (list) list.push(message)
      else bySequence.set(message.sequence, [message])
    }
    const again: number[] = []
    part.forEach((index, position) => {
      const query = batch[position] as Query<T>
      const own = bySequence.get((firstSequence + position) >>> 0) ?? []
      const ended = own.some(({ type }) => type === messageTypes.done || type === messageTypes.error)
      const values = readValues(query, own, error => error.errno === interrupted || error.errno === noBuffers)
      if (!ended && result.errno !== 0 && result.errno !== noBuffers)
        throw failureOf(query, result.errno, `${result.syscall} failed`)
      if (!ended || values === null || own.some(message => message.flags & flags.dumpInterrupted))
        again.push(index)
      else answers[index] = values
    })
    return again
  }

  /** Closes the socket, after what is under way. Harmless when it is closed. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#waiting === 0) closeSync(this.#descriptor)
  }

  /** One exchange at a time: the socket's answers belong to whoever asked last. */
  async #exclusively<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new MeshError('MESH_INTERNAL', 'the netlink connection is closed')
    this.#waiting++
    const result = this.#tail.then(run)
    this.#tail = result.catch(() => undefined)
    try {
      return await result
    } finally {
      this.#waiting--
      if (this.#closed && this.#waiting === 0) closeSync(this.#descriptor)
    }
  }

  /** Begins a batch, with these requests. */
  #begin(requests: readonly Request[] = []): Begun {
    const begun = { firstSequence: this.#sequence, traced: tracing() ? [] : null }
    outgoing.begin(begun.firstSequence)
    for (const request of requests) this.#add(request, begun)
    return begun
  }

  /** Adds a request, of a type that is known, to the batch. */
  #add(request: Request, { traced }: Begun): void {
    const type = this.#knownType(request) as number
    outgoing.add(request, type)
    traced?.push(request)
    if (traced) traceRequest(this.protocol, this.#sequence, request, type)
    this.#sequence = (this.#sequence + 1) >>> 0
  }

  /** Sends the batch and collects the answers. */
  async #exchange(
    { firstSequence, traced }: Begun,
    acknowledgement: Acknowledgement,
    oneByOne: boolean,
  ): Promise<Exchanged> {
    // The addon copies the bytes before it returns its promise.
    const result = await exchange(this.#descriptor, outgoing.end(acknowledgement), oneByOne, deadline)
    const messages = decodeMessages(result.replies)
    if (traced)
      for (const message of messages)
        traceReply(this.protocol, message, traced[(message.sequence - firstSequence) >>> 0])
    return { messages, result, firstSequence }
  }

  #knownType({ type }: Pick<Request, 'type'>): number | undefined {
    return typeof type === 'number' ? type : this.#families.get(type)
  }

  /** nlmsg_type of a request; from now on it is a known one. Throws MESH_UNSUPPORTED. */
  async #typeOf(request: Pick<Request, 'type'>): Promise<number> {
    const known = this.#knownType(request)
    if (known !== undefined) return known
    const family = String(request.type)
    const id = await this.#lookUp(family)
    this.#families.set(family, id)
    return id
  }

  async #lookUp(family: string): Promise<number> {
    let cause: unknown = null
    try {
      const [answer] = await this.#get(getFamily(family))
      if (answer?.id !== undefined) return answer.id
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== noEntry) throw error
      cause = error
    }
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `this kernel has no ${family}: load it (modprobe ${familyModule(family)}) or use a kernel that has it`,
      { cause },
    )
  }
}
