/**
 * A small world of network namespaces for tests of the datapath: a client on the
 * outside, a host, and containers behind a Docker-like bridge with Docker-like rules.
 * Servers and clients are sockets of the test itself, opened inside the namespaces;
 * nothing here can send to any other network.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import dgram from 'node:dgram'
import { existsSync } from 'node:fs'
import net from 'node:net'
import type { Container } from '../../src/model/container.js'
import { openSocket, runInNamespace } from '../../src/netlink/addon.js'
import { runByShell } from './shell.js'

/** Who has which address, by family. */
export const addresses = {
  inet: {
    client: '192.168.77.254',
    host: '192.168.77.1',
    loopback: '127.0.0.1',
    bridge: '172.17.0.1',
    any: '0.0.0.0',
  },
  inet6: { client: 'fd77::254', host: 'fd77::1', loopback: '::1', bridge: 'fd17::1', any: '::' },
} as const

export const clientAddress: string = addresses.inet.client
export const hostAddress: string = addresses.inet.host
const bridgeAddress = addresses.inet.bridge

/** The unbound address of the family of another one. */
function anyOf(address: string): string {
  return addresses[address.includes(':') ? 'inet6' : 'inet'].any
}

export interface Answer {
  /** Who answered. */
  readonly name: string
  /** Which client address and port it saw. */
  readonly address: string
  readonly port: number
}

/** Waits until `condition` gives something else than false or null. */
export async function waitFor<T>(
  what: string,
  condition: () => T | false | null | Promise<T | false | null>,
  seconds = 10,
): Promise<T> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const result = await condition()
    if (result !== false && result !== null) return result
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function answerOf(text: string): Answer {
  const [name = '', address = '', port = ''] = text.trim().split(' ')
  return { name, address, port: Number(port) }
}

/** An open TCP connection whose server has introduced itself. */
export class Conversation {
  readonly answer: Answer
  readonly socket: net.Socket
  private lines: string[] = []
  private wake: () => void = () => {}
  private ended: Error | null = null

  constructor(socket: net.Socket, answer: Answer) {
    this.socket = socket
    this.answer = answer
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      this.lines.push(...text.split('\n').filter(line => line !== ''))
      this.wake()
    })
    socket.on('close', () => {
      this.ended ??= new Error('closed')
      this.wake()
    })
    socket.on('error', error => {
      this.ended = error
      this.wake()
    })
  }

  /** Sends a line and returns the server's echo. Throws when the connection has ended, or after `seconds`. */
  async say(line: string, seconds = 5): Promise<string> {
    this.socket.write(`${line}\n`)
    const end = Date.now() + seconds * 1000
    while (this.lines.length === 0) {
      if (this.ended) throw this.ended
      if (Date.now() > end) throw new Error(`no echo within ${seconds} s`)
      await new Promise<void>(resolve => {
        this.wake = resolve
        setTimeout(resolve, 50)
      })
    }
    return this.lines.shift()!
  }

  close(): void {
    this.socket.destroy()
  }
}

export class Topology {
  readonly prefix: string
  /** The host's address on the wire. */
  readonly address: string
  private hosts = 1
  private readonly number: number
  readonly host: string
  readonly client: string
  readonly sandboxPath: string
  /** Whether everybody has addresses of IPv6 too. */
  readonly ipv6: boolean
  private readonly namespaces: string[] = []
  /** Namespace by PID of the container's process. */
  private readonly names = new Map<number, string>()
  private readonly processes: ChildProcess[] = []
  private readonly servers: (net.Server | dgram.Socket)[] = []
  private readonly sockets = new Set<net.Socket>()
  private containers = 0

