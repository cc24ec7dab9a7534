/**
 * One service of a Swarm, read from a manager and changed there. Not a Source: asked when
 * a person wants a service's ports to change hands. A service is written back with all
 * that Docker said of it but for what is changed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { MeshError, reasonOf, SourceError } from '../errors.js'
import { type Protocol, protocols } from '../model/ports.js'
import { type DockerClient, dockerClient, dockerTrouble } from './docker-client.js'

/** A port as a service's specification has it. `PublishedPort` absent or 0: Swarm chooses. */
const portForm = z.looseObject({
  Protocol: z.enum(protocols).default('tcp'),
  TargetPort: z.number(),
  PublishedPort: z.number().default(0),
  PublishMode: z.string().default('ingress'),
})
export type SwarmPort = z.output<typeof portForm>

const specForm = z.looseObject({
  Labels: z.record(z.string(), z.string()).nullish(),
  EndpointSpec: z.looseObject({ Ports: z.array(portForm).nullish() }).nullish(),
})
export type SwarmSpec = z.output<typeof specForm>

const serviceForm = z.object({
  ID: z.string(),
  Version: z.object({ Index: z.number() }),
  Spec: specForm,
  Endpoint: z.object({ Ports: z.array(portForm).nullish() }).nullish(),
  UpdateStatus: z.object({ State: z.string().nullish(), Message: z.string().nullish() }).nullish(),
})

/** A port that the ingress of a Swarm publishes on every node. */
export interface IngressPort {
  readonly protocol: Protocol
  readonly published: number
  readonly target: number
}

export interface SwarmService {
  readonly spec: SwarmSpec
  /** As Swarm settled them. */
  readonly ingress: readonly IngressPort[]
  /** What Swarm says of the last update: `updating`, `completed`, `paused`, …; null: that no task had to be replaced. */
  readonly update: { readonly state: string; readonly message: string } | null
}

const nodesForm = z.array(
  z.object({
    Description: z.object({ Hostname: z.string() }),
    Status: z.object({ State: z.string(), Addr: z.string().nullish() }),
    ManagerStatus: z.object({ Addr: z.string() }).nullish(),
  }),
)

export interface SwarmNode {
  readonly hostname: string
  readonly addresses: readonly string[]
  readonly ready: boolean
}

const infoForm = z.object({
  Swarm: z.object({ RemoteManagers: z.array(z.object({ Addr: z.string() })).nullish() }).nullish(),
})

const tasksForm = z.array(z.unknown())

/** How often a change is tried anew because somebody else changed the service meanwhile. */
const tries = 5

/** Asks the Docker Engine at `socketPath`. Every method throws SourceError when it cannot be had. */
export class SwarmServices {
  constructor(private readonly socketPath: string) {}

  /** Throws MESH_NOT_FOUND too. */
  async read(name: string): Promise<SwarmService> {
    return this.asking(async client => serviceOf(await readService(client, name)))
  }

  /** Tasks of the service that shall run. */
  async tasks(name: string): Promise<number> {
    const filters = { service: [name], 'desired-state': ['running'] }
    return this.asking(async client => tasksForm.parse((await client.tasks(filters)) ?? []).length)
  }

  /** Writes what `change` makes of the specification as it is now; null leaves it. `change` may be asked again. */
  async change(name: string, change: (spec: SwarmSpec) => SwarmSpec | null): Promise<void> {
    await this.asking(async client => {
      for (let left = tries; ; left--) {
        const { ID, Version, Spec } = await readService(client, name)
        const next = change(Spec)
        if (next === null) return
        try {
          return await client.updateService(ID, Version.Index, next)
        } catch (error) {
          if (left <= 1 || !/out of sequence/.test(reasonOf(error))) throw error
          await sleep(100)
        }
      }
    })
  }

  async nodes(): Promise<SwarmNode[]> {
    return this.asking(async client =>
      nodesForm.parse(await client.swarmNodes()).map(({ Description, Status, ManagerStatus }) => ({
        hostname: Description.Hostname,
        addresses: [Status.Addr ?? '', ManagerStatus?.Addr.replace(/:\d+$/, '') ?? ''].filter(Boolean),
        ready: Status.State === 'ready',
      })),
    )
  }

  private async asking<Answer>(ask: (client: DockerClient) => Promise<Answer>): Promise<Answer> {
    const client = await dockerClient(this.socketPath, 1)
    try {
      return await ask(client)
    } catch (error) {
      if (error instanceof MeshError) throw error
      throw await this.explained(client, error)
    } finally {
      client.close()
    }
  }

  /** Why Docker did not do it, and where it would. */
  private async explained(client: DockerClient, error: unknown): Promise<SourceError> {
    const words = wordsOf(error)
    if (words === null) return dockerTrouble(error, this.socketPath)
    if (!/not a swarm manager|not part of a swarm/i.test(words))
      return new SourceError('docker', words, { cause: error })
    const { Swarm } = infoForm.parse(await client.info().catch(() => ({})))
    const managers = (Swarm?.RemoteManagers ?? []).map(({ Addr }) => Addr.replace(/:\d+$/, ''))
    return new SourceError(
      'docker',
      managers.length === 0
        ? 'this node is in no swarm; services of a swarm are changed on one of its managers'
        : `this node is no manager of its swarm; ask meshctl on one that is: ${managers.join(', ')}`,
      { cause: error },
    )
  }
}

async function readService(client: DockerClient, name: string): Promise<z.output<typeof serviceForm>> {
  const answer = await client.service(name)
  if (answer === null)
    throw new MeshError('MESH_NOT_FOUND', `service "${name}": there is no Swarm service of that name`)
  return serviceForm.parse(answer)
}

function serviceOf({ Spec, Endpoint, UpdateStatus }: z.output<typeof serviceForm>): SwarmService {
  return {
    spec: Spec,
    ingress: (Endpoint?.Ports ?? []).filter(isIngress).map(port => ({
      protocol: port.Protocol,
      published: port.PublishedPort,
      target: port.TargetPort,
    })),
    update: UpdateStatus?.State ? { state: UpdateStatus.State, message: UpdateStatus.Message ?? '' } : null,
  }
}

function isIngress({ PublishMode }: SwarmPort): boolean {
  return PublishMode === 'ingress'
}

/** The specification with a label set, or taken away (null). */
export function withLabel(spec: SwarmSpec, label: string, value: string | null): SwarmSpec {
  const labels = { ...spec.Labels }
  if (value === null) delete labels[label]
  else labels[label] = value
  return { ...spec, Labels: labels }
}

/** The specification with these ports in place of all that its ingress publishes. */
export function withIngress(spec: SwarmSpec, ports: readonly IngressPort[]): SwarmSpec {
  const others = (spec.EndpointSpec?.Ports ?? []).filter(port => !isIngress(port))
  const ingress = ports.map(({ protocol, published, target }) => ({
    Protocol: protocol,
    TargetPort: target,
    PublishedPort: published,
    PublishMode: 'ingress',
  }))
  return { ...spec, EndpointSpec: { ...spec.EndpointSpec, Ports: [...others, ...ingress] } }
}

/** What the Engine itself said; null: it said nothing. */
function wordsOf(error: unknown): string | null {
  const { statusCode } = error as { statusCode?: unknown }
  if (typeof statusCode !== 'number') return null
  return reasonOf(error)
    .replace(/^rpc error: code = \w+ desc = /, '')
    .trim()
}
