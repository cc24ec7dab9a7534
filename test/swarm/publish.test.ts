/**
 * `meshctl publish` on a real node: what a name, a selector and a SPEC stand for.
 */
import t, { type Test } from 'tap'
import { createClient } from '../../src/cli/client.js'
import { run as meshctlHere } from '../../src/cli/parser.js'
import { ask, askUdp } from '../helpers/clients.js'
import { composeLabels } from '../helpers/containers.js'
import { outside, startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { managers: 1 })
if (!node) throw new Error('no node')
const { docker } = node
const socket = `/proc/${node.pid}/root/run/mesh/mesh.sock`
const mesh = createClient(socket)
const url = (port: number) => `http://${node.address}:${port}/`

/** Names of all containers that answer on a port: asked until `count` have, and some more times. */
async function who(port: number, count: number): Promise<string[]> {
  const seen = new Set<string>()
  await waitFor(
    async () => {
      seen.add((await ask(url(port))).container)
      return seen.size >= count
    },
    `${count} answers on ${port}`,
    20,
    0,
  )
  for (let i = 0; i < count * 2; i++) seen.add((await ask(url(port))).container)
  return [...seen].sort()
}

const refused = (t: Test, port: number) =>
  t.rejects(ask(url(port)), { code: 'ECONNREFUSED' }, `${port} is refused`)
const short = (id: string) => id.slice(0, 12)
const shop = [
  await docker.runContainer({ name: 'shop-api-1', labels: composeLabels('shop', 'api') }),
  await docker.runContainer({ name: 'shop-api-2', labels: composeLabels('shop', 'api') }),
]
const db = await docker.runContainer({ name: 'shop-db-1', labels: composeLabels('shop', 'db') })
await docker.runContainer({ name: 'shop-api-run', labels: composeLabels('shop', 'api', true) })
await docker.runContainer({ name: 'crm-api-1', labels: composeLabels('crm', 'api') })
const solo = await docker.runContainer({
  name: 'solo',
  command: ['web', '80', '81', '8000-8009', '9020-9022'],
})
await docker.createService({ name: 'web', replicas: 2 })
await node.tasks('web', 2)
// Full passes so far apart that damage stays to be seen.
const agent = await node.startAgent('--resync', '300')
t.teardown(() => agent.kill('SIGTERM'))

t.test('a Swarm service is published by its name', async t => {
  t.same(await node.meshctl('publish', '8888:80', 'web'), {
    status: 0,
    stdout: 'web is published on 8888:80/tcp; 2 of 2 endpoints ready\n',
    stderr: '',
  })
  const tasks = await docker.runningTasks('web')
  t.same(await who(8888, 2), tasks.map(task => short(task.Status.ContainerStatus!.ContainerID)).sort())
  t.equal((await ask(url(8888))).client, outside, 'the client keeps its address')
})

t.test(
  'a compose service is published as project/service, or by its name alone if that is unique',
  async t => {
    t.match(await node.meshctl('publish', '8101:80', 'shop/api'), {
      status: 0,
      stdout: /2 of 2 endpoints ready/,
    })
    t.same(await who(8101, 2), shop.map(short).sort(), 'without the container of a `docker compose run`')
    await mesh.publish({ service: 'db', ports: ['8102:80'] }, 60)
    t.same(await who(8102, 1), [short(db)])
    await t.rejects(meshctlHere(['publish', '8103:80', 'api', '--socket', socket]), {
      code: 'MESH_BAD_INPUT',
      message:
        'service "api": 2 compose projects have a service of this name; write one of crm/api, shop/api',
    })
    await refused(t, 8103)
  },
)

t.test('a container is published with several ports, a scheduler and a drain time', async t => {
  const specs = ['8104:80', '8105:81', '5300:80/udp']
  t.same(await node.meshctl('publish', ...specs, 'solo', '--scheduler', 'wlc', '--drain', '5s'), {
    status: 0,
    stdout: 'solo is published on 8104:80/tcp, 8105:81/tcp, 5300:80/udp; 1 of 1 endpoints ready\n',
    stderr: '',
  })
  t.match(await ask(url(8104)), { container: short(solo), port: 80 })
  t.match(await ask(url(8105)), { container: short(solo), port: 81 })
  t.match(await askUdp(node.address, 5300, { localPort: 40_000 }), {
    container: short(solo),
    client: outside,
    clientPort: 40_000,
    port: 80,
  })
  t.match(await mesh.inspect('solo'), { scheduler: 'wlc', drain: 5 })
  const services = await node.must('ip', 'netns', 'exec', 'mesh', 'ipvsadm', '-Sn')
  for (const port of [8104, 8105]) t.match(services, `-A -f ${0x10000 + port} -s wlc\n`)
})

t.test('a target alone lets the mesh choose a free port from 30000-32767, and it says which', async t => {
  const { status, stdout } = await node.meshctl('publish', '80', ':80/udp', 'solo')
  t.equal(status, 0)
  const [tcp = 0, udp = 0] = [...stdout.matchAll(/\b(3\d{4}):80\/(?:tcp|udp)/g)].map(([, port]) =>
    Number(port),
  )
  for (const port of [tcp, udp]) t.ok(port >= 30_000 && port <= 32_767, `${port} is chosen`)
  t.match(await ask(url(tcp)), { container: short(solo), port: 80 })
  t.match(await askUdp(node.address, udp), { container: short(solo), port: 80 })
})

