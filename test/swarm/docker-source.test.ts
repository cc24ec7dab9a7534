/**
 * The Docker source on a real Engine: what it says of containers in all that can
 * happen to one. Networks cost a second per container here, so most have none.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { DockerWatch } from '../helpers/docker-watch.js'
import { startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const docker = node.docker
const watch = new DockerWatch(node)
t.teardown(() => watch.stop())
/** The container that the first test starts. */
const plain = () => watch.last.containers.find(each => each.name === 'plain')!

t.test('a container is delivered as it starts, with its addresses and networks', async t => {
  await waitFor(() => watch.snapshots.length > 0, 'a first snapshot', 20)
  const id = await docker.runContainer({ name: 'plain', labels: { tier: 'front' } })
  const first = await watch.until(id, 'plain', () => true)
  const address = (await docker.inspect(id)).NetworkSettings.IPAddress
  t.match(first, {
    name: 'plain',
    labels: { tier: 'front' },
    state: 'running',
    health: 'none',
    network: 'own',
  })
  t.strictSame(first.addresses, [address])
  t.strictSame(first.networks, ['172.17.0.0/16'])
  t.ok(first.pid > 0)

  const none = await docker.runContainer({ name: 'lonely', network: 'none' })
  t.match(await watch.until(none, 'lonely', () => true), { addresses: [], networks: [], network: 'own' })
  t.equal(watch.find(id), first, 'the other one is the same object')
  await docker.removeContainer(none)
  await watch.gone(none)
})

t.test('whose network a container uses is known', async t => {
  const owner = plain()
  const command = ['sleep', '1000']
  const host = await docker.runContainer({ network: 'host', command })
  const joined = await docker.runContainer({ network: 'container:plain', command })
  t.match(await watch.until(host, 'host', () => true), { network: 'host', addresses: [] })
  t.match(await watch.until(joined, 'joined', () => true), {
    network: `container:${owner.id}`,
    addresses: owner.addresses,
  })
  await Promise.all([host, joined].map(id => docker.removeContainer(id)))
  await Promise.all([host, joined].map(id => watch.gone(id)))
})

t.test('a network connected later brings an address, disconnected it takes it away', async t => {
  const { id, addresses } = plain()
  await docker.call('POST', '/networks/create', { Name: 'inner', Driver: 'bridge', Internal: true })
  await docker.call('POST', '/networks/inner/connect', { Container: id })
  await watch.until(id, 'a second address', each => each.addresses.length === 2 && each.networks.length === 2)
  await docker.call('POST', '/networks/inner/disconnect', { Container: id })
  await watch.until(id, 'one address', each => each.addresses.length === 1)
  t.strictSame(watch.find(id)?.addresses, addresses)
})

t.test('a stop is known while the container still runs; a SIGHUP is no stop', async t => {
  // Its first process ignores SIGHUP and takes a second to end on its own stop signal.
  const command = ['sh', '-c', "trap '' HUP; trap 'sleep 1; exit' USR1; while :; do sleep 0.1; done"]
  const id = await docker.runContainer({ network: 'none', command, more: { StopSignal: 'SIGUSR1' } })
  await watch.until(id, 'start', () => true)
  await sleep(500)
  const first = watch.snapshots.length - 1
  await docker.container(id, 'kill?signal=HUP')
  await sleep(500)
  t.strictSame(watch.story(id, first), ['running'])

  const begun = performance.now()
  const stopped = docker.container(id, 'stop?t=10')
  await watch.until(id, 'leaving', each => each.leaving)
  t.comment(`known ${Math.round(performance.now() - begun)} ms after the request to stop`)
  await stopped
  await watch.gone(id)
  t.match(watch.story(id, first).slice(0, 3), ['running', 'running leaving', 'exited'])
  await docker.removeContainer(id)
})

t.test('pause, unpause and rename are followed', async t => {
  const { id, pid } = plain()
  await docker.container(id, 'pause')
  await watch.until(id, 'pause', each => each.state === 'paused')
  await docker.container(id, 'unpause')
  await watch.until(id, 'unpause', each => each.state === 'running')
  await docker.container(id, 'rename?name=latter')
  t.equal((await watch.until(id, 'name', each => each.name === 'latter')).pid, pid)
  await docker.container(id, 'rename?name=plain')
  await watch.until(id, 'name', each => each.name === 'plain')
})

t.test('health is followed', async t => {
  const id = await docker.runContainer({ image: 'mesh-test:health', network: 'none' })
  t.equal((await watch.until(id, 'start', () => true)).health, 'starting')
  await watch.until(id, 'health', each => each.health === 'healthy')
  await docker.exec(id, 'touch', '/tmp/sick')
  await watch.until(id, 'sickness', each => each.health === 'unhealthy')
  await docker.removeContainer(id)
  await watch.gone(id)
})

t.test('a restart ends one process and begins another', async t => {
  const { id, pid } = plain()
  const first = watch.snapshots.length - 1
  await docker.container(id, 'restart?t=1')
  await watch.until(id, 'restart', each => each.pid !== pid && each.state === 'running' && !each.leaving)
  // Docker tells of its signal when it has sent it, and the process may have ended by then.
  const story = watch.story(id, first).filter(look => look !== 'running leaving')
  t.match(story.slice(0, 2), ['running', 'exited'])
  t.equal(story.at(-1), 'running')
})

t.test('a container killed and started again by its restart policy is followed', async t => {
  const id = await docker.runContainer({ network: 'none', host: { RestartPolicy: { Name: 'always' } } })
  const { pid } = await watch.until(id, 'start', () => true)
  await node.must('kill', '-KILL', String(pid))
  await watch.until(id, 'new process', each => each.pid !== 0 && each.pid !== pid)
  await docker.removeContainer(id)
  await watch.gone(id)
  t.pass()
})

t.test('ports Docker publishes are known', async t => {
  const id = await docker.runContainer({
    more: { ExposedPorts: { '80/tcp': {}, '53/udp': {} } },
    host: { PortBindings: { '80/tcp': [{ HostPort: '8081' }], '53/udp': [{ HostPort: '5353' }] } },
  })
  const { dockerPorts } = await watch.until(id, 'start', () => true)
  t.strictSame(
    [...dockerPorts].sort((a, b) => a.port - b.port),
    [
      { protocol: 'udp', port: 5353 },
      { protocol: 'tcp', port: 8081 },
    ],
  )
  await docker.removeContainer(id)
  await watch.gone(id)
})

t.test('eight containers started four at a time are all delivered, in few snapshots', async t => {
  const before = watch.last.containers.length
  const ids: string[] = []
  for (let index = 0; index < 8; index++) {
    const options = { Image: 'mesh-test:1', HostConfig: { NetworkMode: 'none' } }
    ids.push((await docker.call<{ Id: string }>('POST', '/containers/create', options)).Id)
  }
  const first = watch.snapshots.length
  const waiting = [...ids]
  const starter = async () => {
    for (let id = waiting.pop(); id; id = waiting.pop()) await docker.container(id, 'start')
  }
  await Promise.all([starter(), starter(), starter(), starter()])
  await Promise.all(ids.map(id => watch.until(id, 'start', each => each.state === 'running')))
  t.comment(`${watch.snapshots.length - first} snapshots`)
  t.ok(watch.snapshots.length - first <= 10)
  t.equal(watch.last.containers.length, before + 8)
})
