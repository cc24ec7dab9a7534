/**
 * DNS for tests: queries as a client writes them, a resolver of others on loopback that
 * does as it is told, and services as the mesh names them.
 */
import dgram from 'node:dgram'
import net from 'node:net'
import packet, { type DecodedPacket, type RecordType } from 'dns-packet'
import type { NamedEndpoint, NamedService, ZoneChange } from '../../src/dns/named.js'
import { Zone } from '../../src/dns/zone.js'
import { parsePortSpec } from '../../src/model/ports.js'

export interface QueryOptions {
  readonly id?: number
  /** EDNS with that size; without it there is none. */
  readonly size?: number
}

/** A query's bytes. */
export function query(name: string, type = 'A', { id = 7, size }: QueryOptions = {}): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: size, flags: 0, options: [] }
  return packet.encode({
    type: 'query',
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as RecordType }],
    ...(size === undefined ? {} : { additionals: [opt as never] }),
  })
}

/** A decoded message, with what the package's types leave out. */
export type Decoded = DecodedPacket & { readonly rcode: string }

export function decode(message: Buffer): Decoded {
  return packet.decode(message) as Decoded
}

/** Endpoints are `address` or `address:port`; ports `8080:80/tcp`. */
export function named(
  name: string,
  fields: {
    readonly vips?: string[]
    readonly endpoints?: string[]
    readonly ports?: string[]
    readonly aliases?: string[]
    readonly localNames?: string[]
    readonly scopes?: string[]
  } = {},
): NamedService {
  return {
    name,
    aliases: fields.aliases ?? [],
    localNames: fields.localNames ?? [],
    vips: fields.vips ?? [],
    endpoints: (fields.endpoints ?? []).map((text): NamedEndpoint => {
      const [address = '', port] = text.split(':')
      return { addresses: [address], port: port === undefined ? null : Number(port) }
    }),
    ports: (fields.ports ?? []).map(spec => {
      const { protocol, published, target } = parsePortSpec(spec)
      return { protocol, port: published!, target }
    }),
    scopes: fields.scopes ?? [],
  }
}

/** A zone of these services, whose answers come in the order of the endpoints. */
export function zoneOf(services: NamedService[], callers: ZoneChange['callers'] = []): Zone {
  const pools = ['10.254.0.0/16', '10.253.0.0/16', 'fd00:fe::/64']
  const zone = new Zone({ domain: 'mesh', ttl: 5, resolver: ['10.253.0.1'], pools }, () => 0.999)
  zone.apply({ services, gone: [], callers })
  return zone
}

/** Records as `dig +short` would show them, name and type before. */
export function shown(records: DecodedPacket['answers'] = []): string[] {
  return records.flatMap(record => {
    if (record.type === 'OPT') return []
    const data = 'data' in record ? record.data : ''
    const text = typeof data === 'object' && data && 'target' in data ? `${data.port} ${data.target}` : data
    return [`${record.name} ${record.type} ${record.type === 'SOA' ? '' : text}`.trim()]
  })
}

/** Sockets for UDP and TCP on one port of loopback. */
async function openBoth(): Promise<{ readonly udp: dgram.Socket; readonly tcp: net.Server }> {
  for (;;) {
    const udp = dgram.createSocket('udp4')
    await new Promise<void>(resolve => udp.bind(0, '127.0.0.1', resolve))
    const tcp = net.createServer()
    const isFree = await new Promise<boolean>(resolve => {
      tcp.once('error', () => resolve(false)) // somebody has that port for TCP
      tcp.listen(udp.address().port, '127.0.0.1', () => resolve(true))
    })
    if (isFree) return { udp, tcp }
    udp.close()
  }
}

/** A port of loopback that nobody has, neither of UDP nor of TCP. */
export async function freePort(): Promise<number> {
  const { udp, tcp } = await openBoth()
  const { port } = udp.address()
  await Promise.all([
    new Promise<void>(resolve => udp.close(() => resolve())),
    new Promise(resolve => tcp.close(resolve)),
  ])
  return port
}

