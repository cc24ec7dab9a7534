/**
 * The data plane: the mesh beside Docker's own, HAProxy, nginx, a DNAT rule and the way
 * without any of them, to one and the same container, in turn. On a machine of one
 * processor (the lab is one) client, server and balancer share it: what a way adds to
 * the direct one is the balancer's part.
 */
import { runIn } from '../../test/helpers/namespaces.js'
import {
  bulk,
  connections,
  datagrams,
  type Figures,
  idleMachine,
  inTurn,
  requests,
  type Series,
} from './load.js'
import type { Options } from './parts.js'
import { type Row, ratios, type Section } from './report.js'
import { type Backend, client, SwarmStage, type Way } from './swarm-stage.js'

/** Goals for the mesh against each way, as far as there are any. */
const goals: Readonly<Record<string, number>> = { "Docker's mesh": 1.1, DNAT: 0.9 }
const goalsOfConnections = { ...goals, HAProxy: 3, nginx: 3 }

interface Scene {
  readonly ways: readonly Way[]
  readonly quick: boolean
  /** `endpoint on the node`, … */
  readonly where: string
}

function rowsOf(series: Series, { ways }: Scene, figure: string, unit: string, what = ''): Row[] {
  return ways
    .map(({ name }) => ({ name: `${name}${what}`, unit, samples: series.of(name, figure) }))
    .filter(({ samples }) => samples.length > 0)
}

/** The mesh by each of the others. */
function ratioRows(series: Series, { ways }: Scene, wanted: Readonly<Record<string, number>>): Row[] {
  const mesh = series.of('mesh', 'rate')
  return ways
    .filter(({ name }) => name !== 'mesh' && series.of(name, 'rate').length > 0)
    .map(({ name }) => ({
      name: `mesh ÷ ${name}`,
      unit: '×',
      samples: ratios(mesh, series.of(name, 'rate')),
      ...(wanted[name] === undefined ? {} : { atLeast: wanted[name] }),
    }))
}

/** What a way takes more than the direct one, round by round. */
function addedBy(series: Series, name: string, figure: string): number[] {
  const direct = series.of('direct', figure)
  return series.of(name, figure).map((value, round) => value - (direct[round] ?? Number.NaN))
}

function addedRows(series: Series, { ways }: Scene): Row[] {
  const balancing = ways.filter(({ name }) => name !== 'direct')
  return [
    ...balancing.map(({ name }) => ({
      name: `${name}: processor time added to the direct way`,
      unit: 'µs',
      samples: addedBy(series, name, 'cpu'),
    })),
    ...['HAProxy', 'nginx'].map(name => ({
      name: `what the mesh adds ÷ what ${name} adds`,
      unit: '×',
      samples: ratios(addedBy(series, 'mesh', 'cpu'), addedBy(series, name, 'cpu')),
      goal: 0.33,
    })),
  ]
}

async function connectionSection(scene: Scene): Promise<Section> {
  const { ways, quick, where } = scene
  const series = await inTurn(ways, quick ? 6 : 12, (way): Figures => {
    const { spent } = way
    const before = spent?.() ?? 0
    const figures = connections(client, way, 0.25)
    return { ...figures, ...(spent ? { own: (spent() - before) / figures.count! } : {}) }
  })
  return {
    title: `New connections, one for each request; ${where}`,
    rows: [
      ...rowsOf(series, scene, 'rate', '/s'),
      ...ratioRows(series, scene, goalsOfConnections),
      ...rowsOf(series, scene, 'cpu', 'µs', ': processor time of a connection').slice(0, 1),
      ...addedRows(series, scene),
      ...rowsOf(series, scene, 'own', 'µs', ": its own program's processor time of a connection"),
    ],
  }
}

async function requestSection(scene: Scene): Promise<Section> {
  const { ways, quick, where } = scene
  const series = await inTurn(ways, quick ? 4 : 8, way => requests(client, way, 0.25))
  return {
    title: `Requests on 16 kept connections; ${where}`,
    rows: [
      ...rowsOf(series, scene, 'rate', '/s'),
      ...ratioRows(series, scene, goals),
      ...rowsOf(series, scene, 'median', 'µs', ': half within'),
      ...rowsOf(series, scene, 'p99', 'µs', ': 99 % within'),
    ],
  }
}

async function bulkSection(scene: Scene, streams: number, what: string): Promise<Section> {
  const { ways, quick, where } = scene
  const series = await inTurn(ways, quick ? 2 : 3, ({ address, load }) =>
    bulk(client, address, load, { streams, seconds: 1 }),
  )
  return {
    title: `Bulk, ${what}; ${where}`,
    rows: [
      ...rowsOf(series, scene, 'rate', 'Gbit/s'),
      ...ratioRows(series, scene, goals),
      ...rowsOf(series, scene, 'cpu', 's', ': processor time of a GB'),
    ],
  }
}

async function datagramSection(scene: Scene): Promise<Section> {
  const { ways, quick, where } = scene
  const able = ways.filter((way): way is Way & { udp: number } => way.udp !== null)
  const series = await inTurn(able, quick ? 4 : 8, ({ address, udp }) =>
    datagrams(client, address, udp, 0.25),
  )
  return {
    title: `Datagrams of 64 bytes; ${where}`,
    rows: [
      ...rowsOf(series, scene, 'rate', '/s'),
      ...ratioRows(series, scene, goals),
      ...rowsOf(series, scene, 'lost', '%', ': lost'),
    ],
  }
}

/** The client's link cuts what it sends to the size of a packet, as one does that has no offload; or no more. */
function cutPackets(on: boolean): void {
  runIn(client, ['ip', 'link', 'set', 'br0', 'gso_max_segs', on ? '1' : '65535'])
}

const remarks = [
  'The same container behind all ways, of a Swarm service that an Engine 20.10 publishes; the client is outside, 16 connections at a time.',
  'Client, server and balancer share one processor where the machine has no more, as the lab: “added” is what a way takes beyond the direct one.',
  'To another node the mesh and Docker have a VXLAN tunnel; HAProxy, nginx and DNAT (with masquerading) a route; “direct” does not come by the first node.',
  'Datagrams go to a second program in the same container where the mesh is not the way: what it publishes is answered by its way alone.',
]

export async function traffic({ quick }: Options): Promise<Section[]> {
  const stage = await SwarmStage.up({ nodes: quick ? 1 : 2 })
  stage.startPeers()
  const sections: Section[] = []
  for (const backend of stage.backends) sections.push(...(await measure(stage, backend, quick)))
  const last = sections.pop()!
  return [...sections, { ...last, remarks }]
}

async function measure(stage: SwarmStage, backend: Backend, quick: boolean): Promise<Section[]> {
  const ways = await stage.ways(backend)
  await idleMachine()
  const where = backend.node === stage.entry ? 'endpoint on the node' : 'endpoint on another node'
  const scene: Scene = { ways, quick, where }
  for (const way of ways) connections(client, way, 0.5)
  const sections = [await connectionSection(scene), await requestSection(scene)]
  if (!quick) {
    sections.push(await bulkSection(scene, 1, 'one stream'))
    sections.push(await bulkSection(scene, 8, 'eight streams'))
  }
  cutPackets(true)
  sections.push(await bulkSection(scene, 1, 'one stream in packets of 1,500 bytes'))
  cutPackets(false)
  sections.push(await datagramSection(scene))
  return sections
}
