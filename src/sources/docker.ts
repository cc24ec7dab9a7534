/**
 * The containers of this node, from its Docker Engine: an event stream says what
 * changed, inspections say what it is now, a list after each connection (and every
 * minute) makes sure that nothing was missed. Processes that begin and end are seen
 * before that. While Docker is away the last snapshot stays in force otherwise.
 */
import { access } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerSnapshot } from '../model/snapshot.js'
import { type DockerClient, dockerClient, dockerTrouble } from './docker-client.js'
import { type DockerEvent, lineSplitter, parseEvent, sinceParameter } from './docker-events.js'
import { inspectContainer } from './docker-inspect.js'
import { parseList } from './docker-list.js'
import { DockerProcesses } from './docker-processes.js'
import { DockerView } from './docker-view.js'
import { paced } from './pace.js'
import type { Source } from './source.js'
import { SwarmWatch } from './swarm-watch.js'
import { workQueue } from './work-queue.js'

export interface DockerSourceOptions {
  /** `/var/run/docker.sock`. */
  readonly socketPath?: string
  /** The Engine's `/proc`, by which its containers' PIDs are found. */
  readonly proc?: string
  /** Where its runtime keeps account of containers; runtime-watch.ts. */
  readonly runtime?: string
  /** Calls `ended` once when that process ends, if it can be followed; netlink/process-watch.ts. */
  readonly followProcess?: (pid: number, ended: () => void) => boolean
  /** Pool whose addresses are the mesh's own and not the containers': `10.254.0.0/16`. */
  readonly meshPool?: string
  /** Whether addresses of IPv6 are asked for; false unless given. */
  readonly ipv6?: boolean
  /** Inspections at once. */
  readonly parallel?: number
  /** Least time between two snapshots, milliseconds. */
  readonly gap?: number
  /** Time between two lists while connected, milliseconds. */
  readonly relistEvery?: number
  /** Time between two questions to Swarm while connected, of a manager; others ask a third as often. Milliseconds. */
  readonly swarmEvery?: number
  /** First and longest wait before the next try to connect, milliseconds. */
  readonly backoff?: readonly [number, number]
}

/** What a timer takes at most, milliseconds; one that is to take longer fires at once. */
const longestTimer = 0x7fff_ffff

/** How far back events are asked for at the start: a `docker stop` under way is among them. Seconds. */
const lookBack = 120

