/**
 * Docker's answer to `inspect`, checked at the door, as the mesh's Container.
 * Pure; addresses and whether it is leaving are added by the caller.
 */
import { constants } from 'node:os'
import * as z from 'zod'
import type { Container, ContainerState, Health } from '../model/container.js'

/** A container and what of it only this source needs. */
export interface Inspected {
  readonly container: Container
  /** Number of the signal that `docker stop` sends it. */
  readonly stopSignal: number
  /** Seconds that `docker stop` waits before SIGKILL, Infinity for ever; null: Docker's default, 10. */
  readonly stopTimeout: number | null
  /** Milliseconds since 1970; 0 when it never started. */
  readonly startedAt: number
}

const bindings = z.array(z.object({ HostPort: z.string() })).nullish()

const inspectAnswer = z.object({
  Id: z.string(),
  Name: z.string(),
  State: z.object({
    Status: z.string(),
    Pid: z.number(),
    StartedAt: z.string(),
    Health: z.object({ Status: z.string() }).nullish(),
  }),
  Config: z.object({
    Labels: z.record(z.string(), z.string()).nullish(),
    StopSignal: z.string().nullish(),
    StopTimeout: z.number().nullish(),
    Healthcheck: z.object({ Test: z.array(z.string()).nullish() }).nullish(),
  }),
  HostConfig: z.object({ NetworkMode: z.string() }),
  NetworkSettings: z.object({ Ports: z.record(z.string(), bindings).nullish() }),
})

/** Throws ZodError if Docker's answer is not what is expected of it. */
export function parseInspect(answer: unknown): Inspected {
  const { Id, Name, State, Config, HostConfig, NetworkSettings } = inspectAnswer.parse(answer)
  const startedAt = Date.parse(State.StartedAt)
  return {
    container: {
      id: Id,
      name: Name.replace(/^\//, ''),
      labels: Config.Labels ?? {},
      state: stateOf(State.Status),
      health: healthOf(State.Health?.Status ?? null, Config.Healthcheck?.Test ?? []),
      pid: State.Pid,
      network: networkOf(HostConfig.NetworkMode),
      addresses: [],
      networks: [],
      leaving: false,
      ending: false,
      dockerPorts: dockerPortsOf(NetworkSettings.Ports ?? {}),
    },
    stopSignal: signalNumber(Config.StopSignal || 'SIGTERM') ?? constants.signals.SIGTERM,
    stopTimeout: (Config.StopTimeout ?? 0) < 0 ? Number.POSITIVE_INFINITY : (Config.StopTimeout ?? null),
    startedAt: Number.isNaN(startedAt) || startedAt < 0 ? 0 : startedAt,
  }
}

/** `created`, `removing` and `dead` containers don't run either. */
function stateOf(status: string): ContainerState {
  return status === 'running' || status === 'paused' || status === 'restarting' ? status : 'exited'
}

/** Docker has no health yet in the instant after the start of a container that has a HEALTHCHECK. */
function healthOf(status: string | null, test: readonly string[]): Health {
  if (status === 'starting' || status === 'healthy' || status === 'unhealthy') return status
  return status === null && test.length > 0 && test[0] !== 'NONE' ? 'starting' : 'none'
}

function networkOf(mode: string): Container['network'] {
  if (mode === 'host') return 'host'
  return mode.startsWith('container:') ? `container:${mode.slice('container:'.length)}` : 'own'
}

/** `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", …}], "443/tcp": null}` */
function dockerPortsOf(ports: Record<string, z.infer<typeof bindings>>): Container['dockerPorts'] {
  const found = new Map<string, { protocol: string; port: number }>()
  for (const [target, hosts] of Object.entries(ports))
    for (const host of hosts ?? []) {
      const protocol = target.split('/')[1] ?? 'tcp'
      const port = Number(host.HostPort)
      if (port > 0) found.set(`${port}/${protocol}`, { protocol, port })
    }
  return [...found.values()]
}

const config = z.object({ ID: z.string(), Name: z.string(), Config: z.unknown() })

/**
 * What Docker keeps on disk of a container that it starts, `config.v2.json` and `hostconfig.json`,
 * as if it had been asked: all that does not come by the start itself. Throws ZodError.
 */
export function parseFiles(container: unknown, host: unknown): Inspected {
  const { ID: Id, Name, Config } = config.parse(container)
  const State = { Status: 'created', Pid: 0, StartedAt: '' }
  return parseInspect({ Id, Name, State, Config, HostConfig: host, NetworkSettings: {} })
}

/** The number of `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3`; null if there is no such signal. */
export function signalNumber(text: string): number | null {
  if (/^\d+$/.test(text)) return Number(text)
  const name = text.toUpperCase().replace(/^SIG/, '')
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name)
  // 34 and 64: SIGRTMIN and SIGRTMAX as glibc gives them to programs, signal(7).
  if (realTime) return (realTime[1] === 'MIN' ? 34 : 64) + Number(`${realTime[2] ?? ''}${realTime[3] ?? '0'}`)
  return (constants.signals as Record<string, number>)[`SIG${name}`] ?? null
}
