/**
 * A Docker Engine asked over its socket, from one process: the docker command costs
 * 0.2 s a run in the lab. Only what the tests use; not the agent's own reader.
 */
import { request } from 'node:http'

export interface ContainerOptions {
  readonly name?: string
  /** Default `mesh-test:1`. */
  readonly image?: string
  /** Default that of the image, `web`. */
  readonly command?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  /** `bridge` (default), `none`, `host`, `container:ID` or a network's name. */
  readonly network?: string
  /** Further fields of the API's HostConfig: Memory, RestartPolicy, PortBindings, … */
  readonly host?: Readonly<Record<string, unknown>>
  /** Further fields beside HostConfig: Healthcheck, StopSignal, ExposedPorts, … */
  readonly more?: Readonly<Record<string, unknown>>
}

export interface ServiceOptions {
  readonly name: string
  readonly replicas?: number
  readonly image?: string
  readonly command?: readonly string[]
  /** Further fields of the API's ContainerSpec: Healthcheck, StopGracePeriod (ns), Env, … */
  readonly container?: Readonly<Record<string, unknown>>
  /** Further fields of the API's ServiceSpec: UpdateConfig, EndpointSpec, … */
  readonly more?: Readonly<Record<string, unknown>>
}

export interface Task {
  readonly ID: string
  readonly NodeID: string
  readonly DesiredState: string
  readonly Status: {
    readonly State: string
    readonly ContainerStatus?: { readonly ContainerID: string; readonly PID: number }
  }
}

export interface ContainerDetails {
  readonly Id: string
  readonly Name: string
  readonly State: {
    readonly Status: string
    readonly Running: boolean
    readonly Pid: number
    readonly Health?: { readonly Status: string }
  }
  readonly Config: { readonly Hostname: string; readonly Labels: Record<string, string> }
  readonly NetworkSettings: {
    readonly IPAddress: string
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>>
  }
}

function filters(wanted: Record<string, readonly string[]>): string {
  return `?filters=${encodeURIComponent(JSON.stringify(wanted))}`
}

export class DockerApi {
  /** `socket`: asked anew for each request, since a node's path changes when it boots again. */
  constructor(private readonly socket: () => string) {}

  /** One request; parsed JSON, or null for an empty answer. Throws what the Engine says. */
  call<Answer = unknown>(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body)
      const headers = payload === undefined ? {} : { 'Content-Type': 'application/json' }
      const options = { socketPath: this.socket(), path: `/v1.41${path}`, method, headers, timeout: 60_000 }
      const call = request(options, answer => {
        let text = ''
        answer.setEncoding('utf8').on('data', part => {
          text += part
        })
        answer.on('end', () => {
          if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${text.trim()}`))
          else resolve((text.trim() === '' ? null : JSON.parse(text)) as Answer)
        })
      })
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer within 60 s`)))
      call.on('error', reject)
      call.end(payload)
    })
  }

  /** Creates and starts a container; its full id. */
  async runContainer(options: ContainerOptions = {}): Promise<string> {
    const name = options.name === undefined ? '' : `?name=${options.name}`
    const { Id } = await this.call<{ Id: string }>('POST', `/containers/create${name}`, {
      Image: options.image ?? 'mesh-test:1',
      Cmd: options.command,
      Labels: options.labels,
      HostConfig: { NetworkMode: options.network ?? 'bridge', ...options.host },
      ...options.more,
    })
    await this.call('POST', `/containers/${Id}/start`)
    return Id
  }

  inspect(container: string): Promise<ContainerDetails> {
    return this.call('GET', `/containers/${container}/json`)
  }

  /** Stops, kills, pauses, restarts, …: the API's word for it, with its query. */
  async container(container: string, action: string): Promise<void> {
    await this.call('POST', `/containers/${container}/${action}`)
  }

  async removeContainer(container: string): Promise<void> {
    await this.call('DELETE', `/containers/${container}?force=1`)
  }

  async exec(container: string, ...command: string[]): Promise<void> {
    const exec = await this.call<{ Id: string }>('POST', `/containers/${container}/exec`, { Cmd: command })
    await this.call('POST', `/exec/${exec.Id}/start`, { Detach: true })
  }

  /** Creates a service of the swarm, with no published ports of Docker's own; its id. */
  async createService(options: ServiceOptions): Promise<string> {
    const { ID } = await this.call<{ ID: string }>('POST', '/services/create', {
      Name: options.name,
      Mode: { Replicated: { Replicas: options.replicas ?? 1 } },
      TaskTemplate: {
        ContainerSpec: {
          Image: options.image ?? 'mesh-test:1',
          Args: options.command,
          ...options.container,
        },
      },
      ...options.more,
    })
    return ID
  }

  /** Changes a service; `change` gets its spec and alters it in place. */
  // biome-ignore lint/suspicious/noExplicitAny: the API's own nested spec, of which tests set a field or two
  async updateService(name: string, change: (spec: any) => void): Promise<void> {
    const { Version, Spec } = await this.call<{ Version: { Index: number }; Spec: unknown }>(
      'GET',
      `/services/${name}`,
    )
    change(Spec)
    await this.call('POST', `/services/${name}/update?version=${Version.Index}`, Spec)
  }

  scale(name: string, replicas: number): Promise<void> {
    return this.updateService(name, spec => {
      spec.Mode.Replicated.Replicas = replicas
    })
  }

  async removeService(name: string): Promise<void> {
    await this.call('DELETE', `/services/${name}`)
  }

  /** Tasks of a service that shall run and do. */
  async runningTasks(service: string): Promise<Task[]> {
    const wanted = { service: [service], 'desired-state': ['running'] }
    const tasks = await this.call<Task[]>('GET', `/tasks${filters(wanted)}`)
    return tasks.filter(task => task.Status.State === 'running')
  }
}