/** A client's socket. */
export class DnsClient {
  private readonly socket: dgram.Socket
  private readonly waiting = new Map<number, (message: Buffer) => void>()
  private readonly timers = new Set<NodeJS.Timeout>()
  /** Ids in the order in which their answers came. */
  readonly answered: number[] = []

  private constructor(type: dgram.SocketType) {
    this.socket = dgram.createSocket(type)
    this.socket.on('message', message => {
      const id = message.readUInt16BE(0)
      this.answered.push(id)
      this.waiting.get(id)?.(message)
      this.waiting.delete(id)
    })
    this.socket.on('error', () => {})
  }

  static async open(descriptor?: number, type: dgram.SocketType = 'udp4'): Promise<DnsClient> {
    const client = new DnsClient(type)
    await new Promise<void>(resolve => {
      if (descriptor === undefined) client.socket.bind(0, '127.0.0.1', resolve)
      else client.socket.bind({ fd: descriptor }, resolve)
    })
    return client
  }

  /** Sends it once. Rejects when there is no answer within so many seconds. */
  ask(port: number, message: Buffer, address = '127.0.0.1', seconds = 120): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no answer from ${address} within ${seconds} s`))
      const timer = setTimeout(late, seconds * 1000)
      this.timers.add(timer)
      this.waiting.set(message.readUInt16BE(0), response => {
        clearTimeout(timer)
        this.timers.delete(timer)
        resolve(response)
      })
      this.socket.send(message, port, address)
    })
  }

  async decoded(port: number, message: Buffer, address?: string, seconds?: number): Promise<Decoded> {
    return decode(await this.ask(port, message, address, seconds))
  }

  close(): void {
    this.socket.close()
    for (const timer of this.timers) clearTimeout(timer)
  }
}

/** What the resolver of others does with a query; null: nothing. */
export type Script = (asked: DecodedPacket, transport: 'udp' | 'tcp') => Buffer | null

/** A resolver that knows an address for everything. */
export function always(address: string): Script {
  return asked =>
    packet.encode({
      type: 'response',
      id: asked.id,
      flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE,
      questions: asked.questions,
      answers: [{ type: 'A', name: asked.questions![0]!.name, ttl: 60, data: address }],
    })
}

/** A response without records. */
export function rcode(number: number, flags = 0): Script {
  return asked =>
    packet.encode({ type: 'response', id: asked.id, flags: number | flags, questions: asked.questions })
}

export const silent: Script = () => null

export class OtherResolver {
  script: Script
  /** Names that were asked for, in order, with `tcp ` before those over TCP. */
  readonly asked: string[] = []
  /** Ports that questions over UDP came from. */
  readonly sources = new Set<number>()
  readonly port: number

  private constructor(
    script: Script,
    private readonly udp: dgram.Socket,
    private readonly tcp: net.Server,
  ) {
    this.script = script
    this.port = udp.address().port
    udp.on('message', (message, from) => {
      this.sources.add(from.port)
      const response = this.respond(message, 'udp')
      if (response) udp.send(response, from.port, from.address)
    })
    udp.on('error', () => {})
    tcp.on('connection', socket => {
      socket.on('error', () => {})
      socket.on('data', data => {
        const response = this.respond(data.subarray(2), 'tcp')
        if (!response) return
        const length = Buffer.alloc(2)
        length.writeUInt16BE(response.length)
        socket.write(Buffer.concat([length, response]))
      })
    })
  }

  static async open(script: Script): Promise<OtherResolver> {
    const { udp, tcp } = await openBoth()
    return new OtherResolver(script, udp, tcp)
  }

  private respond(message: Buffer, transport: 'udp' | 'tcp'): Buffer | null {
    const asked = packet.decode(message)
    this.asked.push(`${transport === 'tcp' ? 'tcp ' : ''}${asked.questions![0]!.name}`)
    return this.script(asked, transport)
  }

  close(): void {
    this.udp.close()
    this.tcp.close()
  }
}