  /**
   * The first of its kind has a client of its own, on whose bridge further hosts are
   * plugged: `beside` it, at 192.168.77.2 and so on, in IPv6 at fd77::2.
   */
  constructor(beside: Topology | null = null, ipv6 = beside?.ipv6 ?? false) {
    const number = beside ? ++beside.hosts : 1
    this.ipv6 = ipv6
    this.number = number
    this.prefix = `mt${process.pid}${number > 1 ? `n${number}` : ''}`
    this.address = `192.168.77.${number}`
    this.host = this.path('host')
    this.client = beside ? beside.client : this.path('client')
    this.sandboxPath = this.path('mesh')
    this.ip(`netns add ${this.prefix}-host`)
    this.namespaces.push(`${this.prefix}-host`)
    this.useAddressesAtOnce('host')
    if (!beside) this.addClient()
    const wire = this.client.replace('/run/netns/', '')
    this.ip(`link add up0 netns ${this.prefix}-host type veth peer name port${number} netns ${wire}`)
    runByShell(null, ['ip', '-n', wire, 'link', 'set', `port${number}`, 'master', 'wire', 'up'])
    this.in('host', 'link set lo up', `addr add ${this.address}/24 dev up0`, 'link set up0 up')
    // With a MAC of its own, as Docker gives it one: else it would take that of whichever container came last.
    this.in(
      'host',
      'link add docker0 address 02:42:ac:11:00:01 type bridge',
      `addr add ${bridgeAddress}/16 dev docker0`,
      'link set docker0 up',
    )
    if (ipv6) this.addIpv6(number)
    this.sysctl(this.host, 'net.ipv4.ip_forward', '1')
    this.run(this.host, 'iptables', '-P', 'FORWARD', 'DROP')
    this.run(
      this.host,
      'iptables',
      '-t',
      'nat',
      '-A',
      'POSTROUTING',
      '-s',
      '172.17.0.0/16',
      '!',
      '-o',
      'docker0',
      '-j',
      'MASQUERADE',
    )
  }

  /** Addresses of IPv6 need not be tried for a second before they are used. */
  private useAddressesAtOnce(name: string): void {
    if (this.ipv6) this.sysctl(this.path(name), 'net.ipv6.conf.default.accept_dad', '0')
  }

  /** IPv6 as Docker sets it up, but for forwarding: that is the mesh's to turn on. */
  private addIpv6(number: number): void {
    this.in(
      'host',
      `addr add fd77::${number}/64 dev up0`,
      `addr add ${addresses.inet6.bridge}/64 dev docker0`,
    )
    this.run(this.host, 'ip6tables', '-P', 'FORWARD', 'DROP')
  }

  /** The world outside: a namespace whose bridge is the wire between hosts. */
  private addClient(): void {
    this.ip(`netns add ${this.prefix}-client`)
    this.namespaces.push(`${this.prefix}-client`)
    this.useAddressesAtOnce('client')
    this.in(
      'client',
      'link set lo up',
      'link add wire type bridge',
      `addr add ${clientAddress}/24 dev wire`,
      'link set wire up',
    )
    if (this.ipv6) this.in('client', `addr add ${addresses.inet6.client}/64 dev wire`)
  }

  /** The host's address on the wire, in either family. */
  addressIn(family: keyof typeof addresses): string {
    return family === 'inet' ? this.address : `fd77::${this.number}`
  }

  path(name: string): string {
    return `/run/netns/${this.prefix}-${name}`
  }

  /** Runs a program in a namespace and returns its output. Throws with its stderr. */
  run(path: string, file: string, ...args: string[]): string {
    return runByShell(path, [file, ...args])
  }

  sysctl(path: string, name: string, value: string): void {
    this.run(path, 'sysctl', '-qw', `${name}=${value}`)
  }

  private ip(...commands: string[]): void {
    runByShell(null, ['ip', '-batch', '-'], `${commands.join('\n')}\n`)
  }

  private in(name: string, ...commands: string[]): void {
    runByShell(null, ['ip', '-n', `${this.prefix}-${name}`, '-batch', '-'], `${commands.join('\n')}\n`)
  }

