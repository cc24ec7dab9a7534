/**
 * meshd as it is really run: in its container, by the stack file on a swarm and by
 * hand. The container may be updated, killed and started anew: no client notices.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { ask, Load } from '../helpers/clients.js'
import { foreignView, hostView } from '../helpers/host-view.js'
import { must, outside, run, startNodes } from '../helpers/lab.js'
import { asMeshd, docker, giveEtcdImage, giveImage } from '../helpers/meshd-container.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { managers: 1 })
if (!node) throw new Error('no node')
const mesh = new NodeMesh(node)
const url = `http://${node.address}:8888/`
const short = (id: string) => id.slice(0, 12)
const etcd = `http://${node.address}:2379`
const webs = await Promise.all([0, 1].map(() => node.docker.runContainer({ labels: { app: 'web' } })))
const inNode = (...args: string[]) => docker(node, ...args)

t.afterEach(async t => {
  if (t.passing()) return
  const { stdout, stderr } = await run(['scripts/nodes', 'cli', node.name, 'logs', '--tail', '50', 'meshd'])
  t.comment(`${stdout}${stderr}`)
})

/** Until the agent is well, and runs in a container of the image. */
async function running(image: string): Promise<void> {
  await waitFor(
    async () => {
      const { Config, State } = await node!.docker.inspect('meshd')
      if (!State.Running || Config.Labels.version !== image) return false
      const { healthy, lastPass } = await mesh.client.status()
      return healthy && lastPass !== null
    },
    `meshd in a container of ${image}`,
    120,
    0.2,
  )
}

/** A load while something is done; none of it may fail. */
async function unnoticed(t: Test, act: () => Promise<void>): Promise<void> {
  const loads = [new Load([url], 10, { timeout: 10 }), new Load([url], 5, { timeout: 10, keep: 2 })]
  try {
    await act()
    await mesh.settled(8888, 2)
  } finally {
    const reports = await Promise.all(loads.map(load => load.stop()))
    const all = reports.reduce((sum, { ok, failed }) => sum + ok + failed, 0)
    const codes = reports.flatMap(({ failures }) => failures.map(({ code }) => code))
    t.same(codes, [], `meanwhile 0 of ${all} requests fail`)
  }
}

t.test('the stack file brings etcd and meshd to the node', async () => {
  await giveEtcdImage(node, 'etcd:1')
  for (const version of ['1', '2']) await giveImage(node, `meshd:${version}`)
  // Of three members one will do here.
  const stack = parse(readFileSync('scripts/stack.yml', 'utf8'), { merge: true })
  delete stack.services.etcd2
  delete stack.services.etcd3
  stack.services.etcd1.environment.ETCD_INITIAL_CLUSTER = `etcd1=http://${node.address}:2380`
  stack.services.meshd.environment.MESH_ETCD_ENDPOINTS = etcd
  // Here meshctl takes a second of the only CPU.
  delete stack.services.meshd.healthcheck
  writeFileSync('/tmp/stack.yml', stringify(stack))
  const members = [1, 2, 3].map(i => `ETCD_${i}=${node.address}`)
  const deploy = ['stack', 'deploy', '--resolve-image', 'never', '-c', '/tmp/stack.yml', 'mesh']
  const variables = ['MESH_IMAGE=meshd:1', 'ETCD_IMAGE=etcd:1', ...members]
  await must(['env', ...variables, 'scripts/nodes', 'cli', node.name, ...deploy])
  await running('meshd:1')
})

t.test('a port published from within the container answers, and the client is seen', async t => {
  await inNode('exec', 'meshd', 'meshctl', 'publish', '8888:80', 'web', '--selector', 'app=web', '--wait')
  await mesh.settled(8888, 2)
  const answers = await Promise.all([0, 1, 2, 3].map(() => ask(url)))
  t.same([...new Set(answers.map(({ client }) => client))], [outside])
  t.same([...new Set(answers.map(({ container }) => container))].sort(), webs.map(short).sort())
  t.match(
    await node.must('ip', 'netns', 'list'),
    /^mesh\b/m,
    'the sandbox is where the operator looks for it',
  )
})

t.test('an update of the image is not noticed', async t => {
  await unnoticed(t, async () => {
    await inNode('service', 'update', '--detach', '--no-resolve-image', '--image', 'meshd:2', 'mesh_meshd')
    await running('meshd:2')
  })
  t.same((await mesh.client.status()).repairs, [], 'nothing had to be repaired')
})

t.test('when the service is removed, meshd and the traffic stay', async t => {
  await unnoticed(t, async () => {
    await inNode('service', 'rm', 'mesh_meshd')
    const launchers = () => inNode('ps', '-q', '--filter', 'name=mesh_meshd')
    await waitFor(async () => (await launchers()) === '', 'the end of the task', 60, 0.5)
  })
  t.ok((await node.docker.inspect('meshd')).State.Running)
})

t.test('a killed container and one started by hand in its place are not noticed', async t => {
  await unnoticed(t, async () => {
    await inNode('rm', '-f', 'meshd')
    const settings = ['--store', 'etcd', '--etcd-endpoints', etcd]
    await inNode('run', '-d', '--name', 'meshd', ...asMeshd, 'meshd:1', ...settings)
    await running('meshd:1')
  })
  const { troubles, repairs } = await mesh.client.status()
  t.same({ troubles, repairs }, { troubles: [], repairs: [] })
})

t.test('all other names are asked of the resolvers that the node has at the time', async t => {
  const path = `/proc/${node.pid}/root/etc/resolv.conf`
  const before = readFileSync(path)
  t.teardown(() => writeFileSync(path, before))
  writeFileSync(path, 'nameserver 192.168.77.253\n')
  const upstreams = async () => (await mesh.client.names()).upstreams
  await waitFor(async () => (await upstreams()).join() === '192.168.77.253', 'the new resolver', 60, 0.5)
})

t.test('a container without what it needs says what it needs', async t => {
  const some = ['--privileged', '--pid', 'host', '-v', '/run:/run']
  const { stderr } = await run(['scripts/nodes', 'cli', node.name, 'run', '--rm', ...some, 'meshd:1'])
  t.match(stderr, 'container lacks --network host and --volume /run:/run:rshared')
})

t.test('clean in a container leaves the node as it was, and ends the agent', async t => {
  const others = foreignView(mesh.host)
  t.match(
    await inNode('run', '--rm', ...asMeshd, '--entrypoint', 'meshctl', 'meshd:2', 'clean'),
    'the node is as it was before the mesh',
  )
  t.same(hostView(mesh.host), others, 'only what is not of the mesh')
  t.notOk(existsSync(mesh.sandbox), 'no namespace')
  t.notOk(existsSync(`/proc/${node.pid}/root/run/mesh`), 'no directory')
  await waitFor(async () => !(await node.docker.inspect('meshd')).State.Running, 'the end of the agent', 30)
})
