/**
 * The life of containers behind a published port, followed while clients outside the
 * node go on asking: starting, stopping, dying, pausing, falling ill.
 */
import t from 'tap'
import { ask, Load } from '../helpers/clients.js'
import { KeptConnection, UdpFlow } from '../helpers/flows.js'
import { rareLooks, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { sleep, waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const { docker, address: host } = node
const mesh = new NodeMesh(node)
const agent = await node.startAgent(...rareLooks, '--log-level', 'debug')
t.teardown(async () => {
  if (!t.passing()) t.comment(agent.output.slice(-20_000))
  agent.kill('SIGTERM')
  await agent.ended
})

/** Serves for one more second after SIGTERM, as a program does that knows of balancers. */
const lingering = ['web', '--linger', '1']
/** Does not end on SIGTERM at all. */
const stubborn = ['sh', '-c', 'trap "" TERM; web & wait']

const url = (port: number, path = '/') => `http://${host}:${port}${path}`
const short = (id: string) => id.slice(0, 12)
const ms = (since: number) => `${Math.round(performance.now() - since)} ms`
const told = (report: { ok: number; failed: number; codes: ReadonlyMap<string, number> }) =>
  `${report.ok} answered, ${report.failed} failed ${JSON.stringify(Object.fromEntries(report.codes))}`

function publish(port: string, app: string, drain = '30s') {
  return mesh.client.publish({ service: app, ports: [port], selector: `app=${app}`, drain }, 60)
}
function run(app: string, options: Parameters<typeof docker.runContainer>[0] = {}): Promise<string> {
  return docker.runContainer({ labels: { app }, ...options })
}
/** Who answers on the port, asked `count` times. */
async function answering(port: number, count: number): Promise<string[]> {
  const names = new Set<string>()
  for (let i = 0; i < count; i++) names.add((await ask(url(port))).container)
  return [...names].sort()
}

t.test(
  'a port without an endpoint refuses at once, and answers within a second of the first start',
  async t => {
    await publish('8801:80', 'start')
    const asked = performance.now()
    await t.rejects(ask(url(8801)), { code: 'ECONNREFUSED' })
    t.ok(performance.now() - asked < 500, `refused after ${ms(asked)}`)
    const id = await run('start')
    const started = performance.now()
    const { container } = await waitFor(() => ask(url(8801)), 'an answer', 30, 0.01)
    t.comment(`answers ${ms(started)} after Docker said that it runs`)
    t.equal(container, short(id))
    t.ok(performance.now() - started < 3000)
    await docker.removeContainer(id)
    await waitFor(
      () =>
        ask(url(8801)).then(
          () => false,
          error => error.code === 'ECONNREFUSED',
        ),
      'a refusal',
      10,
      0.02,
    )
  },
)

t.test('a container stopped under load loses no request', async t => {
  const [going, staying] = await Promise.all([run('stop', { command: lingering }), run('stop')])
  await publish('8802:80', 'stop')
  await mesh.settled(8802, 2)
  const address = await mesh.addressOf('stop', going)
  const fresh = new Load([url(8802)], 40)
  const kept = new Load([url(8802)], 40, { keep: 4 })
  await sleep(1)
  const asked = performance.now()
  const stopped = docker.container(going, 'stop?t=10')
  await waitFor(() => mesh.weight(8802, address) !== 1, 'weight 0', 20, 0.005)
  t.comment(`weight 0 after ${ms(asked)}`)
  t.equal(mesh.weight(8802, address), 0, 'it drains before it goes')
  await stopped
  await mesh.settled(8802, 1)
  await sleep(1)
  const [first, second] = await Promise.all([fresh.stop(), kept.stop()])
  t.comment(`new connections: ${told(first)}; kept: ${told(second)}`)
  t.equal(first.failed, 0, 'new connections')
  t.equal(second.failed, 0, 'kept connections')
  t.equal((await ask(url(8802))).container, short(staying))
  await docker.removeContainer(going)
})

t.test(
  'one that stops listening on SIGTERM loses what came before the kill event, and no kept connection',
  async t => {
    const going = await run('stop')
    await mesh.settled(8802, 2)
    const address = await mesh.addressOf('stop', going)
    const fresh = new Load([url(8802)], 40)
    const kept = new Load([url(8802)], 40, { keep: 4 })
    await sleep(1)
    const stopped = docker.container(going, 'stop?t=10')
    await waitFor(() => mesh.weight(8802, address) !== 1, 'weight 0', 20, 0.002)
    const drained = performance.now()
    await stopped
    await mesh.settled(8802, 1)
    await sleep(1)
    const [first, second] = await Promise.all([fresh.stop(), kept.stop()])
    t.comment(`new connections: ${told(first)}; kept: ${told(second)}`)
    // A kept connection that was closed in good order is followed by a new one, which may be refused.
    t.strictSame(
      second.failures.filter(({ code }) => code !== 'ECONNREFUSED'),
      [],
      'kept connections',
    )
    const late = first.failures.filter(({ began }) => began > drained)
    t.strictSame(late, [], 'none fails that began after weight 0')
    await docker.removeContainer(going)
  },
)

t.test('a killed container takes only requests in flight with it', async t => {
  const going = await run('stop')
  await mesh.settled(8802, 2)
  const address = await mesh.addressOf('stop', going)
  const fresh = new Load([url(8802)], 40)
  await sleep(1)
  const asked = performance.now()
  const killed = docker.container(going, 'kill')
  await waitFor(() => mesh.weight(8802, address) !== 1, 'its end', 20, 0.002)
  const gone = performance.now()
  t.comment(`no new connections after ${Math.round(gone - asked)} ms`)
  await killed
  await waitFor(() => mesh.weight(8802, address) === null, 'its destination to go', 20, 0.005)
  t.comment(`destination gone after ${ms(asked)}`)
  await sleep(1)
  const report = await fresh.stop()
  t.comment(told(report))
  t.strictSame(
    report.failures.filter(({ began }) => began > gone),
    [],
  )
  await docker.removeContainer(going)
})

t.test('a signal that ends nothing changes nothing', async t => {
  const [id = ''] = (await docker.call<{ Id: string }[]>('GET', '/containers/json')).map(({ Id }) => Id)
  const address = await mesh.addressOf('stop', id)
  const { lastPass } = await mesh.client.status()
  await docker.container(id, 'kill?signal=HUP')
  for (const end = performance.now() + 1500; performance.now() < end; await sleep(0.02))
    if (mesh.weight(8802, address) !== 1) return t.fail(`weight ${mesh.weight(8802, address)}`)
  t.ok(lastPass)
  t.equal((await ask(url(8802))).container, short(id))
  await docker.removeContainer(id)
})

t.test('a container restarted under load loses no request when it has a health check', async t => {
  const both = await Promise.all(
    [0, 1].map(() => run('restart', { image: 'mesh-test:health', command: lingering })),
  )
  await publish('8803:80', 'restart')
  await mesh.settled(8803, 2)
  const load = new Load([url(8803)], 40)
  await sleep(1)
  const asked = performance.now()
  await docker.container(both[0]!, 'restart?t=10')
  t.comment(`restarted in ${ms(asked)}`)
  await mesh.settled(8803, 2)
  t.comment(`both ready ${ms(asked)} after the request`)
  await sleep(0.5)
  const report = await load.stop()
  t.comment(told(report))
  t.equal(report.failed, 0)
  t.strictSame(await answering(8803, 6), both.map(short).sort())
})

t.test('an endpoint gets connections only while its health check passes', async t => {
  const [id, other] = (
    await docker.call<{ Id: string; Labels: Record<string, string> }[]>('GET', '/containers/json')
  ).flatMap(({ Id, Labels }) => (Labels.app === 'restart' ? [Id] : []))
  await docker.removeContainer(other!)
  await mesh.settled(8803, 1)
  const kept = await KeptConnection.open(host, 8803)
  await kept.ask()
  await docker.exec(id!, 'touch', '/tmp/sick')
  await waitFor(
    () =>
      ask(url(8803)).then(
        () => false,
        error => error.code === 'ECONNREFUSED',
      ),
    'a refusal',
    30,
    0.05,
  )
  t.equal((await kept.ask()).container, short(id!), 'a connection that it has goes on')
  t.match((await mesh.client.inspect('restart')).endpoints, [{ state: 'unhealthy', weight: 0 }])
  await docker.exec(id!, 'rm', '/tmp/sick')
  await waitFor(() => ask(url(8803)), 'an answer', 30, 0.05)
  t.equal((await kept.ask()).container, short(id!), 'and through its recovery')
  kept.close()
  await docker.removeContainer(id!)
  const asked = performance.now()
  const anew = await run('restart', { image: 'mesh-test:health', command: ['web', '--delay', '2'] })
  await waitFor(
    async () => (await mesh.client.inspect('restart')).endpoints[0]?.state === 'starting',
    'a start',
    20,
    0.02,
  )
  t.strictSame(mesh.destinations(8803), [], 'one that has not passed yet gets none')
  await waitFor(() => ask(url(8803)), 'an answer', 30, 0.05)
  t.comment(`healthy and answering ${ms(asked)} after its creation was asked for`)
  await docker.removeContainer(anew)
})

t.test('a paused container gets no new connections and keeps those it has', async t => {
  const [paused, other] = await Promise.all([run('pause'), run('pause')])
  await publish('8804:80', 'pause')
  await mesh.settled(8804, 2)
  const address = await mesh.addressOf('pause', paused)
  const kept = await Promise.all([0, 1].map(() => KeptConnection.open(host, 8804)))
  const answers = await Promise.all(kept.map(each => each.ask()))
  await docker.container(paused, 'pause')
  await waitFor(() => mesh.weight(8804, address) === 0, 'weight 0', 20, 0.005)
  const load = new Load([url(8804)], 40)
  await sleep(2)
  const report = await load.stop()
  t.equal(report.failed, 0)
  t.strictSame([...report.containers.keys()], [short(other)])
  await docker.container(paused, 'unpause')
  await mesh.settled(8804, 2)
  t.strictSame(await answering(8804, 6), [paused, other].map(short).sort())
  for (const [i, each] of kept.entries()) t.equal((await each.ask()).container, answers[i]!.container)
  for (const each of kept) each.close()
  await Promise.all([paused, other].map(id => docker.removeContainer(id)))
})

t.test(
  'a connection lasts through a drain until it closes, and is cut when the drain time is over',
  async t => {
    await publish('8805:80', 'drain')
    const id = await run('drain', { command: stubborn })
    await mesh.settled(8805, 1)
    const address = await mesh.addressOf('drain', id)
    const kept = await KeptConnection.open(host, 8805)
    await kept.ask()
    await docker.container(id, 'kill?signal=TERM')
    await waitFor(() => mesh.weight(8805, address) === 0, 'weight 0', 20, 0.005)
    const drained = performance.now()
    await kept.ask()
    kept.close()
    await waitFor(() => mesh.weight(8805, address) === null, 'its destination to go', 20, 0.02)
    t.ok(performance.now() - drained < 10_000, `gone ${ms(drained)} after weight 0: it was idle`)
    await docker.removeContainer(id)

    await publish('8805:80', 'drain', '3s')
    const anew = await run('drain', { command: stubborn })
    await mesh.settled(8805, 1)
    const next = await mesh.addressOf('drain', anew)
    const second = await KeptConnection.open(host, 8805)
    await second.ask()
    await docker.container(anew, 'kill?signal=TERM')
    await waitFor(() => mesh.weight(8805, next) === 0, 'weight 0', 20, 0.005)
    const begun = performance.now()
    while (mesh.weight(8805, next) === 0) {
      await second.ask().catch(error => t.ok(performance.now() - begun > 2900, `${error}`))
      await sleep(0.05)
    }
    t.ok(performance.now() - begun > 2900 && performance.now() - begun < 10_000, `cut after ${ms(begun)}`)
    await t.rejects(second.ask(), 'the connection is over')
    t.comment(`its client was told: ${await Promise.race([second.ended, sleep(5).then(() => 'nothing')])}`)
    await docker.removeContainer(anew)
  },
)

t.test('a steady sender of datagrams moves on when its endpoint dies', async t => {
  const both = await Promise.all([run('udp'), run('udp')])
  await publish('8806:80/udp', 'udp')
  await waitFor(() => mesh.destinations(8806, 'udp').length === 2, 'two destinations', 20, 0.02)
  const flow = new UdpFlow(host, 8806)
  await waitFor(() => flow.answers.length >= 10, 'answers', 20)
  const first = flow.container!
  t.strictSame(
    [...new Set(flow.answers.map(({ answer }) => answer.container))],
    [first],
    'one flow, one endpoint',
  )
  const asked = performance.now()
  await docker.container(first, 'kill')
  const moved = await waitFor(
    () => flow.answers.find(({ answer }) => answer.container !== first),
    'another answer',
    20,
    0.01,
  )
  t.comment(`moved after ${Math.round(moved.at - asked)} ms`)
  t.ok(moved.at - asked < 2000)
  t.equal(flow.answers.at(-1)?.answer.clientPort, flow.answers[0]!.answer.clientPort)
  flow.stop()
  await Promise.all(both.map(id => docker.removeContainer(id)))
})

t.test('a container removed and made anew under its name takes its place', async t => {
  let id = await docker.runContainer({ name: 'solo' })
  await mesh.client.publish({ service: 'solo', ports: ['8807:80'] }, 60)
  await mesh.settled(8807, 1)
  const load = new Load([url(8807)], 40)
  for (let round = 0; round < 2; round++) {
    await docker.removeContainer('solo')
    id = await docker.runContainer({ name: 'solo' })
    const started = performance.now()
    await waitFor(async () => (await ask(url(8807))).container === short(id), 'an answer', 20, 0.01)
    t.comment(`answers ${ms(started)} after its start`)
  }
  await sleep(0.5)
  const report = await load.stop()
  t.comment(told(report))
  t.equal(report.containers.size, 3)
  const other = [...report.codes.keys()].filter(code => !['ECONNREFUSED', 'ECONNRESET'].includes(code))
  t.strictSame(other, [], 'in between it is refused, never swallowed')
  await docker.removeContainer('solo')
})

t.test('a container that eats up its memory is replaced by its restart policy, and followed', async t => {
  // The first process is the one that eats, so that the container dies of it.
  const command = [
    'sh',
    '-c',
    'web & while [ ! -e /tmp/eat ]; do sleep 0.1; done; x=xxxxxxxx; while :; do x=$x$x; done',
  ]
  const hungry = await run('memory', {
    command,
    host: { Memory: 16 << 20, MemorySwap: 16 << 20, RestartPolicy: { Name: 'on-failure' } },
  })
  const other = await run('memory')
  await publish('8808:80', 'memory')
  await mesh.settled(8808, 2)
  const load = new Load([url(8808)], 40)
  const { State } = await docker.inspect(hungry)
  const asked = performance.now()
  await docker.exec(hungry, 'touch', '/tmp/eat')
  const after = await waitFor(
    async () => {
      const { State: now, ...rest } = (await docker.inspect(hungry)) as unknown as {
        State: { Pid: number; Running: boolean }
        RestartCount: number
      }
      return rest.RestartCount > 0 && now.Pid !== State.Pid && rest
    },
    'its death',
    30,
    0.05,
  )
  t.ok(after.RestartCount > 0, `died and was started again within ${ms(asked)}`)
  await docker.call('POST', `/containers/${hungry}/update`, { RestartPolicy: { Name: 'no' } })
  t.comment(`while it died, again and again: ${told(await load.stop())}`)
  // It finds its order to eat when it starts again, so it ends for good.
  await mesh.settled(8808, 1)
  const rest = new Load([url(8808)], 40)
  await sleep(1)
  const report = await rest.stop()
  t.comment(`without it: ${told(report)}`)
  t.equal(report.failed, 0)
  t.strictSame(await answering(8808, 4), [short(other)])
  await Promise.all([hungry, other].map(id => docker.removeContainer(id)))
})

t.test('when all are gone nothing of them is left', async t => {
  for (const { Id } of await docker.call<{ Id: string }[]>('GET', '/containers/json?all=1'))
    await docker.removeContainer(Id)
  await waitFor(() => !/-> \d/.test(mesh.inSandbox('ipvsadm -Ln')), 'no destinations', 30)
  t.strictSame(
    mesh
      .inSandbox('ip -o link')
      .split('\n')
      .filter(line => /: p[0-9a-f]{12}/.test(line)),
    [],
  )
  t.notMatch(mesh.inSandbox('ip route'), /dev p/)
  for (const set of ['mesh-hairpin', 'mesh-neighbour', 'mesh-tcp', 'mesh-udp'])
    t.notMatch(mesh.inSandbox(`ipset list ${set}`), /Members:\n\S/, `${set} is empty`)
  t.match(mesh.inHost('ipset list mesh-tcp'), /\n8801\n/, 'what is published stays published')
  t.strictSame(await mesh.client.plan(), [])
  const status = await mesh.client.status()
  t.ok(status.healthy)
  t.strictSame(status.repairs, [], 'nothing of all this was taken for damage')
  for (const { name, ports } of await mesh.client.list())
    await mesh.client.unpublish(`${ports[0]!.published}/${ports[0]!.protocol}`, name)
  t.notMatch(mesh.inSandbox('ipvsadm -Ln'), /FWM/)
  t.notMatch(mesh.inHost('ipset list mesh-tcp'), /\n88/)
})
