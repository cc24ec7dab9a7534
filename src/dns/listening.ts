/**
 * The servers' sockets in the sandbox: opened as soon as it has the address, and again when
 * somebody has made the sandbox anew.
 */
import { closeSync } from 'node:fs'
import { reasonOf } from '../errors.js'
import { namespaceIdentity, openSocket } from '../netlink/addon.js'
import { type Handle, type Server, serveTcp, serveUdp } from './server.js'

export interface ListeningOptions {
  readonly addresses: readonly string[]
  readonly port: number
  /** Path of the network namespace; null: our own. */
  readonly namespace: string | null
  readonly handle: Handle
  /** What stands in the way for longer than it should, or null when nothing does any more. */
  readonly onTrouble: (message: string | null) => void
  /** Each address once it is served. */
  readonly onServed: (address: string) => void
}

/** Between two tries to open a socket, milliseconds. */
const retry = 250
/** A new sandbox has no addresses for a moment: no trouble before so many milliseconds. */
const grace = 10_000

export class Listening {
  private readonly options: ListeningOptions
  private readonly servers = new Map<string, Server[]>()
  private identity = ''
  private failingSince: number | null = null
  private isTold = false
  private timer: NodeJS.Timeout | null = null
  private isTrying = false
  private isStopped = false

  constructor(options: ListeningOptions) {
    this.options = options
  }

  /**
   * Listens wherever it does not yet; to be called from time to time, for the sandbox may have been
   * made anew. Where it fails it tries again by itself. Resolves after the first try.
   */
  async look(): Promise<void> {
    if (this.isTrying || this.timer) return
    this.isTrying = true
    const failure = await this.tryAll()
    this.isTrying = false
    if (this.isStopped) return
    this.tell(failure)
    if (failure === null) return
    this.timer = setTimeout(() => {
      this.timer = null
      void this.look()
    }, retry)
  }

  stop(): void {
    this.isStopped = true
    if (this.timer) clearTimeout(this.timer)
    this.closeAll()
  }

  private closeAll(): void {
    for (const servers of this.servers.values()) for (const server of servers) server.close()
    this.servers.clear()
  }

  /** What went wrong last, or null. */
  private async tryAll(): Promise<string | null> {
    const { addresses, port, namespace, onServed } = this.options
    let failure: string | null = null
    try {
      const identity = namespaceIdentity(namespace)
      if (identity !== this.identity) this.closeAll()
      this.identity = identity
    } catch (error) {
      this.closeAll()
      return `the resolver cannot listen, there is no sandbox: ${reasonOf(error)}`
    }
    for (const address of addresses) {
      if (this.servers.has(address)) continue
      try {
        const servers = await this.serve(address)
        if (this.isStopped) for (const server of servers) server.close()
        else this.servers.set(address, servers)
        onServed(address)
      } catch (error) {
        failure = `the resolver cannot listen at ${address} port ${port}: ${reasonOf(error)}`
      }
    }
    return failure
  }

  private async serve(address: string): Promise<Server[]> {
    const { port, namespace, handle } = this.options
    const udp = openSocket('udp', address, port, namespace)
    let tcp: number
    try {
      tcp = openSocket('tcp', address, port, namespace)
    } catch (error) {
      closeSync(udp)
      throw error
    }
    return [await serveUdp(udp, address, handle), await serveTcp(tcp, handle)]
  }

  private tell(failure: string | null): void {
    if (failure === null) {
      this.failingSince = null
      if (this.isTold) this.options.onTrouble(null)
      this.isTold = false
      return
    }
    this.failingSince ??= performance.now()
    if (performance.now() - this.failingSince < grace) return
    this.isTold = true
    this.options.onTrouble(failure)
  }
}
