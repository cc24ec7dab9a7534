/**
 * DNS over UDP and TCP on sockets that somebody else has opened. Knows messages as bytes
 * only: what to reply is the responder's business.
 */
import { createSocket, type Socket } from 'node:dgram'
import { createServer, type Server as TcpListener, type Socket as TcpSocket } from 'node:net'
import type { Transport } from './answer.js'
import { isIPv6 } from './names.js'
import { framed, Unframer } from './stream.js'

/** How a server hands on what came. */
export type Handle = (
  message: Buffer,
  caller: string,
  transport: Transport,
  reply: (response: Buffer) => void,
) => void

/** Connections at a time, of all clients together and of each. */
const mostConnections = 512
const mostEach = 32
/** Questions on one connection that may wait for their answers; others stay in the kernel meanwhile. */
const mostUnderWay = 64
/** A connection without a question for so long is closed, milliseconds. */
const idle = 10_000

export interface Server {
  /** Ends it, and what is under way. */
  close(): void
}

/** Serves a bound socket; `address` is what it is bound to. Resolves when questions are read. */
export async function serveUdp(descriptor: number, address: string, handle: Handle): Promise<Server> {
  const socket: Socket = createSocket({
    type: isIPv6(address) ? 'udp6' : 'udp4',
    // Clients have addresses and no names.
    lookup: (host, _options, done) => done(null, host, isIPv6(host) ? 6 : 4),
  })
  let isClosed = false
  socket.on('message', (message, { address: caller, port }) => {
    handle(message, caller, 'udp', response => {
      // Whether a client can still be reached is its own affair.
      if (!isClosed && port !== 0) socket.send(response, port, caller, () => {})
    })
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ fd: descriptor }, () => {
      socket.off('error', reject)
      resolve()
    })
  })
  socket.on('error', () => {}) // of a single datagram, as for a client that is gone
  return {
    close: () => {
      isClosed = true
      socket.close()
    },
  }
}

/** Serves a bound socket. Resolves when it listens. */
export async function serveTcp(descriptor: number, handle: Handle): Promise<Server> {
  const connections = new Map<TcpSocket, string>()
  // Clients may close their side behind the last question.
  const listener: TcpListener = createServer({ allowHalfOpen: true }, socket => {
    const caller = socket.remoteAddress ?? ''
    const others = [...connections.values()].filter(address => address === caller)
    if (others.length >= mostEach) {
      socket.destroy()
      return
    }
    connections.set(socket, caller)
    socket.on('close', () => connections.delete(socket))
    converse(socket, caller, handle)
  })
  listener.maxConnections = mostConnections
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen({ fd: descriptor }, () => {
      listener.off('error', reject)
      resolve()
    })
  })
  listener.on('error', () => {}) // of a single connection: EMFILE, ECONNABORTED
  return {
    close: () => {
      listener.close()
      for (const socket of connections.keys()) socket.destroy()
    },
  }
}

/** One client's connection: many questions, answered as the answers come. */
function converse(socket: TcpSocket, caller: string, handle: Handle): void {
  const unframer = new Unframer()
  const waiting: Buffer[] = []
  let underWay = 0
  let isEnded = false
  let isWorking = false
  const ask = (message: Buffer) => {
    let isReplied = false
    underWay++
    handle(message, caller, 'tcp', response => {
      if (isReplied) return
      isReplied = true
      underWay--
      if (socket.writable) socket.write(framed(response))
      work()
    })
  }
  const work = () => {
    if (isWorking) return // a reply that came at once
    isWorking = true
    while (underWay < mostUnderWay && waiting.length > 0) ask(waiting.shift()!)
    isWorking = false
    // Who does not read its answers is not asked for more questions.
    if (waiting.length > 0 || socket.writableNeedDrain) socket.pause()
    else socket.resume()
    if (isEnded && underWay === 0 && waiting.length === 0) socket.end()
  }
  socket.setNoDelay(true)
  socket.setTimeout(idle, () => socket.destroy())
  socket.on('error', () => {})
  socket.on('drain', work)
  socket.on('data', data => {
    const messages = unframer.put(data)
    // Shorter than a header: not DNS.
    if (messages.some(message => message.length < 12)) return socket.destroy()
    waiting.push(...messages)
    work()
  })
  socket.on('end', () => {
    isEnded = true
    work()
  })
}
