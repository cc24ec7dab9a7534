/**
 * The Docker source while the daemon itself is killed, frozen and started again, and
 * on a swarm: node1 is a swarm of one, node2 keeps its containers over a restart
 * (live-restore, which Swarm forbids).
 */
import { execFileSync } from 'node:child_process'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { dockerClient } from '../../src/sources/docker-client.js'
import { DockerWatch } from '../helpers/docker-watch.js'
import { must, startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node, lasting] = await startNodes(2, { docker: false })
if (!node || !lasting) throw new Error('no nodes')
await node.startDocker()
await lasting.startDocker('--live-restore')
await must(['scripts/nodes', 'cli', 'node1', 'swarm', 'init', '--advertise-addr', node.address])
const docker = node.docker
const watch = new DockerWatch(node)
t.teardown(() => watch.stop())

t.test("Swarm's services, tasks and published ports are known", async t => {
  // Host mode: Swarm's ingress takes half a minute to come up here.
  const port = { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8088, PublishMode: 'host' }
  await docker.createService({ name: 'web', more: { EndpointSpec: { Ports: [port] } } })
  const tasks = () =>
    watch.last.containers.filter(each => each.labels['com.docker.swarm.service.name'] === 'web')
  await waitFor(() => watch.last.swarmServices.includes('web'), 'the service', 20)
  await waitFor(() => watch.last.swarmPorts.length > 0, 'its port', 20)
  t.strictSame(watch.last.swarmPorts, [{ protocol: 'tcp', port: 8088, service: 'web', former: false }])
  const [task] = await waitFor(() => tasks().length === 1 && tasks(), 'its task', 90)
  t.match(task, { addresses: [/^172\./], dockerPorts: [{ protocol: 'tcp', port: 8088 }] })
  await docker.removeService('web')
  await waitFor(() => tasks().length === 0 && watch.last.swarmServices.length === 0, 'its end', 60)
})

/**
 * Kills the daemon in the middle of an answer: it has written what the socket holds, of which
 * this process reads nothing until then. Resolves to what became of the request.
 */
async function killInAnswer(): Promise<unknown> {
  const { Id } = await docker.call<{ Id: string }>('POST', '/containers/create', {
    Image: 'mesh-test:1',
    Labels: { long: 'x'.repeat(4 << 20) },
  })
  const client = await dockerClient(`/proc/${node!.pid}/root/run/docker.sock`, 2)
  const outcome = client.inspect(Id).catch((error: unknown) => error)
  for (let turns = 0; turns < 20; turns++) await nextTurn() // it is sent
  execFileSync('scripts/nodes', ['exec', 'node1', 'sh', '-c', 'sleep 2; pkill -KILL -x dockerd'])
  return outcome.finally(() => client.close())
}

t.test('a daemon killed takes nothing away until it says what is gone', async t => {
  const ids = await Promise.all([
    docker.runContainer({ network: 'none' }),
    docker.runContainer({ network: 'none' }),
  ])
  await Promise.all(ids.map(id => watch.until(id, 'start', () => true)))
  const kept = watch.last
  const first = watch.snapshots.length
  const outcome = await killInAnswer()
  t.ok(outcome instanceof Error, 'a request under way ends')
  t.comment(String(outcome))
  await waitFor(() => watch.troubles.length > 0, 'trouble', 20)
  t.match(watch.troubles[0], /^docker: /)
  await sleep(1500)
  t.strictSame(watch.last.containers, kept.containers)
  await node.startDocker()
  await waitFor(() => watch.troubles.at(-1) === null, 'Docker to be back', 60)
  for (const id of ids) await watch.gone(id)
  t.strictSame(
    watch.story(ids[0]!, first).at(-1),
    '-',
    'without live-restore the daemon ends them as it starts',
  )
  const id = await docker.runContainer({ network: 'none' })
  await watch.until(id, 'a container of the new daemon', () => true)
})

t.test('with live-restore a restarted daemon changes nothing', async t => {
  const watch = new DockerWatch(lasting)
  t.teardown(() => watch.stop())
  const ids = await Promise.all([
    lasting.docker.runContainer({ network: 'none' }),
    lasting.docker.runContainer({ network: 'none' }),
  ])
  await Promise.all(ids.map(id => watch.until(id, 'start', () => true)))
  const containers = ids.map(id => watch.find(id))
  const count = watch.snapshots.length
  await lasting.must('pkill', '-TERM', '-x', 'dockerd')
  await waitFor(() => watch.troubles.length > 0, 'trouble', 30)
  await lasting.startDocker('--live-restore')
  await waitFor(() => watch.troubles.at(-1) === null, 'Docker to be back', 60)
  await sleep(1000)
  t.strictSame(
    ids.map(id => watch.find(id)),
    containers,
  )
  t.equal(watch.snapshots.length, count, 'and makes no snapshot')
  await lasting.docker.container(ids[0]!, 'stop?t=1')
  await watch.gone(ids[0]!)
})

t.test('with a frozen daemon what ends is seen, all else stays, and it is caught up with', async t => {
  const kept = watch.last
  await node.must('pkill', '-STOP', '-x', 'dockerd')
  const [first, ...others] = kept.containers
  await node.must('kill', '-KILL', String(first!.pid))
  await waitFor(() => watch.find(first!.id)?.state === 'exited', 'its end by its process', 20)
  t.strictSame(
    watch.last.containers.filter(({ id }) => id !== first!.id),
    others,
  )
  await node.must('pkill', '-CONT', '-x', 'dockerd')
  await watch.gone(kept.containers[0]!.id)
})
