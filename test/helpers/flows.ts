/**
 * Clients that hold on to what they have: one TCP connection asked again and again,
 * and a sender of datagrams from one port that never pauses.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createConnection, type Socket } from 'node:net'
import { type Answer, parseAnswer } from './clients.js'

/** One connection to `web`. */
export class KeptConnection {
  /** Why it ended: `end`, or the error's code. */
  readonly ended: Promise<string>
  private received = ''
  private onData: () => void = () => {}

  private constructor(private readonly socket: Socket) {
    this.ended = new Promise(resolve => {
      socket.on('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
      socket.on('close', () => resolve('end'))
    })
    socket.setEncoding('utf8').on('data', text => {
      this.received += text
      this.onData()
    })
  }

  static open(address: string, port: number): Promise<KeptConnection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: address, port, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new KeptConnection(socket))
      })
    })
  }

  /** One request; rejects when the connection ends first or nothing comes in `seconds`. */
  async ask(path = '/', seconds = 3): Promise<Answer> {
    this.received = ''
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`)
    let timer: NodeJS.Timeout | undefined
    const answer = new Promise<Answer>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${seconds} s`)), seconds * 1000)
      this.onData = () => {
        const [, body = ''] = this.received.split('\r\n\r\n')
        if (body.endsWith('\n')) resolve(parseAnswer(body))
      }
    })
    const end = this.ended.then(why => Promise.reject(new Error(why)))
    return Promise.race([answer, end]).finally(() => clearTimeout(timer))
  }

  close(): void {
    this.socket.destroy()
  }
}

export interface Datagram {
  /** When it was answered, performance.now(). */
  readonly at: number
  readonly answer: Answer
}

/** Sends a datagram every 50 ms from one port, and keeps the answers. */
export class UdpFlow {
  readonly answers: Datagram[] = []
  sent = 0
  private readonly socket: UdpSocket = createSocket('udp4')
  private timer: NodeJS.Timeout | undefined

  constructor(address: string, port: number) {
    // Connected, so that it keeps its port; a refusal is no reason to pause.
    this.socket.on('error', () => {})
    this.socket.on('message', data => {
      this.answers.push({ at: performance.now(), answer: parseAnswer(data.toString()) })
    })
    this.socket.connect(port, address, () => {
      this.timer = setInterval(() => {
        this.sent++
        this.socket.send('x', () => {})
      }, 50)
    })
  }

  /** The last container that answered. */
  get container(): string | undefined {
    return this.answers.at(-1)?.answer.container
  }

  stop(): void {
    clearInterval(this.timer)
    this.socket.close()
  }
}