  /**
   * A running container: a namespace with a process. `network` bridge: on docker0 with
   * a default route; none: loopback only.
   */
  addContainer(
    name: string,
    fields: Partial<Container> & { readonly attach?: 'bridge' | 'none' } = {},
  ): Container {
    const { attach = 'bridge', ...rest } = fields
    const number = ++this.containers
    const short = `c${number}`
    const namespace = `${this.prefix}-${short}`
    this.ip(`netns add ${namespace}`)
    this.namespaces.push(namespace)
    const address = `172.17.0.${10 + number}`
    const address6 = `fd17::${10 + number}`
    this.useAddressesAtOnce(short)
    this.in(short, 'link set lo up')
    if (attach === 'bridge') {
      this.ip(`link add v${number} netns ${this.prefix}-host type veth peer name eth0 netns ${namespace}`)
      this.in('host', `link set v${number} master docker0 up`)
      this.in(
        short,
        `addr add ${address}/16 dev eth0`,
        'link set eth0 up',
        `route add default via ${bridgeAddress}`,
      )
      if (this.ipv6)
        this.in(short, `addr add ${address6}/64 dev eth0`, `route add default via ${addresses.inet6.bridge}`)
    }
    const child = runInNamespace(this.path(short), () => spawn('sleep', ['3600'], { stdio: 'ignore' }))
    this.processes.push(child)
    this.names.set(child.pid!, namespace)
    return {
      id: randomBytes(32).toString('hex'),
      name,
      labels: {},
      state: 'running',
      health: 'none',
      pid: child.pid!,
      network: 'own',
      addresses: attach === 'bridge' ? [address, ...(this.ipv6 ? [address6] : [])] : [],
      networks: attach === 'bridge' ? ['172.17.0.0/16', ...(this.ipv6 ? ['fd17::/64'] : [])] : [],
      leaving: false,
      ending: false,
      dockerPorts: [],
      ...rest,
    }
  }

  /** Ends a container as Docker does: its process dies and its namespace with it. */
  async removeContainer(container: Container): Promise<void> {
    const child = this.processes.find(({ pid }) => pid === container.pid)
    const number = this.namespaceOf(container)
    const ended = new Promise(resolve => child?.once('exit', resolve))
    for (const server of this.servers.splice(0)) {
      if ((server as { place?: string }).place === number) server.close()
      else this.servers.push(server)
    }
    child?.kill('SIGKILL')
    await ended
    this.ip(`netns del ${number}`)
    this.namespaces.splice(this.namespaces.indexOf(number), 1)
  }

  /** A container that ended and runs again: the same id, another process and namespace. */
  async restartContainer(container: Container): Promise<Container> {
    const { pid, addresses, ...kept } = container
    await this.removeContainer(container)
    return this.addContainer(container.name, { ...kept, attach: addresses.length > 0 ? 'bridge' : 'none' })
  }

  private namespaceOf(container: Container): string {
    const name = this.names.get(container.pid)
    if (name === undefined) throw new Error(`${container.name} is no container of this topology`)
    return name
  }

  pathOf(container: Container): string {
    return `/run/netns/${this.namespaceOf(container)}`
  }

