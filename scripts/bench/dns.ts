/**
 * The resolver of the mesh beside dnsmasq: the same names, the same client (dnsperf), in
 * turn, on loopback. Each has one thread to answer with.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Resolver } from '../../src/dns/resolver.js'
import { DnsClient, named, OtherResolver, query, silent } from '../../test/helpers/dns.js'
import { waitFor } from '../../test/helpers/wait.js'
import type { Options } from './parts.js'
import { quantile, type Row, ratios, type Section } from './report.js'

const services = 1000
const pending = 2000
/** Queries a second at which answers are timed: far from what either is capable of. */
const pace = 2000
const ports = { mesh: 5301, dnsmasq: 5302 }
type Server = keyof typeof ports

const names = Array.from({ length: services }, (_, i) => ({
  name: `s${i}`,
  address: `10.253.${(i >> 8) + 1}.${i & 255}`,
}))

/** Runs dnsperf; returns what it printed. */
function dnsperf(server: Server, queries: string, seconds: number, ...options: string[]): string {
  const argv = [
    '-s',
    '127.0.0.1',
    '-p',
    String(ports[server]),
    '-d',
    queries,
    '-l',
    String(seconds),
    ...options,
  ]
  const { status, stdout, stderr } = spawnSync('dnsperf', argv, { encoding: 'utf8', maxBuffer: 1e9 })
  if (status !== 0) throw new Error(`dnsperf: ${stderr}`)
  const right = /NOERROR \d+ \(100\.00%\)/.test(stdout) && /Queries lost:\s+0 /.test(stdout)
  if (!right) throw new Error(`not every answer was right: ${stdout.slice(-1000)}`)
  return stdout
}

/** As many a second as there can be. */
function rate(server: Server, queries: string, seconds: number): number {
  const text = dnsperf(server, queries, seconds, '-c', '8', '-q', '100')
  return Number(/Queries per second:\s+([\d.]+)/.exec(text)?.[1])
}

/** How long each answer took at a steady pace, milliseconds. */
function times(server: Server, queries: string, seconds: number): number[] {
  const text = dnsperf(server, queries, seconds, '-c', '8', '-Q', String(pace), '-v')
  return [...text.matchAll(/^> NOERROR \S+ A ([\d.]+)$/gm)].map(match => Number(match[1]) * 1000)
}

/** Queries about others, none of which gets an answer. */
async function askInVain(server: Server, other: OtherResolver): Promise<DnsClient> {
  const client = await DnsClient.open()
  const arrived = () => new Set(other.asked.filter(name => name.includes(`.${server}.`))).size
  for (let id = 0; id < pending; id++) {
    client.ask(ports[server], query(`n${id}.${server}.example.com`, 'A', { id })).catch(() => {})
    if (id % 100 === 99) await waitFor(() => arrived() === id + 1, `query ${id} at ${server}`, 30, 0.01)
  }
  return client
}

async function startRival(directory: string, upstream: number): Promise<ChildProcess> {
  const hosts = join(directory, 'hosts')
  writeFileSync(hosts, names.map(({ name, address }) => `${address} ${name}.mesh\n`).join(''))
  const child = spawn(
    'dnsmasq',
    [
      '--keep-in-foreground',
      `--port=${ports.dnsmasq}`,
      '--listen-address=127.0.0.1',
      '--bind-interfaces',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      `--addn-hosts=${hosts}`,
      '--local=/mesh/',
      `--server=127.0.0.1#${upstream}`,
      '--dns-forward-max=5000',
      '--user=root',
      '--pid-file=',
    ],
    { stdio: 'ignore' },
  )
  const client = await DnsClient.open()
  const isThere = () => client.ask(ports.dnsmasq, query('s0.mesh'), '127.0.0.1', 0.5).catch(() => null)
  await waitFor(isThere, 'dnsmasq', 20)
  client.close()
  return child
}

async function startOurs(upstream: number): Promise<Resolver> {
  const resolver = new Resolver({
    zone: { domain: 'mesh', ttl: 5, resolver: ['127.0.0.1'], pools: ['10.253.0.0/16'] },
    port: ports.mesh,
    namespace: null,
    upstreams: [{ address: '127.0.0.1', port: upstream }],
    forwarding: { limit: 4096, patience: 600_000 },
    onTrouble: () => {},
  })
  resolver.start()
  const all = names.map(({ name, address }) => [name, named(name, { vips: [address] })] as const)
  resolver.update(new Map(all), new Map())
  await waitFor(() => resolver.served.length === 1, 'the resolver', 20)
  return resolver
}

export async function dns({ quick }: Options): Promise<Section[]> {
  const rounds = quick ? 2 : 5
  const seconds = quick ? 1 : 3
  const servers = Object.keys(ports) as Server[]
  const directory = mkdtempSync(join(tmpdir(), 'mesh-bench-dns-'))
  const queries = join(directory, 'queries')
  writeFileSync(queries, names.map(({ name }) => `${name}.mesh A\n`).join(''))
  const other = await OtherResolver.open(silent)
  const resolver = await startOurs(other.port)
  const rival = await startRival(directory, other.port)
  try {
    for (const server of servers) rate(server, queries, seconds) // the compiler warms up
    const rates: Record<Server, number[]> = { mesh: [], dnsmasq: [] }
    for (let i = 0; i < rounds; i++)
      for (const server of servers) rates[server].push(rate(server, queries, seconds))

    const timed: Row[] = []
    const timeAll = (what: string) => {
      const all: Record<Server, number[]> = { mesh: [], dnsmasq: [] }
      for (let i = 0; i < rounds; i++)
        for (const server of servers) all[server].push(...times(server, queries, seconds))
      for (const server of servers)
        for (const share of [0.5, 0.99, 0.999])
          timed.push({
            name: `${server}${what}: ${share * 100} % within`,
            unit: 'ms',
            samples: [quantile(all[server], share)],
            ...(server === 'mesh' && share === 0.99 ? { goal: 10 } : {}),
          })
    }
    timeAll('')
    const clients = await Promise.all(servers.map(server => askInVain(server, other)))
    timeAll(`, ${pending} queries pending`)
    const answered = clients.map(client => client.answered.length)
    for (const client of clients) client.close()
    return [
      {
        title: `DNS: ${services} services, A records, one client`,
        rows: [
          ...servers.map(server => ({ name: server, unit: 'queries/s', samples: rates[server] })),
          { name: 'mesh ÷ dnsmasq', unit: '×', samples: ratios(rates.mesh, rates.dnsmasq) },
        ],
      },
      {
        title: `How long an answer takes at ${pace} queries a second`,
        rows: timed,
        remarks: [
          `“${pending} queries pending”: about names of others, whose resolver is silent; ${answered.join(' and ')} of them were over at the end.`,
        ],
      },
    ]
  } finally {
    rival.kill()
    await resolver.stop()
    other.close()
    rmSync(directory, { recursive: true })
  }
}
