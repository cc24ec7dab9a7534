import t, { type Test } from 'tap'
import { LinkSight } from '../../src/drivers/link-sight.js'
import { createLinkDriver } from '../../src/drivers/links.js'
import { containerPlace, type KernelObject, keyOf, type Place } from '../../src/kernel/objects.js'
import { createNamespace, removeNamespace } from '../../src/netlink/addon.js'
import { messagesSent } from '../../src/netlink/connection.js'
import { freshStage, reach, type Stage } from '../helpers/drivers.js'
import { runIn } from '../helpers/namespaces.js'
import { waitFor } from '../helpers/wait.js'

const ids = ['1', '2'] as const
const [one, two] = ids.map(digit => containerPlace(digit.repeat(64), 1)) as [Place, Place]

/** Two containers on the mesh, and the host's way to it. */
const wanted: KernelObject[] = [
  { kind: 'link', place: 'host', name: 'mesh0', peerPlace: 'mesh', peerName: 'eth0', mtu: 1400 },
  { kind: 'address', place: 'host', link: 'mesh0', address: '10.254.0.2/32' },
  { kind: 'address', place: 'mesh', link: 'eth0', address: '10.254.0.1/32' },
  ...ids.flatMap((digit, i): KernelObject[] => {
    const [place, name, address] = [[one, two][i]!, `p${digit.repeat(12)}`, `10.254.0.${i + 3}`]
    return [
      { kind: 'link', place: 'mesh', name, peerPlace: place, peerName: 'mesh0', mtu: 1400 },
      { kind: 'address', place, link: 'mesh0', address: `${address}/32` },
      { kind: 'rule', place, priority: 1090, source: `${address}/32`, table: 1090 },
    ]
  }),
]

interface Watched extends Stage {
  readonly sight: LinkSight
  /** Keys of what is seen, and how many questions that took. */
  look(): Promise<{ keys: string[]; questions: number }>
  /** Until a look asks nothing: of a link that has just changed there is more to tell a little later. */
  rest(): Promise<unknown>
}

async function stage(t: Test, clock?: () => number): Promise<Watched> {
  const fresh = freshStage(t, [one, two])
  const sight = new LinkSight(fresh.sockets, clock)
  await reach(t, [createLinkDriver(fresh.sockets)], wanted, fresh.places)
  const look = async () => {
    const before = messagesSent.queries
    const objects = await sight.observe(fresh.places)
    return { keys: objects.map(keyOf).sort(), questions: messagesSent.queries - before }
  }
  const rest = () => waitFor(async () => (await look()).questions === 0, 'a look that asks nothing', 20)
  await rest()
  return { ...fresh, sight, look, rest }
}

const all = wanted.map(keyOf).sort()
const without = (...gone: string[]) => all.filter(key => !gone.some(each => key.includes(each)))

t.test('what has not changed is not asked for', async t => {
  const { sight, places, look, rest } = await stage(t)
  await rest()
  t.same((await look()).keys, all)
  t.equal(await sight.observe(places), await sight.observe(places), 'it is the same list')
})

t.test('where somebody has changed something all is read anew, and nowhere else', async t => {
  const { run, look, rest } = await stage(t)
  run(one, 'ip rule del priority 1090')
  const changed = await look()
  t.same(changed.keys, without(`rule ${one}`))
  t.ok(changed.questions > 0 && changed.questions < 10, `${changed.questions} questions`)
  await rest()
  for (const [place, command, ...gone] of [
    [two, 'ip address flush dev mesh0', `address ${two}`],
    ['host', 'ip address del 10.254.0.2/32 dev mesh0', 'address host'],
    ['mesh', 'ip address del 10.254.0.1/32 dev eth0', 'address mesh'],
  ] as const) {
    const before = (await look()).keys
    run(place, command)
    t.same(
      (await look()).keys,
      before.filter(key => !gone.some(each => key.includes(each))),
      command,
    )
    await rest()
  }
})

t.test('a link that is gone is missed at either end', async t => {
  const { run, look } = await stage(t)
  run(one, 'ip link del mesh0')
  t.same((await look()).keys, without(`p${'1'.repeat(12)}`, `address ${one}`))
  run('mesh', `ip link del p${'2'.repeat(12)}`)
  t.same((await look()).keys, without(`p${'1'.repeat(12)}`, `p${'2'.repeat(12)}`, 'address container:'))
})

t.test('changes that the kernel had no room to tell of are found all the same', async t => {
  const { places, look, rest } = await stage(t)
  const routes = Array.from(
    { length: 30_000 },
    (_, index) => `route add 10.${index >> 14}.${(index >> 7) & 127}.${index & 127}/32 dev lo\n`,
  )
  runIn(places.get(one)!, ['ip', '-batch', '-'], `${routes.join('')}rule del priority 1090\n`)
  runIn(places.get(two)!, ['ip', 'rule', 'del', 'priority', '1090'])
  t.same((await look()).keys, without('rule '))
  await rest()
})

t.test('another sandbox under the same name is another one', async t => {
  const { run, places, sockets, look } = await stage(t)
  sockets.forget('mesh')
  removeNamespace(places.get('mesh')!)
  createNamespace(places.get('mesh')!)
  const links = async () => (await look()).keys.filter(key => !key.startsWith('rule '))
  await waitFor(async () => (await links()).length === 0, 'the end of all links; rules stay', 20)
  run('mesh', 'ip link set lo up')
})

t.test('a container without a link to the sandbox is read each time', async t => {
  const { run, look } = await stage(t)
  run('mesh', `ip link del p${'1'.repeat(12)}`)
  await look()
  t.ok((await look()).questions > 0)
  run(one, 'ip rule del priority 1090')
  t.notOk((await look()).keys.includes(`rule ${one}`))
})

t.test('after a long time all is read anew', async t => {
  let now = 1000
  const { look, rest } = await stage(t, () => now)
  now += 299_000
  await rest()
  now += 1001
  const { keys, questions } = await look()
  t.same(keys, all)
  t.ok(questions >= 16, `${questions} questions`)
  await rest()
})

t.test('a look that was given up loses no change', async t => {
  const { run, sight, places, look } = await stage(t)
  run(two, 'ip rule del priority 1090')
  const reason = new Error('given up')
  await t.rejects(sight.observe(places, AbortSignal.abort(reason)), reason)
  t.notOk((await look()).keys.some(key => key.startsWith(`rule ${two}`)))
})
