import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ContainerSnapshot } from '../../../src/model/snapshot.js'
import { dockerSource } from '../../../src/sources/docker.js'
import { idOf } from '../../helpers/containers.js'
import { DockerEngine } from '../../helpers/docker-engine.js'

const pid = 4711
const listener =
  '   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345'
const resolver =
  '   0: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346'

async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !condition(); await sleep(1))
    if (performance.now() > end) throw new Error(`not within 20 s: ${condition}`)
}

/** An Engine that says nothing of starts, its files, its runtime's, and what /proc would have of the container `web`. */
async function machine(config: object = {}, host: object = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'docker-processes-'))
  const [proc, runtime] = [join(directory, 'proc'), join(directory, 'runtime')]
  const id = idOf('web')
  const files = join(proc, '1/root/docker/containers', id)
  const net = join(proc, String(pid), 'net')
  for (const each of [files, net, runtime]) await mkdir(each, { recursive: true })
  const put = (name: string, content: object) => writeFile(join(files, name), JSON.stringify(content))
  await put('config.v2.json', { ID: id, Name: '/web', Config: { Labels: { app: 'web' }, ...config } })
  await put('hostconfig.json', { NetworkMode: 'bridge', ...host })
  await writeFile(join(net, 'fib_trie'), '|-- 172.17.0.2\n  /32 host LOCAL\n')
  await writeFile(join(net, 'tcp'), `heading\n${resolver}\n`)

  const engine = await DockerEngine.make()
  engine.root = '/docker'
  await engine.listen()
  const snapshots: ContainerSnapshot[] = []
  const ends: (() => void)[] = []
  const source = dockerSource({
    socketPath: engine.socketPath,
    proc,
    runtime,
    followProcess: (_, ended) => ends.push(ended) > 0,
  })
  source.start(
    snapshot => snapshots.push(snapshot),
    () => {},
  )
  t.teardown(async () => {
    await source.stop()
    await engine.remove()
    await rm(directory, { recursive: true })
  })
  await until(() => snapshots.length > 0 && engine.requests.includes('/info'))
  await sleep(20) // for the answer
  const own = join(runtime, id)
  return {
    engine,
    web: () => snapshots.at(-1)!.containers.find(each => each.name === 'web'),
    /** As runc does it. */
    async make() {
      await mkdir(own)
      await writeFile(join(own, 'exec.fifo'), '')
      await writeFile(join(own, 'state-1'), JSON.stringify({ id, init_process_pid: pid }))
      await rename(join(own, 'state-1'), join(own, 'state.json'))
    },
    begin: () => rm(join(own, 'exec.fifo')),
    listen: () => writeFile(join(net, 'tcp'), `heading\n${resolver}\n${listener}\n`),
    end() {
      for (const ended of ends) ended()
    },
  }
}

t.test(
  'a container is known before it runs, and runs when it listens, though Docker says nothing',
  async t => {
    const { web, make, begin, listen } = await machine({ Healthcheck: { Test: ['CMD', 'true'] } })
    await make()
    await until(() => web() !== undefined)
    const known = {
      pid,
      health: 'starting',
      labels: { app: 'web' },
      network: 'own',
      addresses: ['172.17.0.2'],
    }
    t.match(web(), { state: 'created', ...known })
    await begin()
    await sleep(100)
    t.equal(web()?.state, 'created', 'nobody listens but the resolver')
    await listen()
    await until(() => web()?.state === 'running')
    t.match(web(), known)
  },
)

t.test('what Docker says later is what counts', async t => {
  const { engine, web, make, begin } = await machine()
  await make()
  await until(() => web() !== undefined)
  await begin()
  engine.run('web', { pid, labels: { app: 'other' } })
  await engine.emit('start', 'web')
  await until(() => web()?.labels.app === 'other')
  t.match(web(), { state: 'running', pid }, 'it runs, whether it listens or not')
})

t.test('one whose process ends before it was started is forgotten', async t => {
  const { web, make, end } = await machine()
  await make()
  await until(() => web() !== undefined)
  end()
  await until(() => web() === undefined)
  t.pass()
})

t.test('one that has no network of its own waits for Docker', async t => {
  const { engine, web, make, begin, listen } = await machine({}, { NetworkMode: 'host' })
  await listen()
  await make()
  await begin()
  await sleep(100)
  t.equal(web(), undefined)
  engine.run('web', { pid, networkMode: 'host' })
  await engine.emit('start', 'web')
  await until(() => web()?.network === 'host')
})
