/**
 * Clients of the test server `web` (scripts/image/web.c): they tell which container
 * answered and which client address it saw. Bound to the namespace they run in.
 */
import { createSocket } from 'node:dgram'
import { Agent, get } from 'node:http'

/** What the server says of one request. */
export interface Answer {
  /** Host name of the container: the first 12 digits of its id, unless set. */
  readonly container: string
  /** Client address and port it saw. */
  readonly client: string
  readonly clientPort: number
  /** Port it was reached on. */
  readonly port: number
}

export function parseAnswer(line: string): Answer {
  const [, container, client, clientPort, port] = /^(\S+) ([\d.]+):(\d+) (\d+)$/.exec(line.trim()) ?? []
  if (container === undefined || client === undefined) throw new Error(`no answer of web: ${line}`)
  return { container, client, clientPort: Number(clientPort), port: Number(port) }
}

export interface AskOptions {
  /** Seconds; default 3. */
  readonly timeout?: number
  readonly localAddress?: string
  readonly localPort?: number
  /** Keeps connections; without one each request has its own. */
  readonly agent?: Agent
}

/** One HTTP request; rejects with the socket's error (`code` ECONNREFUSED, …) or code ETIMEDOUT. */
export function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const { timeout = 3, localAddress, localPort, agent } = options
  return new Promise((resolve, reject) => {
    const call = get(url, { agent: agent ?? false, localAddress, localPort }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', part => {
        text += part
      })
      answer.on('error', reject)
      answer.on('end', () => {
        clearTimeout(timer)
        try {
          resolve(parseAnswer(text))
        } catch (error) {
          reject(error)
        }
      })
    })
    const late = Object.assign(new Error(`${url}: no answer within ${timeout} s`), { code: 'ETIMEDOUT' })
    const timer = setTimeout(() => call.destroy(late), timeout * 1000)
    call.on('error', error => {
      clearTimeout(timer)
      reject(error)
    })
  })
}

/** One datagram and its answer; rejects with code ETIMEDOUT when none comes. */
export function askUdp(address: string, port: number, options: AskOptions = {}): Promise<Answer> {
  const { timeout = 3, localAddress, localPort } = options
  const socket = createSocket('udp4')
  return new Promise<Answer>((resolve, reject) => {
    const late = Object.assign(new Error(`udp ${address}:${port}: no answer within ${timeout} s`), {
      code: 'ETIMEDOUT',
    })
    const timer = setTimeout(() => reject(late), timeout * 1000)
    socket.on('error', reject)
    socket.on('message', data => {
      clearTimeout(timer)
      resolve(parseAnswer(data.toString()))
    })
    // Connected, so that an ICMP refusal comes back as an error; and answers from elsewhere don't count.
    socket.bind(localPort ?? 0, localAddress, () => {
      socket.connect(port, address, () => socket.send('x'))
    })
  }).finally(() => socket.close())
}

/** What became of one second of a load. */
export interface Second {
  ok: number
  /** By error code. */
  readonly failed: Map<string, number>
}

export interface LoadReport {
  readonly ok: number
  readonly failed: number
  /** Failures by error code. */
  readonly codes: ReadonlyMap<string, number>
  /** Answers by container, and by client address that the container saw. */
  readonly containers: ReadonlyMap<string, number>
  /** By container. */
  readonly served: ReadonlyMap<string, Served>
  readonly clients: ReadonlyMap<string, number>
  /** By the second in which the request began. */
  readonly seconds: readonly Second[]
  /** Each failure, in the order in which they came. */
  readonly failures: readonly Failure[]
  /** Longest answer, ms. */
  readonly slowest: number
}

/** When a container served, performance.now(). */
export interface Served {
  /** When its first answer was there. */
  readonly first: number
  /** When the last request began that it has answered. */
  last: number
}

export interface Failure {
  /** When the request began and when it failed, performance.now(). */
  readonly began: number
  readonly ended: number
  readonly code: string
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

/** A steady load on some URLs in turn. */
export class Load {
  private readonly containers = new Map<string, number>()
  readonly served = new Map<string, Served>()
  private readonly clients = new Map<string, number>()
  private readonly codes = new Map<string, number>()
  private readonly failures: Failure[] = []
  private readonly seconds: Second[] = []
  private readonly begun = performance.now()
  private readonly underWay = new Set<Promise<void>>()
  private readonly agent: Agent | undefined
  private readonly timer: NodeJS.Timeout
  private slowest = 0
  private sent = 0

  /** `rate`: requests a second. `keep`: on so many kept connections, instead of one for each request. */
  constructor(
    private readonly urls: readonly string[],
    rate: number,
    private readonly options: AskOptions & { readonly keep?: number } = {},
  ) {
    this.agent = options.keep ? new Agent({ keepAlive: true, maxSockets: options.keep }) : options.agent
    this.timer = setInterval(() => {
      // Timers are coarse; what is due by now is sent now, so that the rate holds.
      while (this.sent < ((performance.now() - this.begun) / 1000) * rate) this.send()
    }, 5)
  }

  private send(): void {
    const url = this.urls[this.sent++ % this.urls.length]!
    const started = performance.now()
    const at = Math.floor((started - this.begun) / 1000)
    while (this.seconds.length <= at) this.seconds.push({ ok: 0, failed: new Map() })
    const second = this.seconds[at]!
    const request = ask(url, { ...this.options, agent: this.agent }).then(
      answer => {
        second.ok++
        count(this.containers, answer.container)
        const served = this.served.get(answer.container)
        if (!served) this.served.set(answer.container, { first: performance.now(), last: started })
        else served.last = Math.max(served.last, started)
        count(this.clients, answer.client)
        this.slowest = Math.max(this.slowest, performance.now() - started)
      },
      error => {
        const code = error.code ?? error.message
        count(second.failed, code)
        count(this.codes, code)
        this.failures.push({ began: started, ended: performance.now(), code })
      },
    )
    this.underWay.add(request)
    request.finally(() => this.underWay.delete(request))
  }

  /** When the last request that failed so far began, performance.now(); null: none did. */
  get lastFailureBegan(): number | null {
    return this.failures.length === 0 ? null : Math.max(...this.failures.map(({ began }) => began))
  }

  /** Ends it once what is under way has ended. */
  async stop(): Promise<LoadReport> {
    clearInterval(this.timer)
    await Promise.all(this.underWay)
    if (this.options.keep) this.agent?.destroy()
    const { containers, served, clients, codes, seconds, failures, slowest } = this
    const ok = seconds.reduce((sum, second) => sum + second.ok, 0)
    const failed = [...codes.values()].reduce((sum, number) => sum + number, 0)
    return { ok, failed, codes, containers, served, clients, seconds, failures, slowest }
  }
}
