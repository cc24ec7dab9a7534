/**
 * One resolver that others run. Questions go out under numbers and from ports that nobody
 * can guess, on sockets that take answers from that address alone and hear at once when
 * nobody listens there.
 */
import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { Socket as TcpSocket } from 'node:net'
import { answers, type Query, withId } from './message.js'
import { isIPv6 } from './names.js'
import { framed, Unframer } from './stream.js'

export interface UpstreamAddress {
  readonly address: string
  readonly port: number
}

/** Sockets at a time, and questions on each before another, with another port, takes its place. */
const sockets = 16
const questionsEach = 128
/** Age at which a socket gets no more questions, milliseconds: the node's addresses may have changed. */
const oldAge = 30_000

interface Waiting {
  readonly query: Query
  readonly done: (response: Buffer | Error) => void
  readonly timer: NodeJS.Timeout
}

class Channel {
  private readonly ready: Promise<void>
  private readonly socket: Socket
  private readonly waiting = new Map<number, Waiting>()
  private readonly born = performance.now()
  private asked = 0
  /** Those that wait to be sent, too. */
  private underWay = 0
  private isRetired = false
  private isClosed = false
  private notReady: (error: Error) => void = () => {}

  constructor({ address, port }: UpstreamAddress) {
    this.socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    this.ready = new Promise((resolve, reject) => {
      this.notReady = reject
      // Called with an error too, whatever its type says.
      this.socket.connect(port, address, ((error?: Error) =>
        error ? reject(error) : resolve()) as () => void)
    })
    this.ready.catch(error => this.fail(error))
    this.socket.on('message', message => this.heard(message))
    this.socket.on('error', error => this.fail(error))
  }

  get isUsable(): boolean {
    return !this.isRetired && this.asked < questionsEach && performance.now() - this.born < oldAge
  }

  async ask(query: Query, timeout: number): Promise<Buffer> {
    this.asked++
    this.underWay++
    try {
      await this.ready
      return await this.exchange(query, timeout)
    } finally {
      this.underWay--
      this.closeIfOver()
    }
  }

  private exchange(query: Query, timeout: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let id = randomInt(0x1_0000)
      while (this.waiting.has(id)) id = randomInt(0x1_0000)
      const done = (result: Buffer | Error) => {
        clearTimeout(timer)
        this.waiting.delete(id)
        if (result instanceof Error) reject(result)
        else resolve(result)
      }
      const timer = setTimeout(() => {
        this.isRetired = true // it may be bound to an address that the node has no more
        done(new Error(`no answer within ${timeout} ms`))
      }, timeout)
      this.waiting.set(id, { query, done, timer })
      this.socket.send(withId(query.message, id), error => error && this.fail(error))
    })
  }

  /** Asks nothing more; what is under way may end. */
  retire(): void {
    this.isRetired = true
    this.closeIfOver()
  }

  private closeIfOver(): void {
    if (this.isRetired && this.underWay === 0) this.close()
  }

  private heard(message: Buffer): void {
    if (message.length < 2) return
    const id = message.readUInt16BE(0)
    const waiting = this.waiting.get(id)
    if (waiting && answers(message, waiting.query, id)) waiting.done(message)
  }

  close(): void {
    this.fail(new Error('closed'))
  }

  private fail(error: Error): void {
    if (this.isClosed) return
    this.isClosed = true
    this.isRetired = true
    this.socket.close()
    this.notReady(error)
    for (const { done } of [...this.waiting.values()]) done(error)
  }
}

export class Upstream {
  readonly address: string
  readonly port: number
  private channels: Channel[] = []
  private readonly connections = new Set<TcpSocket>()

  constructor({ address, port }: UpstreamAddress) {
    this.address = address
    this.port = port
  }

  /** Rejects after `timeout` milliseconds, or as soon as the kernel says that nobody is there. */
  askUdp(query: Query, timeout: number): Promise<Buffer> {
    const usable = this.channels.filter(channel => channel.isUsable)
    for (const channel of this.channels) if (!channel.isUsable) channel.retire()
    if (usable.length < sockets) usable.push(new Channel(this))
    this.channels = usable
    // The newest, as long as there are few; later any.
    const index = usable.length < sockets ? usable.length - 1 : randomInt(usable.length)
    return usable[index]!.ask(query, timeout)
  }

  /** On a connection of its own. Rejects likewise. */
  askTcp(query: Query, timeout: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const socket = new TcpSocket()
      this.connections.add(socket)
      const id = randomInt(0x1_0000)
      const end = (error: Error | null, response?: Buffer) => {
        clearTimeout(timer)
        this.connections.delete(socket)
        socket.destroy()
        if (response) resolve(response)
        else reject(error ?? new Error('closed without an answer'))
      }
      const timer = setTimeout(() => end(new Error(`no answer within ${timeout} ms`)), timeout)
      const unframer = new Unframer()
      socket.on('data', data => {
        for (const message of unframer.put(data)) if (answers(message, query, id)) end(null, message)
      })
      socket.on('error', error => end(error))
      socket.on('close', () => end(null))
      socket.connect(this.port, this.address, () => socket.write(framed(withId(query.message, id))))
    })
  }

  close(): void {
    for (const channel of this.channels) channel.close()
    this.channels = []
    for (const socket of this.connections) socket.destroy()
  }
}
