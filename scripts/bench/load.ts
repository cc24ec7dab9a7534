/**
 * Traffic in short bursts, from whatever namespace: programs of our own for connections and
 * requests (connections.c) and datagrams (datagrams.c), iperf3 for bulk. Every burst tells what
 * it moved and what the whole kernel spent on it, soft interrupts included, since a path's work
 * is done by nobody's process.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runInNamespace } from '../../src/netlink/addon.js'
import { waitFor } from '../../test/helpers/wait.js'
import { Rounds } from './rounds.js'

/** Figures of one burst by name. */
export type Figures = Readonly<Record<string, number>>

/** Connections at a time of `connections` and `requests`. */
const clients = 16
/** datagrams.c and connections.c, compiled by main.ts. */
export const counter = resolve('.lab/datagrams')
export const opener = resolve('.lab/connections')

/** Processor time of the whole machine so far, seconds. */
function processor(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'latin1')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(ticks => Number(ticks) / 100) // USER_HZ, asm-generic/param.h
  return user + nice + system + irq + softirq
}

/** Until the machine has had little to do for a second; 30 s at most. */
export async function idleMachine(): Promise<void> {
  for (let second = 0; second < 30; second++) {
    const before = processor()
    await sleep(1000)
    if (processor() - before < 0.2) return
  }
}

/** Until a server of `connections` answers there. */
export async function answered(from: string, { address, small }: Asked): Promise<void> {
  const argv = [opener, 'open', address, String(small), '0.01', '1']
  const asks = () => runInNamespace(from, () => spawnSync(argv[0]!, argv.slice(1))).status === 0
  await waitFor(asks, `an answer of ${address}:${small}`, 30)
}

interface Burst {
  readonly output: string
  /** Seconds of processor time. */
  readonly busy: number
}

function burst(from: string, program: string, args: readonly string[]): Burst {
  const before = processor()
  const { status, stdout, stderr, error } = runInNamespace(from, () =>
    spawnSync(program, args, { encoding: 'utf8', timeout: 60_000, maxBuffer: 1e8 }),
  )
  const busy = processor() - before
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error ?? (stderr || stdout.slice(-1000))}`)
  return { output: stdout, busy }
}

/** Where small requests are answered. */
export interface Asked {
  readonly address: string
  /** Port of connections.c. */
  readonly small: number
}

function ask(from: string, how: 'open' | 'ask', { address, small }: Asked, seconds: number): Figures {
  const args = [how, address, String(small), String(seconds), String(clients)]
  const { output, busy } = burst(from, opener, args)
  const [count = 0, failed = 0, took = 0, median = 0, p99 = 0] = output.split(' ').map(Number)
  if (failed > count / 1000) throw new Error(`${address}:${small}: ${failed} of ${count + failed} failed`)
  /** `cpu`: microseconds of processor time for one. */
  return { rate: count / took, count, median, p99, cpu: (busy / count) * 1e6 }
}

/** A new connection for each request; times in microseconds. */
export function connections(from: string, asked: Asked, seconds: number): Figures {
  return ask(from, 'open', asked, seconds)
}

/** Requests on connections that are kept; times in microseconds. */
export function requests(from: string, asked: Asked, seconds: number): Figures {
  return ask(from, 'ask', asked, seconds)
}

/** The answer of an iperf3 client, which is tried again while the server still clears up after another. */
async function iperf3(from: string, args: readonly string[]): Promise<Burst> {
  for (let attempt = 1; ; attempt++) {
    try {
      return burst(from, 'iperf3', [...args, '--json'])
    } catch (error) {
      if (attempt === 5 || !String(error).includes('busy')) throw error
      await sleep(200)
    }
  }
}

interface Streams {
  readonly streams: number
  readonly seconds: number
}

/** As much as will go, from the client to the server; Gbit/s. */
export async function bulk(
  from: string,
  address: string,
  port: number,
  { streams, seconds }: Streams,
): Promise<Figures> {
  const args = ['-c', address, '-p', String(port), '-P', String(streams), '-t', String(seconds)]
  const { output, busy } = await iperf3(from, args)
  const { bytes, bits_per_second } = (JSON.parse(output) as BulkReport).end.sum_received
  return { rate: bits_per_second / 1e9, cpu: busy / (bytes / 1e9) }
}

interface BulkReport {
  readonly end: { readonly sum_received: { readonly bytes: number; readonly bits_per_second: number } }
}

/** Small datagrams as fast as the client can send; those that arrive in a second. */
export function datagrams(from: string, address: string, port: number, seconds: number): Figures {
  const { output, busy } = burst(from, counter, ['send', address, String(port), String(seconds)])
  const [sent = 0, arrived = 0, took = 0] = output.split(' ').map(Number)
  return { rate: arrived / took, lost: (100 * (sent - arrived)) / sent, cpu: (busy / arrived) * 1e6 }
}

/** One sample for each round, by whose it is and what it says. */
export class Series {
  private readonly rounds = new Rounds()

  add(whose: string, figures: Figures): void {
    for (const [name, value] of Object.entries(figures)) this.rounds.add(`${whose}\n${name}`, value)
  }

  of(whose: string, figure: string): readonly number[] {
    return this.rounds.of(`${whose}\n${figure}`)
  }
}

/** Measures each in turn, round after round. */
export async function inTurn<Path extends { readonly name: string }>(
  paths: readonly Path[],
  rounds: number,
  measure: (path: Path) => Figures | Promise<Figures>,
): Promise<Series> {
  const series = new Series()
  for (let round = 0; round < rounds; round++)
    for (const path of paths) series.add(path.name, await measure(path))
  return series
}
