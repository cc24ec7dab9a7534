/**
 * meshd as it is really run: in its container, by the stack file on two nodes of a swarm
 * and by hand. The container may be updated, killed and started anew: no client notices.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { ask, Load } from '../helpers/clients.js'
import { foreignView, hostView } from '../helpers/host-view.js'
import { must, type Node, run, startNodes } from '../helpers/lab.js'
import { asMeshd, docker, giveEtcdImage, giveImage } from '../helpers/meshd-container.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const nodes = await startNodes(2, { managers: 1 })
const [one, two] = nodes as [Node, Node]
const meshes = new Map(nodes.map(node => [node, new NodeMesh(node)]))
const meshOf = (node: Node) => meshes.get(node)!
/** One client address for each entry node: from one address the same port may be used through two nodes. */
const clientOf = (node: Node) => `192.168.77.20${node.name.slice(-1)}`
for (const node of nodes) await must(['ip', 'addr', 'add', `${clientOf(node)}/24`, 'dev', 'br0'])
const url = (node: Node) => `http://${node.address}:8888/`
const short = (id: string) => id.slice(0, 12)

const webs = await Promise.all(nodes.map(node => node.docker.runContainer({ labels: { app: 'web' } })))

t.afterEach(async t => {
  if (!t.passing())
    for (const node of nodes) {
      const { stdout, stderr } = await run([
        'scripts/nodes',
        'cli',
        node.name,
        'logs',
        '--tail',
        '50',
        'meshd',
      ])
      t.comment(`${node.name}: ${stdout}${stderr}`)
    }
})

/** Until the node's agent is well, and runs in a container of the image. */
async function running(node: Node, image: string, seconds = 90): Promise<void> {
  await waitFor(
    async () => {
      const { Config, State } = (await node.docker.inspect('meshd')) as {
        Config: { Labels: Record<string, string> }
        State: { Running: boolean }
      }
      if (!State.Running || Config.Labels.version !== image) return false
      const { healthy, lastPass } = await meshOf(node).client.status()
      return healthy && lastPass !== null
    },
    `meshd of ${node.name} in a container of ${image}`,
    seconds,
    0.2,
  )
}

async function settled(): Promise<void> {
  for (const node of nodes) await meshOf(node).settled(8888, 2)
}

/** A load through both nodes while something is done; none of it may fail. */
async function unnoticed(t: Test, what: string, act: () => Promise<void>): Promise<void> {
  const loads = nodes.map(node => new Load([url(node)], 5, { timeout: 10, localAddress: clientOf(node) }))
  try {
    await act()
    await settled()
  } finally {
    const reports = await Promise.all(loads.map(load => load.stop()))
    const all = reports.reduce((sum, { ok, failed }) => sum + ok + failed, 0)
    t.same(
      reports.flatMap(({ failures }) => failures.map(({ code }) => code)),
      [],
      `${what}: 0 of ${all} requests fail`,
    )
  }
}

t.test('the stack file brings etcd and meshd to the nodes', async () => {
  await giveEtcdImage(one, 'etcd:1')
  for (const node of nodes) for (const version of ['1', '2']) await giveImage(node, `meshd:${version}`)
  // Of three members one will do here.
  const stack = parse(readFileSync('scripts/stack.yml', 'utf8'), { merge: true })
  delete stack.services.etcd2
  delete stack.services.etcd3
  stack.services.etcd1.environment.ETCD_INITIAL_CLUSTER = `etcd1=http://${one.address}:2380`
  stack.services.meshd.environment.MESH_ETCD_ENDPOINTS = `http://${one.address}:2379`
  // Here meshctl takes a second of the only CPU, which is asked of it below instead.
  delete stack.services.meshd.healthcheck
  writeFileSync('/tmp/stack.yml', stringify(stack))
  const variables = [
    'MESH_IMAGE=meshd:1',
    'ETCD_IMAGE=etcd:1',
    ...[1, 2, 3].map(i => `ETCD_${i}=${one.address}`),
  ]
  const deploy = ['stack', 'deploy', '--resolve-image', 'never', '-c', '/tmp/stack.yml', 'mesh']
  await must(['env', ...variables, 'scripts/nodes', 'cli', one.name, ...deploy])
  for (const node of nodes) await running(node, 'meshd:1')
})

t.test('a port published from within the container answers on both nodes', async t => {
  await docker(
    two,
    'exec',
    'meshd',
    'meshctl',
    'publish',
    '8888:80',
    'web',
    '--selector',
    'app=web',
    '--wait',
  )
  await settled()
  for (const node of nodes) {
    const answers = await Promise.all(
      [0, 1, 2, 3].map(() => ask(url(node), { localAddress: clientOf(node) })),
    )
    t.same([...new Set(answers.map(({ client }) => client))], [clientOf(node)], 'the client is seen')
    t.same([...new Set(answers.map(({ container }) => container))].sort(), webs.map(short).sort())
  }
  t.ok(existsSync(meshOf(one).sandbox), 'the sandbox is where the operator looks for it')
  t.match(await one.must('ip', 'netns', 'list'), /^mesh\b/m)
})

t.test('an update of the image goes through the nodes unnoticed', async t => {
  await unnoticed(t, 'meanwhile', async () => {
    await docker(
      one,
      'service',
      'update',
      '--detach',
      '--no-resolve-image',
      '--image',
      'meshd:2',
      'mesh_meshd',
    )
    for (const node of nodes) await running(node, 'meshd:2', 120)
  })
  for (const node of nodes)
    t.same((await meshOf(node).client.status()).repairs, [], 'nothing had to be repaired')
})

t.test('when the stack is removed meshd and the traffic stay', async t => {
  await unnoticed(t, 'meanwhile', async () => {
    await docker(one, 'service', 'rm', 'mesh_meshd')
    const launchers = async (node: Node) => docker(node, 'ps', '-q', '--filter', 'name=mesh_meshd')
    for (const node of nodes)
      await waitFor(async () => (await launchers(node)) === '', 'the end of the tasks', 60)
  })
  for (const node of nodes) t.ok((await node.docker.inspect('meshd')).State.Running)
})

t.test('a killed container and one started by hand in its place are not noticed', async t => {
  await unnoticed(t, 'meanwhile', async () => {
    await docker(one, 'rm', '-f', 'meshd')
    const settings = ['--store', 'etcd', '--etcd-endpoints', `http://${one.address}:2379`]
    await docker(one, 'run', '-d', '--name', 'meshd', ...asMeshd, 'meshd:1', ...settings)
    await running(one, 'meshd:1')
  })
  const { troubles, repairs } = await meshOf(one).client.status()
  t.same({ troubles, repairs }, { troubles: [], repairs: [] })
})

t.test('clean in a container leaves the node as it was', async t => {
  for (const node of nodes) {
    await docker(node, 'rm', '-f', 'meshd')
    const others = foreignView(meshOf(node).host)
    const removed = await docker(
      node,
      'run',
      '--rm',
      ...asMeshd,
      '--entrypoint',
      'meshctl',
      'meshd:2',
      'clean',
    )
    t.match(removed, 'the node is as it was before the mesh')
    t.same(hostView(meshOf(node).host), others, 'only what is not of the mesh')
    t.notOk(existsSync(meshOf(node).sandbox), 'no namespace')
    t.notOk(existsSync(`/proc/${node.pid}/root/run/mesh`), 'no directory')
  }
})
