import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import tap from 'tap'
import type { Container } from '../../../src/model/container.js'
import type { ContainerSnapshot } from '../../../src/model/snapshot.js'
import { ProcessWatch } from '../../../src/netlink/process-watch.js'
import { type DockerSourceOptions, dockerSource } from '../../../src/sources/docker.js'
import { idOf } from '../../helpers/containers.js'
import { DockerEngine } from '../../helpers/docker-engine.js'

/** A source on an engine, and all it has said so far. */
async function watching(t: Teardown, engine: DockerEngine, options: DockerSourceOptions = {}) {
  const snapshots: ContainerSnapshot[] = []
  const times: number[] = []
  const troubles: (string | null)[] = []
  const source = dockerSource({ socketPath: engine.socketPath, backoff: [20, 100], ...options })
  source.start(
    snapshot => {
      snapshots.push(snapshot)
      times.push(performance.now())
    },
    trouble => troubles.push(trouble?.message ?? null),
  )
  t.teardown(async () => {
    await source.stop()
    await engine.remove()
  })
  const last = () => snapshots.at(-1)!
  const named = (name: string): Container | undefined =>
    snapshots.at(-1)?.containers.find(each => each.name === name)
  return { snapshots, times, troubles, source, last, named }
}

type Teardown = Pick<typeof tap, 'teardown'>

