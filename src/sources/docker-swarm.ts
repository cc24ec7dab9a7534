/**
 * What a Swarm manager says about its services, checked at the door. Pure.
 */
import * as z from 'zod'
import type { Declaration } from '../model/declaration.js'
import type { ContainerSnapshot } from '../model/snapshot.js'
import { parseLabels } from './swarm-labels.js'

export interface SwarmView {
  /** Sorted. */
  readonly names: readonly string[]
  readonly ports: ContainerSnapshot['swarmPorts']
  readonly declarations: readonly Declaration[]
  /** Service name → seconds its tasks get between SIGTERM and SIGKILL, where it says so. */
  readonly stopTimeouts: ReadonlyMap<string, number>
}

const port = z.object({ Protocol: z.string().nullish(), PublishedPort: z.number().nullish() })

const portList = z.object({ Ports: z.array(port).nullish() }).nullish()

const serviceList = z.array(
  z.object({
    Spec: z.object({
      Name: z.string(),
      Labels: z.record(z.string(), z.string()).nullish(),
      TaskTemplate: z
        .object({ ContainerSpec: z.object({ StopGracePeriod: z.number().nullish() }).nullish() })
        .nullish(),
    }),
    Endpoint: portList,
    PreviousSpec: z.object({ EndpointSpec: portList }).nullish(),
  }),
)

/** Reads the answer of `GET /services`. Throws ZodError if it is not what is expected. */
export function parseServices(answer: unknown): SwarmView {
  const services = serviceList.parse(answer).sort((a, b) => (a.Spec.Name < b.Spec.Name ? -1 : 1))
  const ports: ContainerSnapshot['swarmPorts'][number][] = []
  const stopTimeouts = new Map<string, number>()
  for (const { Spec, Endpoint, PreviousSpec } of services) {
    // Nanoseconds.
    const grace = Spec.TaskTemplate?.ContainerSpec?.StopGracePeriod
    if (grace !== null && grace !== undefined) stopTimeouts.set(Spec.Name, grace / 1e9)
    const own: typeof ports = []
    const isKnown = (protocol: string, port: number) =>
      own.some(each => each.port === port && each.protocol === protocol)
    const take = (list: z.output<typeof portList>, former: boolean) => {
      for (const { Protocol, PublishedPort: port } of list?.Ports ?? []) {
        const protocol = Protocol || 'tcp'
        if (port && !isKnown(protocol, port)) own.push({ protocol, port, service: Spec.Name, former })
      }
    }
    take(Endpoint, false)
    take(PreviousSpec?.EndpointSpec, true)
    ports.push(...own)
  }
  const declarations = services.flatMap(({ Spec }) => parseLabels(Spec.Name, Spec.Labels ?? {}) ?? [])
  return { names: services.map(each => each.Spec.Name), ports, declarations, stopTimeouts }
}
