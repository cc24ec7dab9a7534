/**
 * Real etcd servers for tests: members on free ports of one address, data in a
 * directory that goes with the test. Everything started here is ended here, by its
 * process, whatever the test does to it in between.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EtcdClient } from '../../src/store/etcd-client.js'
import type { TlsFiles } from '../../src/store/etcd-http.js'
import { type EtcdSettings, openEtcd } from '../../src/store/open-etcd.js'
import { waitFor } from './wait.js'

const noTls = { ca: null, cert: null, key: null }

export interface EtcdCertificates {
  readonly ca: string
  readonly serverCert: string
  readonly serverKey: string
}

/** A test, or whatever else it is that ends them. */
export interface Owner {
  teardown(end: () => Promise<void>): void
}

async function freePort(address: string): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, address, resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

export class EtcdMember {
  readonly name: string
  readonly endpoint: string
  readonly #argv: readonly string[]
  #process: ChildProcess | null = null
  #frozen = false
  log = ''

  constructor(name: string, endpoint: string, argv: readonly string[]) {
    this.name = name
    this.endpoint = endpoint
    this.#argv = argv
  }

  start(): void {
    const child = spawn('etcd', this.#argv, { stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.setEncoding('utf8').on('data', text => {
      this.log = (this.log + text).slice(-20_000)
    })
    child.on('error', error => {
      this.log += error.message
    })
    this.#process = child
  }

  /** SIGKILL unless told otherwise. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process
    this.#process = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    if (this.#frozen) this.thaw(child)
    child.kill(signal)
    await ended
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP')
    this.#frozen = true
  }

  thaw(child = this.#process): void {
    child?.kill('SIGCONT')
    this.#frozen = false
  }
}

type Three = readonly [EtcdMember, EtcdMember, EtcdMember]

/** Members that make one etcd, three unless one is asked for. */
export class EtcdServers {
  readonly members: Three
  readonly #directory: string
  readonly #tls: TlsFiles
  readonly #opened = new Set<{ close(): Promise<void> }>()

  private constructor(members: Three, directory: string, tls: TlsFiles) {
    this.#tls = tls
    this.members = members
    this.#directory = directory
  }

  /** Started and ready to answer; ended with the test. */
  static async start(
    t: Owner,
    options: {
      /** Where clients reach them; default the loopback. */
      readonly address?: string
      readonly tls?: EtcdCertificates
      /** With `tls`: whom the servers let in. */
      readonly client?: TlsFiles
      readonly args?: readonly string[]
      readonly members?: 1 | 3
    } = {},
  ): Promise<EtcdServers> {
    const directory = mkdtempSync(join(tmpdir(), 'mesh-etcd-'))
    const { address = '127.0.0.1' } = options
    const scheme = options.tls ? 'https' : 'http'
    const places = []
    for (const i of [1, 2, 3].slice(0, options.members))
      places.push({
        name: `m${i}`,
        client: `${scheme}://${address}:${await freePort(address)}`,
        peer: `http://127.0.0.1:${await freePort('127.0.0.1')}`,
      })
    const cluster = places.map(({ name, peer }) => `${name}=${peer}`).join(',')
    const secure = options.tls
      ? [
          '--client-cert-auth',
          `--trusted-ca-file=${options.tls.ca}`,
          `--cert-file=${options.tls.serverCert}`,
          `--key-file=${options.tls.serverKey}`,
        ]
      : []
    const members = places.map(
      ({ name, client, peer }) =>
        new EtcdMember(name, client, [
          `--name=${name}`,
          `--data-dir=${join(directory, name)}`,
          `--listen-client-urls=${client}`,
          `--advertise-client-urls=${client}`,
          `--listen-peer-urls=${peer}`,
          `--initial-advertise-peer-urls=${peer}`,
          `--initial-cluster=${cluster}`,
          '--log-level=error',
          '--unsafe-no-fsync',
          ...secure,
          ...(options.args ?? []),
        ]),
    )
    const servers = new EtcdServers(members as unknown as Three, directory, options.client ?? noTls)
    t.teardown(() => servers.end())
    for (const member of members) member.start()
    await servers.ready()
    return servers
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint)
  }

  /** Until the members agree on something again; asked one by one. */
  async ready(members: readonly EtcdMember[] = this.members): Promise<void> {
    for (const { name, endpoint } of members) {
      const client = this.client({ endpoints: [endpoint] })
      await waitFor(async () => (await client.pulse(endpoint, '/', 1000)) > 0, `member ${name}`, 20).finally(
        () => client.close(),
      )
    }
  }

  client(options: Partial<EtcdSettings> = {}): EtcdClient {
    return new EtcdClient(this.settings(options))
  }

  settings(options: Partial<EtcdSettings> = {}): EtcdSettings {
    return {
      endpoints: this.endpoints,
      tls: this.#tls,
      user: null,
      passwordFile: null,
      prefix: '/mesh',
      lease: 2,
      ...options,
    }
  }

  /** A node's store and cluster, closed with the test. */
  open(options: Partial<EtcdSettings> = {}) {
    const etcd = openEtcd(this.settings(options))
    this.#opened.add(etcd)
    return etcd
  }

  /** Throws all data of all members away; they must have been stopped. */
  forget(): void {
    for (const { name } of this.members) rmSync(join(this.#directory, name), { recursive: true, force: true })
  }

  async end(): Promise<void> {
    await Promise.all([...this.#opened].map(each => each.close()))
    await Promise.all(this.members.map(member => member.stop()))
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