async function until(condition: () => boolean, limit = 20_000): Promise<void> {
  const end = performance.now() + limit
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limit} ms: ${condition}`)
    await sleep(1)
  }
}

async function engineWith(...names: string[]): Promise<DockerEngine> {
  const engine = await DockerEngine.make()
  await engine.listen()
  for (const name of names) engine.run(name)
  return engine
}

tap.test('the first snapshot is complete', async t => {
  const engine = await engineWith('web', 'api', 'db')
  const { snapshots, last, troubles } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.strictSame(
    last()
      .containers.map(each => each.name)
      .sort(),
    ['api', 'db', 'web'],
  )
  t.strictSame(troubles, [], 'and there was no trouble to take back')
})

tap.test('at most so many inspections run at once', async t => {
  const engine = await engineWith(...Array.from({ length: 40 }, (_, index) => `web-${index}`))
  engine.slowness = 20
  const { snapshots, last } = await watching(t, engine, { parallel: 4 })
  await until(() => snapshots.length > 0)
  t.equal(last().containers.length, 40)
  t.equal(engine.most, 4)
})

tap.test("one container's change costs one inspection and leaves the others the same objects", async t => {
  const engine = await engineWith('web', 'api')
  const { snapshots, last, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  const web = named('web')
  engine.requests = []
  engine.run('new')
  await engine.emit('start', 'new')
  await until(() => snapshots.length > 1)
  t.strictSame(engine.requests, [`/containers/${idOf('new')}/json`])
  t.equal(named('web'), web)
  t.equal(last().swarmServices, snapshots[0]!.swarmServices)
})

tap.test('a signal that ends a container reaches the listener before any request', async t => {
  const engine = await engineWith('web')
  const { snapshots, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  engine.slowness = 5000
  engine.requests = []
  await engine.emit('kill', 'web', { signal: '15' })
  await until(() => snapshots.length > 1)
  t.match(named('web'), { leaving: true, state: 'running' })
  t.strictSame(engine.requests, [])
})

tap.test('a container that ended is told at once, and dropped when it stays so', async t => {
  const engine = await engineWith('web')
  const { snapshots, last } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  await sleep(10)
  engine.slowness = 20
  engine.containers.get(idOf('web'))!.status = 'exited'
  await engine.emit('die', 'web')
  await until(() => last().containers.length === 0)
  t.match(snapshots[1]?.containers[0], { state: 'exited', pid: 0, leaving: false })
})

tap.test('a process that has ended is none, though Docker does not know it yet', async t => {
  const engine = await engineWith('web')
  const ended = spawn('true')
  await new Promise(resolve => ended.once('exit', resolve))
  engine.run('short', { pid: ended.pid! })
  const { snapshots, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.match(named('short'), { state: 'exited', pid: 0 })
  t.match(named('web'), { state: 'running', pid: process.pid })
})

tap.test('who waits for the end of a container for longer than a timer can does so at rest', async t => {
  const engine = await engineWith()
  engine.run('web', { stopTimeout: 40 * 86_400 })
  const { snapshots, named } = await watching(t, engine)
  const warnings: string[] = []
  const warned = ({ name }: Error) => warnings.push(name)
  process.on('warning', warned)
  t.teardown(() => process.off('warning', warned))
  await until(() => snapshots.length > 0)
  await engine.emit('kill', 'web', { signal: '15' })
  await until(() => named('web')?.leaving === true)
  await sleep(20)
  t.strictSame(warnings, [], 'no TimeoutOverflowWarning: a timer that fires at once')
})

tap.test('a container being restarted stays known', async t => {
  const engine = await engineWith('web')
  const { named, snapshots } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  engine.containers.get(idOf('web'))!.status = 'restarting'
  await engine.emit('die', 'web')
  await until(() => named('web')?.state === 'restarting')
  engine.run('web')
  await engine.emit('start', 'web')
  await until(() => named('web')?.state === 'running')
  t.equal(snapshots.filter(each => each.containers.length === 0).length, 0)
})

tap.test('many starts make few snapshots, the first of them at once', async t => {
  const engine = await engineWith()
  const { snapshots, times, last } = await watching(t, engine, { gap: 20 })
  await until(() => snapshots.length > 0)
  await sleep(30)
  for (let index = 0; index < 200; index++) {
    engine.run(`web-${index}`)
    void engine.emit('start', `web-${index}`)
  }
  await until(() => last().containers.length === 200)
  const gaps = times.slice(2).map((time, index) => time - times[index + 1]!)
  t.ok(snapshots.length < 200, `${snapshots.length} snapshots`)
  t.ok(Math.min(...gaps) > 15, `least gap ${Math.min(...gaps)} ms`)
  t.ok(snapshots[1]!.containers.length < 200, 'the first does not wait for the last')
  t.equal(engine.inspections('web-199'), 1)
})

tap.test('an event during an inspection makes it count for nothing', async t => {
  const engine = await engineWith()
  const { named, snapshots } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  engine.slowness = 60
  engine.run('web', { labels: { turn: 'first' } })
  await engine.emit('start', 'web')
  await sleep(20)
  engine.run('web', { labels: { turn: 'second' } })
  await engine.emit('update', 'web')
  await until(() => named('web') !== undefined)
  t.equal(named('web')?.labels.turn, 'second')
  t.equal(engine.inspections('web'), 2)
})

tap.test('an event that needs no inspection is not undone by one under way', async t => {
  const engine = await engineWith('web', 'gone')
  const { named, snapshots } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  engine.slowness = 40
  await engine.emit('update', 'web')
  await engine.emit('update', 'gone')
  await sleep(10)
  // The engine has read its containers for the answer when it begins; the events come after.
  await engine.emit('pause', 'web')
  await engine.emit('destroy', 'gone')
  engine.containers.delete(idOf('gone'))
  engine.containers.get(idOf('web'))!.status = 'paused'
  await sleep(120)
  t.equal(named('web')?.state, 'paused')
  t.equal(named('gone'), undefined)
  const present = snapshots.map(each => each.containers.some(one => one.name === 'gone'))
  t.notOk(present.slice(present.indexOf(false)).includes(true), 'what is gone does not come back')
  const states = snapshots.slice(1).map(each => each.containers.find(one => one.name === 'web')?.state)
  t.notOk(states.slice(states.indexOf('paused')).includes('running'), states.join(' '))
})

tap.test('events from before the connection change nothing that the list knows better', async t => {
  const engine = await engineWith('web')
  engine.slowness = 30
  const { named, snapshots } = await watching(t, engine)
  await until(() => engine.since.length > 0)
  await engine.emit('die', 'web', {}, 'container', Date.now() - 5000)
  await engine.emit('pause', 'web', {}, 'container', Date.now() - 5000)
  await until(() => snapshots.length > 0)
  t.equal(named('web')?.state, 'running')
  await engine.emit('die', 'web', {}, 'container', Date.now() - 5000)
  await until(() => engine.inspections('web') > 1)
  await sleep(60)
  t.equal(named('web')?.state, 'running')
  t.equal(snapshots.length, 1)
})

tap.test('without Docker it says why, goes on trying, and says when all is well', async t => {
  const engine = await DockerEngine.make()
  const { snapshots, troubles } = await watching(t, engine)
  await until(() => troubles.length > 0)
  t.match(troubles[0], /^docker: there is no socket at .*docker.sock; is Docker installed/)
  await sleep(150)
  t.equal(troubles.length, 1, 'the same trouble is told once')
  t.equal(snapshots.length, 0)
  engine.run('web')
  await engine.listen()
  await until(() => snapshots.length > 0)
  t.equal(troubles.at(-1), null)
})

tap.test('while Docker is away the last snapshot stays, afterwards comes what is', async t => {
  const engine = await engineWith('web', 'gone')
  const { snapshots, troubles, last, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  const web = named('web')
  await engine.emit('pause', 'gone')
  await until(() => snapshots.length > 1)
  await engine.close()
  await until(() => troubles.length > 0)
  await sleep(150)
  t.equal(snapshots.length, 2)

  engine.containers.delete(idOf('gone'))
  engine.run('new')
  await engine.listen()
  await until(() => last().containers.length === 2 && named('new') !== undefined)
  await until(() => troubles.at(-1) === null)
  t.equal(named('gone'), undefined)
  t.equal(named('web'), web, 'what did not change is the same object')
  const [first, again] = [engine.since[0]!, engine.since.at(-1)!]
  t.match(first, /^\d+\.\d{9}$/)
  t.ok(Number(again) > Number(first), 'events are asked for from the last one on')
})

tap.test('where an answer ends half-way it says so, tries again, and says when all is well', async t => {
  const engine = await engineWith('web', 'api')
  engine.endsHalfWay = path => path === '/containers/json'
  const { snapshots, troubles, last, named } = await watching(t, engine, { swarmEvery: 20 })
  await until(() => troubles.length > 0)
  t.match(troubles[0], /^docker: GET \/containers\/json.*: the answer ended half-way/)
  t.equal(snapshots.length, 0)
  engine.endsHalfWay = path => /^\/containers\/[0-9a-f]+\/json$/.test(path)
  const wanted = engine.since.length + 2
  await until(() => engine.since.length > wanted)
  t.equal(snapshots.length, 0, 'when all are silent, nobody takes it that there are none')
  t.match(troubles.at(-1), /^docker: GET \/containers\/[0-9a-f]+\/json: the answer ended half-way/)
  engine.services = [{ ID: 'id1', Spec: { Name: 'web' } }]
  engine.endsHalfWay = path => path === '/services' || path === `/containers/${idOf('new')}/json`
  await until(() => troubles.at(-1) === null && snapshots.length > 0)
  t.equal(last().containers.length, 2)
  t.strictSame(last().swarmServices, [], 'Swarm is not waited for')
  engine.run('new')
  await engine.emit('start', 'new')
  await until(() => engine.inspections('new') > 0)
  const streams = engine.since.length
  engine.endsHalfWay = () => false
  await until(() => named('new') !== undefined && last().swarmServices.includes('web'))
  t.equal(engine.since.length, streams, 'and of these the stream of events knows nothing')
})

tap.test('a container of which Docker does not tell holds nobody up, and is told of', async t => {
  const engine = await engineWith('web', 'stuck')
  engine.endsHalfWay = path => path === `/containers/${idOf('stuck')}/json`
  const { snapshots, troubles, last, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.match(last().containers, [{ name: 'web' }])
  await until(() => troubles.length > 0)
  t.match(troubles[0], new RegExp(`^docker: .*${idOf('stuck').slice(0, 12)}`))
  engine.run('new')
  await engine.emit('start', 'new')
  await until(() => named('new') !== undefined)
  engine.endsHalfWay = () => false
  await until(() => named('stuck') !== undefined && troubles.at(-1) === null)
  t.equal(engine.since.length, 1, 'all on one connection')
})

tap.test('a container whose process ends has ended, whatever Docker says or does not', async t => {
  const engine = await engineWith('web', 'api')
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill('SIGKILL'))
  engine.containers.get(idOf('web'))!.pid = child.pid!
  const processes = new ProcessWatch()
  t.teardown(() => processes.close())
  const { snapshots, troubles, named } = await watching(t, engine, {
    followProcess: (pid, ended) => processes.follow(pid, ended),
  })
  await until(() => snapshots.length > 0)
  await engine.close()
  await until(() => troubles.length > 0)
  t.match(named('web'), { state: 'running', pid: child.pid })
  child.kill('SIGKILL')
  await until(() => named('web')?.state === 'exited')
  t.match(named('web'), { pid: 0, leaving: false })
  t.equal(named('api')?.state, 'running', 'what could not be followed is not taken for dead')
  engine.run('web')
  await engine.listen()
  await until(() => named('web')?.state === 'running')
})

tap.test('a stop signal sent before the agent started is known', async t => {
  const engine = await engineWith('web')
  engine.slowness = 20
  const { named, snapshots } = await watching(t, engine)
  await until(() => engine.since.length > 0)
  t.ok(Date.now() / 1000 - Number(engine.since[0]) > 60, 'events are asked for from some time ago')
  await engine.emit('kill', 'web', { signal: '15' }, 'container', Date.now() - 3000)
  await until(() => snapshots.length > 0)
  t.equal(named('web')?.leaving, true)
})

tap.test('a list now and then finds what no event told', async t => {
  const engine = await engineWith('web', 'api', 'gone')
  const { named, last, snapshots } = await watching(t, engine, { relistEvery: 50 })
  await until(() => snapshots.length > 0)
  engine.requests = []
  await sleep(150)
  t.equal(engine.inspections('web'), 0, 'what looks as before is not inspected')
  engine.containers.delete(idOf('gone'))
  engine.containers.get(idOf('web'))!.health = 'unhealthy'
  engine.run('new')
  await until(() => named('new') !== undefined && named('web')?.health === 'unhealthy')
  await until(() => last().containers.length === 3)
  engine.containers.get(idOf('api'))!.pid = process.ppid
  await sleep(120)
  t.equal(engine.inspections('api'), 0)
})

tap.test('a process that is gone makes its container be inspected', async t => {
  const engine = await engineWith()
  engine.run('web', { pid: 2 ** 22 + 1 }) // beyond the largest pid
  const { snapshots } = await watching(t, engine, { relistEvery: 30 })
  await until(() => snapshots.length > 0)
  await until(() => engine.inspections('web') > 2)
  t.pass()
})

tap.test('a network connected or left makes its container be inspected', async t => {
  const engine = await engineWith('web')
  const { snapshots } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  await engine.emit('connect', 'some-network', { container: idOf('web') }, 'network')
  await until(() => engine.inspections('web') === 2)
  t.pass()
})

tap.test("a manager's services and ports are known and kept up to date", async t => {
  const engine = await engineWith()
  const named = (Name: string, ...Ports: object[]) => ({
    ID: idOf(Name),
    Spec: { Name },
    Endpoint: { Ports },
  })
  engine.services = [named('web', { Protocol: 'tcp', PublishedPort: 8080 }), named('api')]
  const { snapshots, last } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.strictSame(last().swarmServices, ['api', 'web'])
  t.strictSame(last().swarmPorts, [{ protocol: 'tcp', port: 8080, service: 'web', former: false }])
  engine.services = [named('web')]
  await engine.emit('remove', 'api', {}, 'service')
  await until(() => snapshots.length > 1)
  t.strictSame(last().swarmServices, ['web'])
})

tap.test('only a manager that can read the services says what their labels declare', async t => {
  const engine = await engineWith('web')
  engine.services = [{ ID: idOf('web'), Spec: { Name: 'web', Labels: { 'mesh.publish': '8888:80' } } }]
  const { snapshots, last } = await watching(t, engine, { swarmEvery: 20 })
  await until(() => snapshots.length > 0)
  t.match(last().declarations, [{ name: 'web', publication: { name: 'web' }, problems: [] }])
  const [first] = snapshots
  engine.services = 'lost'
  await until(() => last().declarations === null)
  t.strictSame(last().swarmServices, ['web'], 'names stay')
  engine.services = [{ ID: idOf('web'), Spec: { Name: 'web', Labels: { 'mesh.publish': '8888:80' } } }]
  await until(() => last().declarations !== null)
  t.equal(last().declarations, first?.declarations, 'the same ones are the same object')
  engine.services = null
  await until(() => last().declarations === null)
  engine.services = [{ ID: idOf('web'), Spec: { Name: 'web', Labels: {} } }]
  await until(() => last().declarations?.length === 0)
  await engine.close()
  await until(() => last().declarations === null)
})

tap.test('a worker knows the services of its own tasks', async t => {
  const engine = await engineWith()
  engine.run('web.1.abc', { labels: { 'com.docker.swarm.service.name': 'web' } })
  const { snapshots, last } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.strictSame(last().swarmServices, ['web'])
})

tap.test("another container's network is named by that container's full id", async t => {
  const engine = await engineWith('web')
  engine.run('sidecar', { networkMode: 'container:web' })
  engine.run('agent', { networkMode: 'host' })
  const { snapshots, named } = await watching(t, engine)
  await until(() => snapshots.length > 0)
  t.equal(named('sidecar')?.network, `container:${idOf('web')}`)
  t.match(named('agent'), { network: 'host', addresses: [] })
})

tap.test('it stops at any moment, and is quiet afterwards', async t => {
  const engine = await engineWith('web')
  engine.slowness = 100
  const { source, snapshots } = await watching(t, engine)
  await until(() => engine.inspections('web') > 0)
  await source.stop()
  await sleep(150)
  t.equal(snapshots.length, 0)
})