t.test('a range keeps its ports or shifts them; what leaves them alone is one virtual service', async t => {
  const ports = ['8000-8009:8000-8009', '9010-9012:9020-9022']
  await mesh.publish({ service: 'range', ports, selector: 'mesh.container=solo' }, 60)
  for (const port of [8000, 8004, 8009]) t.match(await ask(url(port)), { container: short(solo), port })
  t.equal((await ask(url(9010))).port, 9020)
  t.equal((await ask(url(9012))).port, 9022)
  t.match(await askUdp(node.address, 5300), { client: outside }, 'other services go on')
  const marks = (await node.must('ip', 'netns', 'exec', 'mesh', 'ipvsadm', '-Sn')).match(/-A -f \d+/g) ?? []
  const inRange = marks
    .map(mark => Number(mark.slice(6)) - 0x10000)
    .filter(port => port >= 8000 && port <= 8009)
  t.same(inRange, [8000])
  await refused(t, 8010)
})

t.test('containers join and leave a selector as they start and stop', async t => {
  t.match(await node.meshctl('publish', '8106:80', 'front', '--selector', 'tier=front,stage=live'), {
    status: 0,
    stdout: 'front is published on 8106:80/tcp; no endpoint yet\n',
  })
  await refused(t, 8106)
  const labels = { tier: 'front', stage: 'live' }
  await docker.runContainer({ name: 'stranger', labels: { tier: 'front' } })
  const one = await docker.runContainer({ name: 'one', labels })
  t.same(await who(8106, 1), [short(one)])
  const two = await docker.runContainer({ name: 'two', labels })
  t.same(await who(8106, 2), [one, two].map(short).sort())
  await docker.container(one, 'stop?t=5')
  t.same(await who(8106, 1), [short(two)])
  await docker.container(one, 'start')
  t.same(await who(8106, 2), [one, two].map(short).sort())
  for (const id of [one, two]) await docker.removeContainer(id)
  await waitFor(async () => (await mesh.inspect('front')).endpoints.length === 0, 'the end of both', 10)
  await refused(t, 8106)
})

t.test(
  'a name that nothing bears yet is published with a warning, and answers within a second of its container',
  async t => {
    t.same(await node.meshctl('publish', '8107:80', 'later'), {
      status: 0,
      stdout: 'later is published on 8107:80/tcp; no endpoint yet\n',
      stderr:
        'meshctl: warning: no Swarm service, compose service or container on this node is called later yet; connections are refused until there is one\n',
    })
    await refused(t, 8107)
    const id = await docker.runContainer({ name: 'later' })
    const started = performance.now()
    const answer = await waitFor(() => ask(url(8107)), 'an answer', 10, 0.01)
    const took = performance.now() - started
    t.equal(answer.container, short(id))
    t.ok(took < 1000, `answered ${took.toFixed()} ms after the start`)
  },
)

t.test('--wait returns when the port answers, or says that it does not', async t => {
  const waiting = node.start('dist/src/cli/meshctl.js', 'publish', '8108:80', 'healthy', '--wait')
  await waitFor(() => mesh.inspect('healthy'), 'the service', 20)
  await docker.runContainer({ name: 'healthy', image: 'mesh-test:health' })
  const starting = await waitFor(
    async () => (await mesh.inspect('healthy')).endpoints[0],
    'an endpoint',
    20,
    0.01,
  )
  if (starting.state === 'starting') await refused(t, 8108)
  t.equal(await waiting.ended, 0)
  t.match(waiting.output, 'healthy is published on 8108:80/tcp; 1 of 1 endpoints ready\n')
  t.match(await ask(url(8108)), { port: 80 })
  t.same(await node.meshctl('publish', '8109:80', 'nobody', '--wait', '--timeout', '1s'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: nobody is published, but no endpoint was ready within 1s; see meshctl inspect nobody\n',
  })
})

t.test('unpublished ports are refused, the others of the service go on', async t => {
  t.match(await node.meshctl('unpublish', '8104', 'solo'), {
    status: 0,
    stdout: /^solo no longer answers on 8104:80\/tcp; still published on 8105:81\/tcp, /,
    stderr: '',
  })
  await refused(t, 8104)
  t.equal((await ask(url(8105))).port, 81)
  t.same(await node.meshctl('unpublish', '8888:80', 'web'), {
    status: 0,
    stdout: 'web no longer answers on 8888:80/tcp; nothing of it is published any more\n',
    stderr: '',
  })
  await refused(t, 8888)
  for (const [port, service, message] of [
    ['8888', 'web', /service "web": not published/],
    ['1', 'solo', /it publishes 8105:81\/tcp/],
  ] as const)
    await t.rejects(meshctlHere(['unpublish', port, service, '--socket', socket]), { message })
})
