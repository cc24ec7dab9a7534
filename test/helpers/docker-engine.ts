/**
 * A Docker Engine reduced to what the Docker source asks of one: an HTTP server on a
 * unix socket with lists, inspections and an event stream. Real HTTP, real chunks;
 * only the containers are made up.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { idOf } from './containers.js'

export interface EngineContainer {
  name: string
  status: string
  pid: number
  health: string | null
  labels: Record<string, string>
  networkMode: string
  stopSignal: string
  stopTimeout: number | null
  startedAt: number
}

export class DockerEngine {
  readonly socketPath: string
  readonly containers = new Map<string, EngineContainer>()
  /** Where it keeps its containers; null: it does not say. */
  root: string | null = null
  /** Answer of `GET /services`; null: this node is no manager; `lost`: it has no quorum. */
  services: unknown[] | null | 'lost' = null
  /** Paths asked for, without their query. */
  requests: string[] = []
  /** `since` of each event stream. */
  since: string[] = []
  /** Milliseconds before an inspection is answered. */
  slowness = 0
  /** Whether an answer to this path ends half-way, its connection with it. */
  endsHalfWay: (path: string) => boolean = () => false
  /** Most inspections under way at once. */
  most = 0
  #running = 0
  /** One event after another: two of them must not mix. */
  #written: Promise<void> = Promise.resolve()
  #server: Server | null = null
  readonly #sockets = new Set<Socket>()
  readonly #streams = new Set<ServerResponse>()
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
    this.socketPath = join(directory, 'docker.sock')
  }

  static async make(): Promise<DockerEngine> {
    return new DockerEngine(await mkdtemp(join(tmpdir(), 'docker-engine-')))
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://engine')
      this.requests.push(url.pathname)
      void this.#answer(url, response)
    })
    server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server = server
    await new Promise<void>(resolve => server.listen(this.socketPath, resolve))
  }

  /** The daemon ends: its socket is gone and every connection closed. */
  async close(): Promise<void> {
    const server = this.#server
    this.#server = null
    for (const socket of this.#sockets) socket.destroy()
    if (server) await new Promise(resolve => server.close(resolve))
  }

  async remove(): Promise<void> {
    await this.close()
    await rm(this.#directory, { recursive: true })
  }

  /** A container that runs; `start` says so to those who listen. */
  run(name: string, fields: Partial<EngineContainer> = {}): EngineContainer {
    const container: EngineContainer = {
      name,
      status: 'running',
      pid: process.pid,
      health: null,
      labels: {},
      networkMode: 'none',
      stopSignal: 'SIGTERM',
      stopTimeout: null,
      startedAt: Date.now() - 10_000,
      ...fields,
    }
    this.containers.set(idOf(name), container)
    return container
  }

  /** Inspections asked for of this container. */
  inspections(name: string): number {
    return this.requests.filter(path => path === `/containers/${idOf(name)}/json`).length
  }

  /** One event, written in two chunks that part in the middle of the line. */
  async emit(
    action: string,
    name: string,
    attributes: Record<string, string> = {},
    type = 'container',
    time = Date.now(),
  ): Promise<void> {
    const id = type === 'container' ? idOf(name) : name
    const event = { Type: type, Action: action, Actor: { ID: id, Attributes: { name, ...attributes } } }
    const line = `${JSON.stringify(event).slice(0, -1)},"timeNano":${time}999999}\n`
    this.#written = this.#written.then(async () => {
      for (const stream of this.#streams) stream.write(line.slice(0, 20))
      await sleep(1)
      for (const stream of this.#streams) stream.write(line.slice(20))
    })
    await this.#written
  }

  async #answer(url: URL, response: ServerResponse): Promise<void> {
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'Content-Type': 'application/json' })
      const text = JSON.stringify(body)
      if (!this.endsHalfWay(url.pathname)) response.end(text)
      else response.write(text.slice(0, text.length / 2), () => response.destroy())
    }
    const id = /^\/containers\/([^/]+)\/json$/.exec(url.pathname)?.[1]
    if (url.pathname === '/events') {
      this.since.push(url.searchParams.get('since') ?? '')
      this.#streams.add(response)
      response.on('close', () => this.#streams.delete(response))
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.flushHeaders()
    } else if (url.pathname === '/containers/json') {
      const running = [...this.containers].filter(([, each]) => each.status !== 'exited')
      send(
        200,
        running.map(([Id, each]) => ({
          Id,
          State: each.status,
          Status: `Up 5 minutes${each.health ? ` (${each.health})` : ''}`,
          Names: [`/${each.name}`],
        })),
      )
    } else if (url.pathname === '/info' && this.root !== null) {
      send(200, { DockerRootDir: this.root })
    } else if (url.pathname === '/services') {
      if (this.services === 'lost') send(500, { message: 'rpc error: The swarm does not have a leader.' })
      else if (this.services) send(200, this.services)
      else send(503, { message: 'This node is not a swarm manager. Use "docker swarm init" …' })
    } else if (id) {
      this.most = Math.max(this.most, ++this.#running)
      const container = this.containers.get(id) ?? this.containers.get(idOf(id))
      const answer = container && inspectAnswer(container)
      await sleep(this.slowness)
      this.#running--
      if (answer) send(200, answer)
      else send(404, { message: `No such container: ${id}` })
    } else send(404, { message: 'page not found' })
  }
}

function inspectAnswer(each: EngineContainer): unknown {
  return {
    Id: idOf(each.name),
    Name: `/${each.name}`,
    State: {
      Status: each.status,
      Pid: each.status === 'exited' ? 0 : each.pid,
      StartedAt: new Date(each.startedAt).toISOString(),
      ...(each.health && { Health: { Status: each.health } }),
    },
    Config: { Labels: each.labels, StopSignal: each.stopSignal, StopTimeout: each.stopTimeout },
    HostConfig: { NetworkMode: each.networkMode },
    NetworkSettings: { Ports: { '80/tcp': null } },
  }
}