  /** A TCP server in a namespace: introduces itself and the client, then echoes lines. */
  async serveTcp(
    where: Container | string,
    port: number,
    name: string,
    address: string = this.ipv6 ? '::' : '0.0.0.0',
  ): Promise<void> {
    const path = typeof where === 'string' ? where : this.pathOf(where)
    const server = net.createServer({ allowHalfOpen: false }, socket => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => {})
      socket.write(`${name} ${socket.remoteAddress?.replace('::ffff:', '')} ${socket.remotePort}\n`)
      socket.on('data', data => socket.write(data))
    })
    Object.assign(server, { place: path.replace('/run/netns/', '') })
    const fd = openSocket('tcp', address, port, path)
    await new Promise<void>(resolve => server.listen({ fd }, resolve))
    this.servers.push(server)
  }

  /** A UDP server that answers each datagram with its name and the client it saw. */
  async serveUdp(where: Container | string, port: number, name: string): Promise<void> {
    const path = typeof where === 'string' ? where : this.pathOf(where)
    const server = dgram.createSocket(this.ipv6 ? 'udp6' : 'udp4')
    server.on('message', (_, from) =>
      server.send(`${name} ${from.address.replace('::ffff:', '')} ${from.port}`, from.port, from.address),
    )
    server.on('error', () => {})
    Object.assign(server, { place: path.replace('/run/netns/', '') })
    const fd = openSocket('udp', this.ipv6 ? '::' : '0.0.0.0', port, path)
    await new Promise<void>(resolve => server.bind({ fd }, resolve))
    this.servers.push(server)
  }

  /** Connects from a namespace; resolves with the server's introduction. Rejects with the socket's error code. */
  connect(from: string, address: string, port: number, localPort = 0, seconds = 5): Promise<Conversation> {
    return new Promise((resolve, reject) => {
      const any = anyOf(address)
      const fd = openSocket('tcp', localPort || any === '::' ? any : null, localPort, from)
      const socket = new net.Socket({ fd })
      this.sockets.add(socket)
      const timer = setTimeout(
        () => fail(Object.assign(new Error('ETIMEDOUT'), { code: 'ETIMEDOUT' })),
        seconds * 1000,
      )
      const fail = (error: Error) => {
        clearTimeout(timer)
        socket.destroy()
        reject(error)
      }
      socket.once('error', fail)
      socket.once('close', () => this.sockets.delete(socket))
      socket.once('data', data => {
        clearTimeout(timer)
        socket.off('error', fail)
        resolve(new Conversation(socket, answerOf(data.toString())))
      })
      socket.connect({ port, host: address })
    })
  }

  /** One request on a connection of its own. */
  async ask(from: string, address: string, port: number, seconds = 5): Promise<Answer> {
    const conversation = await this.connect(from, address, port, 0, seconds)
    conversation.close()
    return conversation.answer
  }

  /** The error code of a connection that must fail, or the name of who answered. */
  async refusal(from: string, address: string, port: number): Promise<string> {
    try {
      return (await this.ask(from, address, port)).name
    } catch (error) {
      return (error as { code?: string }).code ?? String(error)
    }
  }

  /** A UDP client with a fixed source port, of the family in which it will ask. */
  async udpClient(from: string, localPort = 0, family: keyof typeof addresses = 'inet'): Promise<UdpClient> {
    const fd = openSocket('udp', addresses[family].any, localPort, from)
    const socket = dgram.createSocket(family === 'inet' ? 'udp4' : 'udp6')
    await new Promise<void>(resolve => socket.bind({ fd }, resolve))
    const client = new UdpClient(socket)
    this.servers.push(socket)
    return client
  }

  async destroy(): Promise<void> {
    for (const server of this.servers) server.close()
    for (const socket of this.sockets) socket.destroy()
    for (const child of this.processes)
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise(resolve => child.once('exit', resolve))
        child.kill('SIGKILL')
        await ended
      }
    for (const name of this.namespaces) this.ip(`netns del ${name}`)
    // The sandbox is the mesh's own to remove; a failed test may have left it.
    if (existsSync(this.sandboxPath)) this.ip(`netns del ${this.prefix}-mesh`)
  }
}

export class UdpClient {
  private readonly socket: dgram.Socket
  private readonly answers: Answer[] = []

  constructor(socket: dgram.Socket) {
    this.socket = socket
    socket.on('message', message => this.answers.push(answerOf(message.toString())))
    socket.on('error', () => {})
  }

  /** Sends a datagram every 20 ms until one is answered; null after `seconds`. */
  async ask(address: string, port: number, seconds = 3): Promise<Answer | null> {
    this.answers.length = 0
    const end = Date.now() + seconds * 1000
    while (Date.now() < end) {
      this.socket.send('x', port, address)
      await new Promise(resolve => setTimeout(resolve, 20))
      const answer = this.answers.shift()
      if (answer) return answer
    }
    return null
  }
}
