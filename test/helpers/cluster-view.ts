/**
 * A node as the others see it through etcd: store and cluster opened, and all that they
 * told. For tests.
 */
import type { ClusterSnapshot } from '../../src/model/cluster.js'
import type { Service } from '../../src/model/service.js'
import type { Claim, OwnContainer } from '../../src/store/cluster.js'
import type { EtcdSettings } from '../../src/store/open-etcd.js'
import type { EtcdServers } from './etcd.js'
import { waitFor } from './wait.js'

export function claimOf(name: string, last: number, fields: Partial<Claim> = {}): Claim {
  return {
    name,
    address: `192.168.77.${last}`,
    pool: '10.254.0.0/16',
    nodePrefix: 24,
    vipPool: '10.253.0.0/16',
    ipv6: null,
    ...fields,
  }
}

export function container(id: string, fields: Partial<OwnContainer> = {}): OwnContainer {
  return { id, name: `c-${id}`, labels: { app: 'web' }, address: '10.254.0.3', state: 'ready', ...fields }
}

export function view(servers: EtcdServers, options: Partial<EtcdSettings>) {
  const { store, cluster, close } = servers.open(options)
  const services: (readonly Service[])[] = []
  const snapshots: ClusterSnapshot[] = []
  const troubles: (string | null)[] = []
  const now = { store: null as string | null, cluster: null as string | null }
  const hear = (of: keyof typeof now) => (error: Error | null) => {
    now[of] = error?.message ?? null
    troubles.push(now[of])
  }
  store.start(snapshot => services.push(snapshot.services), hear('store'))
  cluster.start(snapshot => snapshots.push(snapshot), hear('cluster'))
  return {
    store,
    cluster,
    close,
    /** All that was delivered, oldest first. */
    services,
    snapshots,
    troubles,
    /** What is wrong now. */
    trouble: () => now.store ?? now.cluster,
    /** Names of published services: `a,b`. */
    names: () =>
      services
        .at(-1)
        ?.map(({ name }) => name)
        .join(),
    /** Names of live nodes: `n1,n2`. */
    live: () => liveOf(snapshots.at(-1)),
    /** `n1/a:ready n2/b:leaving` */
    containers: () =>
      snapshots
        .at(-1)
        ?.containers.map(({ node, id, state }) => `${node}/${id}:${state}`)
        .join(' '),
  }
}

export type View = ReturnType<typeof view>

export function liveOf(snapshot: ClusterSnapshot | undefined): string | undefined {
  return snapshot?.nodes
    .filter(({ live }) => live)
    .map(({ name }) => name)
    .join()
}

/** Two nodes that know of one another and of a container on each. */
export async function twoNodes(servers: EtcdServers, prefix: string, endpoints: [string[], string[]]) {
  const one = view(servers, { prefix, endpoints: endpoints[0] })
  const two = view(servers, { prefix, endpoints: endpoints[1] })
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.announce([container('a')])
  await two.cluster.announce([container('b')])
  for (const node of [one, two])
    await waitFor(() => node.containers() === 'n1/a:ready n2/b:ready', 'both containers', 5)
  return [one, two] as const
}

/** Whether a node, once it saw both, ever missed one. */
export function everMissed(node: View): boolean {
  const first = node.snapshots.findIndex(snapshot => liveOf(snapshot) === 'n1,n2')
  return node.snapshots.slice(first).some(snapshot => liveOf(snapshot) !== 'n1,n2')
}
