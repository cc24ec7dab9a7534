/**
 * When containers' first processes begin and end, from the runtime and from the kernel: both
 * know it before Docker tells, which is busy while it starts containers and answers late. What
 * they are is in the files in which Docker keeps them. All of it is good until Docker tells.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { Container } from '../model/container.js'
import { type Inspected, parseFiles } from './docker-container.js'
import { readNetwork } from './docker-inspect.js'
import type { DockerView } from './docker-view.js'
import { listens } from './listeners.js'
import { RuntimeWatch } from './runtime-watch.js'

export interface ProcessOptions {
  readonly proc: string
  /** Where the Engine's runtime keeps account of its containers; runtime-watch.ts. */
  readonly runtime: string
  /** Calls `ended` once when that process ends, if it can be followed; netlink/process-watch.ts. */
  readonly followProcess: (pid: number, ended: () => void) => boolean
  readonly meshPool: string
  readonly ipv6: boolean
  /** The view has changed. */
  readonly changed: () => void
  /** Docker has to be asked what has become of it. */
  readonly inspect: (id: string) => void
}

const info = z.object({ DockerRootDir: z.string() })

/**
 * Between two looks at whether a container that has just begun listens, milliseconds: growing from
 * the first to the second, so that it is seen late by a small part of the time it took.
 */
const shortestPause = 3
const longestPause = 50
const growth = 1.2

export class DockerProcesses {
  readonly #view: DockerView
  readonly #options: ProcessOptions
  readonly #arrivals: RuntimeWatch
  /** `ID@PID` of containers whose processes are followed. */
  readonly #followed = new Set<string>()
  /** Where Docker keeps containers; null: not known. */
  #directory: string | null = null
  #closed = false

  constructor(view: DockerView, options: ProcessOptions) {
    this.#view = view
    this.#options = options
    this.#arrivals = new RuntimeWatch(options.runtime, {
      made: (id, pid) => void this.#made(id, pid),
      begun: (id, pid) => void this.#begun(id, pid),
    })
  }

  /** Takes in the answer of `GET /info`. */
  readonly found = (answer: unknown): void => {
    const root = info.safeParse(answer).data?.DockerRootDir
    // An agent in a container sees the host's files there; it has the host's processes in any case.
    this.#directory = root === undefined ? null : `${this.#options.proc}/1/root${root}/containers`
    this.watch()
  }

  /** Containers are going to start. */
  watch(): void {
    if (!this.#closed && this.#directory !== null) this.#arrivals.open()
  }

  close(): void {
    this.#closed = true
    this.#arrivals.close()
  }

  /** Docker tells of an end only when it has cleared up behind it, and not at all while it is away. False: it cannot be followed. */
  follow({ id, pid }: Pick<Container, 'id' | 'pid'>): boolean {
    const key = `${id}@${pid}`
    if (pid === 0 || this.#closed) return false
    if (this.#followed.has(key)) return true
    const ended = () => {
      this.#followed.delete(key)
      // Of one that could not be started Docker need not tell.
      const failed = this.#view.isArriving(id)
      this.#view.ended(id, pid)
      if (failed) this.#options.inspect(id)
      this.#options.changed()
    }
    const follows = this.#options.followProcess(pid, ended)
    if (follows) this.#followed.add(key)
    return follows
  }

  /** Only those with a network of their own, which Docker has given them by now. */
  async #made(id: string, pid: number): Promise<void> {
    const { proc, meshPool, ipv6 } = this.#options
    const [known, network] = await Promise.all([this.#read(id), readNetwork(pid, proc, meshPool, ipv6)])
    // Some Engines give it one only when it is made, and what they then set holds for all of its links.
    if (known?.container.network !== 'own' || network.addresses.length === 0) return
    if (this.#view.get(id)?.pid === pid || !this.follow({ id, pid })) return
    const container: Container = { ...known.container, ...network, pid, state: 'created' }
    this.#view.arrived({ ...known, container, startedAt: Date.now() })
    this.#options.changed()
  }

  /** Docker counts it as running from here on. Who leads to it rather has it listen, as long as Docker has not told. */
  async #begun(id: string, pid: number): Promise<void> {
    const { proc } = this.#options
    await this.#made(id, pid) // where that came too early, or is under way
    for (let pause = shortestPause; ; pause = Math.min(pause * growth, longestPause)) {
      if (this.#closed || !this.#isArriving(id, pid)) return
      if (await listens(pid, proc)) break
      await sleep(pause)
    }
    if (this.#isArriving(id, pid)) this.#view.begun(id)
    this.#options.changed()
  }

  #isArriving(id: string, pid: number): boolean {
    return this.#view.isArriving(id) && this.#view.get(id)?.pid === pid
  }

  /** Null: its files are not there, or not as expected. */
  async #read(id: string): Promise<Inspected | null> {
    const read = async (name: string): Promise<unknown> =>
      JSON.parse(await readFile(`${this.#directory}/${id}/${name}`, 'utf8'))
    try {
      return parseFiles(await read('config.v2.json'), await read('hostconfig.json'))
    } catch {
      return null
    }
  }
}
