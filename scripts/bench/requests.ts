/**
 * A steady load of requests on some ports of one address, by requests.c: what became of each,
 * by port.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Failure, Served } from '../../test/helpers/clients.js'

/** What became of the requests to one port; times are of performance.now(). */
export interface Outcomes {
  /** By container: first 12 digits of its id. */
  readonly served: Map<string, Served>
  readonly failures: Failure[]
}

export interface RequestsOptions {
  /** Address of the client. */
  readonly from: string
  readonly to: string
  readonly ports: readonly number[]
  /** Requests a second to each port. */
  readonly rate: number
  /** Longest wait for an answer, seconds. */
  readonly patience: number
}

export class Requests {
  private readonly outcomes: ReadonlyMap<number, Outcomes>
  private readonly child: ChildProcessByStdio<null, Readable, null>
  private readonly ended: Promise<void>
  private rest = ''

  constructor({ from, to, ports, rate, patience }: RequestsOptions) {
    this.outcomes = new Map(ports.map(port => [port, { served: new Map(), failures: [] }]))
    const argv = [from, rate, patience, to, ...ports].map(String)
    this.child = spawn('.lab/requests', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout.setEncoding('latin1').on('data', (text: string) => this.take(text))
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', status => {
        if (status === 0) resolve()
        else reject(new Error(`requests ended with status ${status}`))
      })
    })
    this.ended.catch(() => {}) // told by stop()
  }

  of(port: number): Outcomes {
    return this.outcomes.get(port)!
  }

  /** Ends it once what is under way has ended. Rejects if it has failed. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM')
    await this.ended
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop()!
    for (const line of lines) {
      const [port, began, ended, word = ''] = line.split(' ')
      const at = {
        began: Number(began) - performance.timeOrigin,
        ended: Number(ended) - performance.timeOrigin,
      }
      const { served, failures } = this.of(Number(port))
      const known = served.get(word)
      if (word.startsWith('!')) failures.push({ ...at, code: word.slice(1) })
      else if (known) known.last = Math.max(known.last, at.began)
      else served.set(word, { first: at.ended, last: at.began })
    }
  }
}
