/**
 * What people ask for becomes stored services, in a real store of one machine.
 */
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Collected } from '../../../src/agent/inputs.js'
import { Publisher } from '../../../src/agent/publisher.js'
import { formatPort, parsePortSpec } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import type { Selector } from '../../../src/model/service.js'
import { EmbeddedStore } from '../../../src/store/embedded.js'
import { container, containerSnapshot } from '../../helpers/containers.js'

async function publisherOf(t: Test, ...names: string[]) {
  const store = new EmbeddedStore(join(t.testdir(), 'mesh.json'))
  const node = { name: 'node1', subnet: '10.254.0.0/24', pool: '10.254.0.0/16', membership: null }
  const collected = new Collected([store.name], [], node)
  store.start(
    snapshot => collected.putServices(store.name, snapshot),
    () => {},
  )
  t.teardown(() => store.close())
  const run = (...names: string[]) =>
    collected.putContainers('docker', containerSnapshot(names.map(name => container(name))))
  run(...names)
  const begun = (collected: Collected) =>
    new Publisher({
      loop: { collected, store, settled: async () => {}, hasHeardDocker: true },
      portRange: { first: 18_900, last: 18_909 },
      reserved: [],
      vipPool: '10.253.0.0/16',
      requireOfKernel: async () => {},
      labelsInForce: () => false,
      log: pino({ level: 'silent' }),
    })
  const publisher = begun(collected)
  /** Of an agent that has heard of nothing yet. */
  const fresh = () => begun(new Collected([store.name], [], node))
  const stored = async () =>
    (await store.list()).map(({ name, ports }) => `${name} ${ports.map(formatPort).join(',')}`)
  return { publisher, fresh, store, stored, run }
}

const asked = (name: string, ...specs: string[]) => publicationOf(name, { ports: specs.map(parsePortSpec) })
const selecting = (selector: Selector | null) => ({ ...asked('web', '18801:80'), selector })
const nothingGiven = { given: new Set<never>() }

t.test('what one service of a file gives up another one gets, whichever comes first', async t => {
  const { publisher, stored } = await publisherOf(t)
  await publisher.apply([asked('a', '18801:80'), asked('b', '18802:80')])
  for (const [a, b] of [
    ['18803:80', '18801:80'],
    ['18801:80', '18804:80'],
  ] as const) {
    const views = await publisher.apply([asked('b', b), asked('a', a)])
    t.match(views, [
      { name: 'b', result: 'changed', ports: [`${b}/tcp`] },
      { name: 'a', result: 'changed', ports: [`${a}/tcp`] },
    ])
    t.same(await stored(), [`a ${a}/tcp`, `b ${b}/tcp`])
  }
  const before = await stored()
  await t.rejects(publisher.apply([asked('c', '18805:80'), asked('a', '18804:80')]), {
    code: 'MESH_PORT_TAKEN',
    message: 'publish 18804/tcp: service b publishes it',
  })
  t.same(await stored(), before, 'all or none')
})

t.test('services of a file swap what they have', async t => {
  const { publisher, stored, store } = await publisherOf(t)
  const both = (a: string, b: string, vips: readonly [string, string]) => [
    { ...asked('a', a), vip: vips[0] },
    { ...asked('b', b), vip: vips[1] },
  ]
  await publisher.apply(both('18801:80', '18802:80', ['10.253.0.7', '10.253.0.8']))
  await publisher.apply(both('18802:80', '18801:80', ['10.253.0.8', '10.253.0.7']))
  t.same(await stored(), ['a 18802:80/tcp', 'b 18801:80/tcp'])
  t.same(
    (await store.list()).map(({ vip }) => vip),
    ['10.253.0.8', '10.253.0.7'],
  )
  await t.rejects(publisher.apply(both('18801:80', '18801:81', ['10.253.0.8', '10.253.0.7'])), {
    message: 'publish 18801/tcp: service b publishes it',
  })
  const [{ vip } = { vip: null }] = await publisher.apply([asked('a', '18803:80')])
  t.equal(vip, '10.253.0.8', 'a VIP that a file leaves open stays')
})

t.test('a file that selects no more goes by the name again', async t => {
  const { publisher, store, run } = await publisherOf(t, 'web')
  const selector = async () => (await store.list())[0]?.selector
  await publisher.apply([selecting({ app: 'web' })])
  t.match(await publisher.apply([selecting(null)]), [{ result: 'changed' }])
  t.same(await selector(), { 'mesh.container': 'web' })
  run()
  t.match(await publisher.apply([selecting(null)]), [{ result: 'unchanged', warnings: [] }])
  t.same(await selector(), { 'mesh.container': 'web' }, 'also while nothing of that name is there')
})

t.test('publishing once more selects as before, unless something else is given', async t => {
  const { publisher, store } = await publisherOf(t, 'web')
  const selector = async () => (await store.list())[0]?.selector
  await publisher.publish(selecting({ app: 'web' }), { given: new Set(['selector'] as const) })
  t.match(await publisher.publish(asked('web', '18802:80'), nothingGiven), { created: false, warnings: [] })
  t.same(await selector(), { app: 'web' })
  await publisher.publish(asked('web', '18802:80'), { given: new Set(['selector'] as const) })
  t.same(await selector(), { 'mesh.container': 'web' }, 'none: by its name')
})

t.test('a port that is asked for twice is refused, of a service that is there as of a new one', async t => {
  const { publisher, stored } = await publisherOf(t, 'web')
  const twice = asked('web', '18801:80', '18801:81')
  const refused = { code: 'MESH_PORT_TAKEN', message: /web itself publishes 18801\/tcp too/ }
  await t.rejects(publisher.publish(twice, nothingGiven), refused)
  await publisher.publish(asked('web', '18801:80'), nothingGiven)
  await t.rejects(publisher.publish(twice, nothingGiven), refused)
  t.same(await stored(), ['web 18801:80/tcp'])
})

t.test('a service goes with its last port, unless it has ports of its VIP', async t => {
  const { publisher, stored } = await publisherOf(t, 'web')
  const key = (port: number) => ({ protocol: 'tcp' as const, published: { first: port, last: port } })
  await publisher.publish(asked('web', '18801:80', '18802:80'), nothingGiven)
  t.match(await publisher.unpublish(key(18801), 'web'), {
    removed: ['18801:80/tcp'],
    left: { name: 'web', ports: [{ published: { first: 18802 } }] },
  })
  t.same(await publisher.unpublish(key(18802), 'web'), { removed: ['18802:80/tcp'], left: null })
  t.same(await stored(), [])
  const range = { first: 80, last: 80 }
  await publisher.create({ ...asked('web'), vipPorts: [{ protocol: 'tcp', port: range, target: range }] })
  await publisher.publish(asked('web', '18801:80'), nothingGiven)
  t.match(await publisher.unpublish(key(18801), 'web'), { left: { name: 'web', ports: [] } })
  t.same(await stored(), ['web '])
})

t.test('a service is changed also before the agent has heard of it', async t => {
  const { publisher, fresh } = await publisherOf(t, 'web')
  await publisher.publish(asked('web', '18801:80'), nothingGiven)
  t.match(await fresh().set('web', { drain: 5 }), { created: false, service: { name: 'web', drain: 5 } })
  await t.rejects(fresh().set('api', { drain: 5 }), { code: 'MESH_NOT_FOUND' })
})
