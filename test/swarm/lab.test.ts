/**
 * The lab's nodes themselves: what every other test of this layer builds on.
 */
import t from 'tap'
import { ask, askUdp, Load } from '../helpers/clients.js'
import { outside, run, startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { managers: 1 })
if (!node) throw new Error('no node')

t.test('a container on docker0 answers a client outside by its own address', async t => {
  const id = await node.docker.runContainer({ name: 'plain', labels: { tier: 'front' } })
  const details = await node.docker.inspect(id)
  t.match(details.NetworkSettings.IPAddress, /^172\.17\./)
  // Docker drops what is forwarded to its bridge from elsewhere; for this test it may pass.
  await node.must('iptables', '-P', 'FORWARD', 'ACCEPT')
  await run(['ip', 'route', 'add', '172.17.0.0/16', 'via', node.address])
  const url = `http://${details.NetworkSettings.IPAddress}/`
  const answer = await waitFor(() => ask(url), 'an answer', 10)
  t.equal(answer.container, id.slice(0, 12))
  t.equal(answer.client, outside)
  t.equal(answer.port, 80)
  t.equal((await askUdp(details.NetworkSettings.IPAddress, 80)).client, outside)

  const load = new Load([url], 50, { keep: 4 })
  await new Promise(resolve => setTimeout(resolve, 2000))
  const report = await load.stop()
  t.equal(report.failed, 0)
  t.ok(report.ok >= 90, `${report.ok} of 100 requests were sent`)
  t.same([...report.containers.keys()], [id.slice(0, 12)])
})

t.test('a container that asks for none gets no network', async t => {
  const id = await node.docker.runContainer({ network: 'none' })
  const details = await node.docker.inspect(id)
  t.ok(details.State.Running)
  t.equal(details.NetworkSettings.IPAddress, '')
})

t.test('health follows the file /tmp/sick', async t => {
  const id = await node.docker.runContainer({ image: 'mesh-test:health' })
  const health = async () => (await node.docker.inspect(id)).State.Health?.Status
  await waitFor(async () => (await health()) === 'healthy', 'health', 20)
  await node.docker.exec(id, 'touch', '/tmp/sick')
  await waitFor(async () => (await health()) === 'unhealthy', 'sickness', 20)
  await node.docker.removeContainer(id)
  t.pass()
})

t.test('a service of three replicas runs and scales', async t => {
  await node.docker.createService({ name: 'web', replicas: 3 })
  await node.tasks('web', 3)
  await node.docker.scale('web', 1)
  await node.tasks('web', 1)
  await node.docker.removeService('web')
  t.pass()
})

t.test('a program in a node runs, ends on a signal, and its status comes out', async t => {
  const result = await node.exec('sh', '-c', 'hostname; echo trouble >&2; exit 3')
  t.same(result, { status: 3, stdout: 'node1\n', stderr: 'trouble\n' })
  const program = node.start(
    'sh',
    '-c',
    'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.1; done',
  )
  await waitFor(() => program.output.includes('ready'), 'the program', 5)
  program.kill('SIGTERM')
  t.equal(await program.ended, 7)
  t.match(program.output, 'bye')
})

t.test('/run/netns is shared within the node and hidden from others', async t => {
  await node.must('ip', 'netns', 'add', 'probe')
  t.match(await node.must('ip', 'netns', 'exec', 'probe', 'ip', 'link'), 'lo')
  t.notOk((await run(['ip', 'netns', 'exec', 'probe', 'true'])).status === 0)
})

t.test('a node comes back from a power cut with its disk, and its Engine starts again', async t => {
  await node.must('touch', '/var/lib/mesh/kept', '/run/lost')
  await node.power('off')
  await node.power('on')
  t.equal((await node.exec('test', '-e', '/var/lib/mesh/kept')).status, 0)
  t.equal((await node.exec('test', '-e', '/run/lost')).status, 1)
  await node.startDocker()
  t.equal((await node.docker.inspect('plain')).State.Running, false)
})
