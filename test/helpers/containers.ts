/** Containers for tests of the pure rooms: everything at its most ordinary but what is given. */
import type { Container } from '../../src/model/container.js'
import type { ContainerSnapshot } from '../../src/model/snapshot.js'

/** A running container; its id is made of its name. */
export function container(name: string, fields: Partial<Container> = {}): Container {
  return {
    id: idOf(name),
    name,
    labels: {},
    state: 'running',
    health: 'none',
    pid: 4242,
    network: 'own',
    addresses: [],
    networks: [],
    leaving: false,
    ending: false,
    dockerPorts: [],
    ...fields,
  }
}

/** 64 hexadecimal digits that differ for different names. */
export function idOf(name: string): string {
  return Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)
}

export function containerSnapshot(
  containers: readonly Container[],
  swarm: Partial<Omit<ContainerSnapshot, 'containers'>> = {},
): ContainerSnapshot {
  return { containers, swarmServices: [], swarmPorts: [], declarations: null, ending: [], ...swarm }
}

export const swarmTask = (service: string) => ({ 'com.docker.swarm.service.name': service })
export const composeLabels = (project: string, service: string, oneOff = false) => ({
  'com.docker.compose.project': project,
  'com.docker.compose.service': service,
  'com.docker.compose.oneoff': oneOff ? 'True' : 'False',
})