export function dockerSource(options: DockerSourceOptions = {}): Source<ContainerSnapshot> {
  const {
    socketPath = '/var/run/docker.sock',
    proc = '/proc',
    runtime = '/run/docker/runtime-runc/moby',
    followProcess = () => false,
    meshPool = '10.254.0.0/16',
    ipv6 = false,
    parallel = 8,
    gap = 5,
    relistEvery = 60_000,
    swarmEvery = 5000,
    backoff = [200, 5000],
  } = options
  const view = new DockerView()
  /** What the last list said of each container, to see in the next whether it must be inspected. */
  let listed: ReadonlyMap<string, string> = new Map()
  /** Counts connections; work for a former one is given up, the list of the next makes good for it. */
  let connections = 0
  let trouble: string | null = null
  /** What keeps Docker from answering; and containers of which it says nothing, though it answers otherwise. */
  let away: Error | null = null
  const untold = new Map<string, Error>()
  const stopping = new AbortController()
  let listener: (snapshot: ContainerSnapshot) => void = () => {}
  let onTrouble: (error: Error | null) => void = () => {}
  let client: DockerClient | null = null
  let delivered: ContainerSnapshot | null = null
  let complete = false
  let lastEvent = BigInt(Date.now() - lookBack * 1000) * 1_000_000n
  let ended: Promise<void> = Promise.resolve()
  let settleTimer: NodeJS.Timeout | null = null

  const deliver = paced(gap, () => {
    if (!complete || stopping.signal.aborted || view.snapshot() === delivered) return
    delivered = view.snapshot()
    listener(delivered)
  })

  /** After every change of the view. */
  function changed(): void {
    deliver()
    if (settleTimer !== null) clearTimeout(settleTimer)
    settleTimer = null
    const next = view.settle(Date.now())
    if (next === null || stopping.signal.aborted) return
    settleTimer = setTimeout(
      () => {
        view.settle(Date.now())
        changed()
      },
      Math.min(next - Date.now() + 1, longestTimer),
    )
  }

  const inspections = workQueue(parallel, async id => {
    const result = await inspectContainer(client!, id, proc, meshPool, ipv6)
    const pid = result?.container.pid ?? 0
    const isOver = pid > 0 && !(await lives(pid))
    // An event came meanwhile: what was read may be older than it, and is read again.
    if (inspections.isWanted(id)) return
    if (result === null) view.remove(id)
    else {
      view.inspected(result, Date.now())
      processes.follow(result.container)
      if (isOver) view.ended(id, pid) // which Docker does not know yet
    }
    changed()
  })

  const processes = new DockerProcesses(view, {
    proc,
    runtime,
    followProcess,
    meshPool,
    ipv6,
    changed,
    inspect: id => void inspectSurely(id),
  })

  function report(): void {
    const error = away ?? [...untold.values()][0] ?? null
    if (trouble === (error?.message ?? null)) return
    trouble = error?.message ?? null
    onTrouble(error)
  }

  /** Inspects now; if that fails, again a little later, for as long as it takes. */
  async function inspectSurely(id: string): Promise<void> {
    const born = connections
    while (!stopping.signal.aborted && connections === born) {
      try {
        await inspections.want(id)
        if (untold.delete(id)) report()
        return
      } catch {
        await sleep(1000, undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  }

  const swarm = new SwarmWatch({ view, client: () => client!, changed, every: swarmEvery })

  function take(event: DockerEvent): void {
    const { inspect, swarm: isNews } = view.event(event, Date.now())
    changed()
    swarm.take(event, isNews)
    if (event.type === 'container' && event.action === 'create') processes.watch()
    if (inspect !== null) void inspectSurely(inspect)
    // What is being read may be older than the event.
    else if (inspections.isRunning(event.id)) void inspectSurely(event.id)
  }

  /** Inspects; a container of which nothing is told holds nobody else up. Rejects if that is all of them. */
  async function inspectAll(ids: readonly string[]): Promise<void> {
    const born = connections
    const failed = new Map<string, unknown>()
    const inspect = (id: string) => inspections.want(id).catch(error => void failed.set(id, error))
    await Promise.all(ids.map(inspect))
    if (failed.size > 0 && failed.size === ids.length) throw [...failed.values()][0]
    if (stopping.signal.aborted || connections !== born) return
    for (const [id, error] of failed) {
      untold.set(id, dockerTrouble(error, socketPath, `container ${id.slice(0, 12)}: `))
      void inspectSurely(id)
    }
    report()
  }

  /** Lists; inspects what is new or changed, or everything if `all`. Rejects if Docker does not answer. */
  async function relist(all: boolean): Promise<void> {
    const services = swarm.refresh()
    const former = listed
    listed = parseList(await client!.list())
    const wanted: string[] = []
    for (const [id, signature] of listed) {
      const pid = view.get(id)?.pid ?? 0
      if (all || former.get(id) !== signature || !(await lives(pid))) wanted.push(id)
    }
    // Not in the list: gone, or started since; inspecting tells.
    for (const id of view.ids()) if (!listed.has(id) && !view.isArriving(id)) wanted.push(id)
    await Promise.all([services, inspectAll(wanted)])
  }

  async function lives(pid: number): Promise<boolean> {
    return await access(`${proc}/${pid}`).then(
      () => true,
      () => false,
    )
  }

  /** One connection, from the opening of the stream to its end. Always rejects, with the reason. */
  async function connection(onReady: () => void): Promise<never> {
    client ??= await dockerClient(socketPath, parallel)
    const stream = await client.events(sinceParameter(lastEvent), stopping.signal)
    connections++
    untold.clear()
    client.info().then(processes.found, () => {}) // without its files what starts is seen a little later
    const opened = BigInt(Date.now()) * 1_000_000n
    const end = new AbortController()
    let isListed = false
    const over = new Promise<never>((_, reject) => {
      const close = (reason: Error) => {
        reject(reason)
        end.abort()
      }
      stream.once('error', close)
      stream.once('close', () => close(new Error(`the daemon at ${socketPath} ended its event stream`)))
    })
    over.catch(() => {}) // awaited below, perhaps after it has happened
    stopping.signal.addEventListener('abort', () => stream.destroy(), { signal: end.signal })
    stream.on(
      'data',
      lineSplitter(line => {
        const event = parseEvent(line)
        if (event === null) return
        if (event.time > lastEvent) lastEvent = event.time
        if (event.time >= opened) return take(event)
        // Older than the list, which knows better (but for signals). One that comes after the list all
        // the same, or whose clock was set back, says only that there is something to look at.
        view.recall(event, Date.now())
        if (isListed && event.type === 'container') void inspectSurely(event.id)
        changed()
      }),
    )
    try {
      await Promise.race([relist(true), over])
      isListed = true
      complete = true
      changed()
      onReady()
      swarm.begin()
      while (true) {
        await Promise.race([sleep(relistEvery, undefined, { signal: end.signal }), over])
        await Promise.race([relist(false), over])
      }
    } finally {
      stream.destroy()
      end.abort()
      swarm.forget()
      changed()
    }
  }

  async function run(): Promise<void> {
    let wait = backoff[0]
    while (!stopping.signal.aborted) {
      try {
        await connection(() => {
          wait = backoff[0]
          away = null
          report()
        })
      } catch (error) {
        if (stopping.signal.aborted) return
        away = dockerTrouble(error, socketPath)
        report()
      }
      await sleep(wait, undefined, { signal: stopping.signal }).catch(() => {})
      wait = Math.min(wait * 2, backoff[1])
    }
  }

  return {
    name: 'docker',
    start(onSnapshot, onProblem) {
      listener = onSnapshot
      onTrouble = onProblem
      ended = run()
    },
    async stop() {
      stopping.abort()
      deliver.stop()
      processes.close()
      inspections.clear()
      if (settleTimer !== null) clearTimeout(settleTimer)
      client?.close() // nobody waits for answers of a daemon that gives none
      await swarm.stop()
      await ended
      await Promise.all([inspections.idle(), swarm.idle()])
    },
  }
}
