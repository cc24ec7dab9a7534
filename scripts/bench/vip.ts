/**
 * A service's own address, called from a container: the mesh's VIP beside the one that
 * Docker gives a service on an overlay network, and beside the endpoint's own address there.
 */

import { runIn } from '../../test/helpers/namespaces.js'
import { NodeMesh } from '../../test/helpers/node-mesh.js'
import { waitFor } from '../../test/helpers/wait.js'
import { answered, bulk, connections, idleMachine, inTurn, type Series } from './load.js'
import type { Options } from './parts.js'
import { type Row, ratios, type Section } from './report.js'
import { type Backend, containerPorts, SwarmStage } from './swarm-stage.js'

const network = 'shop'

interface Way {
  readonly name: string
  readonly address: string
  readonly small: number
  readonly load: number
}

interface DockerService {
  readonly Endpoint: { readonly VirtualIPs: readonly { readonly NetworkID: string; readonly Addr: string }[] }
}

/** The service's address on the overlay network, and its container's. */
async function onOverlay(stage: SwarmStage, { service, namespace }: Backend) {
  const { docker } = stage.entry
  const { Id } = await docker.call<{ Id: string }>('GET', `/networks/${network}`)
  const { Endpoint } = await docker.call<DockerService>('GET', `/services/${service}`)
  const vip = Endpoint.VirtualIPs.find(({ NetworkID }) => NetworkID === Id)?.Addr.split('/')[0]
  if (vip === undefined) throw new Error(`${service} has no VIP on ${network}`)
  const prefix = vip.split('.').slice(0, 3).join('.')
  const own = new RegExp(`inet (${prefix}\\.\\d+)/`).exec(runIn(namespace, ['ip', '-4', 'addr']))?.[1]
  if (own === undefined) throw new Error(`${service}'s container is not on ${network}`)
  return { vip, own }
}

async function waysTo(stage: SwarmStage, backend: Backend): Promise<Way[]> {
  const { vip, own } = await onOverlay(stage, backend)
  const meshVip = await waitFor(
    async () => (await new NodeMesh(stage.entry).client.inspect(backend.service)).vip,
    `the VIP of ${backend.service}`,
    30,
  )
  const published = stage.by('mesh', backend)
  return [
    { name: 'direct', address: own, ...containerPorts('direct') },
    { name: "mesh's VIP", address: meshVip, ...containerPorts('mesh') },
    { name: "Docker's VIP", address: vip, ...containerPorts("Docker's mesh") },
    { ...published, name: "mesh's published port" },
  ]
}

function rows(series: Series, ways: readonly Way[], unit: string): Row[] {
  const mesh = series.of("mesh's VIP", 'rate')
  return [
    ...ways.map(({ name }) => ({ name, unit, samples: series.of(name, 'rate') })),
    {
      name: "mesh's VIP ÷ Docker's VIP",
      unit: '×',
      samples: ratios(mesh, series.of("Docker's VIP", 'rate')),
      atLeast: 1,
    },
    { name: "mesh's VIP ÷ direct", unit: '×', samples: ratios(mesh, series.of('direct', 'rate')) },
  ]
}

export async function vip({ quick }: Options): Promise<Section[]> {
  const rounds = quick ? 3 : 7
  const stage = await SwarmStage.up({ nodes: quick ? 1 : 2, network })
  const caller = await stage.entry.docker.runContainer({
    name: 'caller',
    network,
    labels: { 'mesh.attach': 'true' },
  })
  const from = await new NodeMesh(stage.entry).containerNamespace(caller)
  const sections: Section[] = []
  for (const backend of stage.backends) {
    const ways = await waysTo(stage, backend)
    for (const way of ways) await answered(from, way)
    await idleMachine()
    const where = backend.node === stage.entry ? 'endpoint on the node' : 'endpoint on another node'
    const opened = await inTurn(ways, rounds, way => connections(from, way, 0.5))
    const carried = await inTurn(ways, rounds, ({ address, load }) =>
      bulk(from, address, load, { streams: 1, seconds: 1 }),
    )
    sections.push(
      { title: `A container calls a service: new connections; ${where}`, rows: rows(opened, ways, '/s') },
      {
        title: `A container calls a service: bulk, one stream; ${where}`,
        rows: rows(carried, ways, 'Gbit/s'),
      },
    )
  }
  const remarks = [
    '“direct”: the address of the endpoint on the overlay network that both containers are on.',
  ]
  return [...sections.slice(0, -1), { ...sections.at(-1)!, remarks }]
}
