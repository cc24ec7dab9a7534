/**
 * A TCP proxy that a test can shut: what passes between a client and a server is cut
 * off (connections refused and reset) or held back (nothing arrives, nothing is said).
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export class Gate {
  readonly #server: Server
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #state: 'open' | 'cut' | 'held' = 'open'
  port = 0

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer({ pauseOnConnect: true }, socket => this.#pass(socket))
  }

  /** In front of a server on the loopback; ended with the test. */
  static async before(t: Test, endpoint: string): Promise<Gate> {
    const gate = new Gate(Number(new URL(endpoint).port))
    await new Promise<void>(resolve => gate.#server.listen(0, '127.0.0.1', resolve))
    gate.port = (gate.#server.address() as { port: number }).port
    t.teardown(() => {
      gate.cut()
      gate.#server.close()
    })
    return gate
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** From now on every connection is reset. */
  cut(): void {
    this.#state = 'cut'
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** From now on connections are taken, and nothing passes. */
  hold(): void {
    this.#state = 'held'
    for (const socket of this.#sockets) socket.pause()
  }

  open(): void {
    this.#state = 'open'
    for (const socket of this.#sockets) socket.resume()
  }

  #pass(socket: Socket): void {
    if (this.#state === 'cut') {
      socket.resetAndDestroy()
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    for (const [from, to] of [
      [socket, server],
      [server, socket],
    ] as const) {
      this.#sockets.add(from)
      from.on('data', data => to.write(data))
      from.on('end', () => to.end())
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    if (this.#state === 'open') socket.resume()
    else server.pause()
  }
}
