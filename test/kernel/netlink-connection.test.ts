import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { NetlinkError } from '../../src/errors.js'
import { namespaceIdentity } from '../../src/netlink/addon.js'
import { messagesSent, NetlinkConnection } from '../../src/netlink/connection.js'
import { getFamily } from '../../src/netlink/generic.js'
import {
  addAddress,
  addRoute,
  addRule,
  deleteAddress,
  deleteRule,
  listAddresses,
  listLinks,
  listRoutes,
  listRules,
  type RuleConfiguration,
  setLink,
} from '../../src/netlink/route.js'
import { connect, freshNamespace } from '../helpers/namespaces.js'

const rule = (priority: number): RuleConfiguration => ({
  priority,
  source: '0.0.0.0/0',
  table: 1090,
  protocol: 109,
})
const ours = async (connection: NetlinkConnection) =>
  (await connection.dump(listRules()))
    .filter(({ protocol }) => protocol === 109)
    .map(({ priority }) => priority)

t.test('errors in the middle of a batch belong to their requests, and stop nothing', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const requests = [rule(1), rule(2), rule(1), rule(3), rule(2), rule(4)].map(addRule)
  const outcomes = await connection.request(requests)
  t.same(
    outcomes.map(error => error?.errnoName ?? null),
    [null, null, 'EEXIST', null, 'EEXIST', null],
  )
  t.match(outcomes[2], {
    code: 'MESH_NETLINK',
    operation: 'add rule',
    subject: '1 from all lookup 1090',
    errno: 17,
  })
  t.same(await ours(connection), [1, 2, 3, 4])
})

t.test('an error of the last request is told like any other', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const outcomes = await connection.request([addRule(rule(1)), addRule(rule(1))])
  t.same(
    outcomes.map(error => error?.errnoName ?? null),
    [null, 'EEXIST'],
  )
  t.same(await connection.request([]), [])
})

t.test('a large batch is split, every request is sent once, and 2,000 errors get home', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const requests = Array.from({ length: 2000 }, (_, index) => addRule(rule(index + 1)))
  const before = messagesSent.changes
  t.ok((await connection.request(requests)).every(error => error === null))
  t.equal(messagesSent.changes - before, 2000)
  const again = await connection.request(requests)
  t.equal(again.filter(error => error?.errnoName === 'EEXIST').length, 2000)
  t.equal((await ours(connection)).length, 2000)
})

t.test('requests made at the same time on one connection do not mix', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const [first, links, second, rules] = await Promise.all([
    connection.request([addRule(rule(1)), addRule(rule(1))]),
    connection.dump(listLinks()),
    connection.request([addRule(rule(2))]),
    connection.dump(listRules()),
  ])
  t.same(first?.[1]?.errnoName, 'EEXIST')
  t.equal(links.length, 1)
  t.same(second, [null])
  t.ok(rules.some(({ priority }) => priority === 2))
})

t.test('several dumps go in one exchange and come back in order', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  await connection.request([addRule(rule(7)), setLink('lo', { up: true })])
  const before = messagesSent.queries
  const answers = await connection.dumpAll<unknown>([
    listLinks(),
    listRules(),
    listRoutes({ protocol: 99 }),
    listLinks(),
  ])
  t.same(
    answers.map(list => list.length),
    [1, 6, 0, 1], // rules: three of IPv4, two of IPv6, and the one made here
  )
  t.equal(messagesSent.queries - before, 4)
  t.same(await connection.dumpAll([]), [])
})

t.test('dumps that say the same as before are those of before', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const queries = [listRules(), listRoutes({ protocol: 99 })]
  const first = await connection.dumpAgain<unknown>(queries, null)
  t.equal(await connection.dumpAgain<unknown>(queries, first), first)
  await connection.request([addRule(rule(7))])
  const second = await connection.dumpAgain<unknown>(queries, first)
  t.equal(second.answers[0]?.length, (first.answers[0]?.length ?? 0) + 1)
  t.equal(await connection.dumpAgain<unknown>(queries, second), second)
  await connection.request([deleteRule(rule(7))])
  t.same((await connection.dumpAgain<unknown>(queries, second)).answers, first.answers)
})

t.test('an attribute the kernel does not know does no harm', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const request = setLink('lo', { up: true })
  const unknown = Buffer.from('0800e803ffffffff', 'hex') // type 1000
  t.same(await connection.request([{ ...request, payload: Buffer.concat([request.payload, unknown]) }]), [
    null,
  ])
  const [link] = await connection.dump(listLinks())
  t.equal(link?.up, true)
})

t.test('a request the kernel cannot read is an error, and the connection goes on', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  const broken = { operation: 'try', subject: 'nonsense', type: 16, flags: 0, payload: Buffer.alloc(1) }
  const unknown = { ...broken, type: 0x3fff, payload: Buffer.alloc(16) }
  const outcomes = await connection.request([broken, unknown, addRule(rule(1))])
  t.equal(outcomes[0]?.errnoName, 'EINVAL')
  t.equal(outcomes[1]?.errnoName, 'EOPNOTSUPP')
  t.equal(outcomes[2], null)
})

t.test('a dump that changes while it is made is made again', async t => {
  const path = freshNamespace(t)
  const reader = connect(t, 'route', path)
  const writer = connect(t, 'route', path)
  const address = (index: number) => ({ linkIndex: 1, address: `10.${index >> 8}.${index & 255}.1/32` })
  const lasting = Array.from({ length: 3000 }, (_, index) => address(index))
  t.ok((await writer.request(lasting.map(addAddress))).every(error => error === null))
  const passing = address(0xff00)
  let dumps = 0
  let writing = true
  const churn = (async () => {
    while (writing)
      await writer.request(
        Array.from({ length: 100 }, () => [addAddress(passing), deleteAddress(passing)]).flat(),
      )
  })()
  const before = messagesSent.queries
  const until = Date.now() + 20_000
  const given = 0
  while (Date.now() < until && dumps < 500 && messagesSent.queries - before === dumps + given) {
    dumps++
    try {
      const addresses = (await reader.dump(listAddresses())).map(({ address }) => address)
      const known = new Set(addresses)
      if (!lasting.every(({ address }) => known.has(address))) t.fail('an address is missing in a whole dump')
    } catch (error) {
      if ((error as NetlinkError).errnoName !== 'EINTR') throw error
    }
  }
  writing = false
  await churn
  t.ok(messagesSent.queries - before > dumps, `after ${dumps} dumps one was asked again`)
  t.equal((await reader.dump(listAddresses())).length, 3000)
})

t.test('10,000 connections opened and closed leave no descriptor behind', async t => {
  const path = freshNamespace(t)
  const descriptors = () => readdirSync('/proc/self/fd').length
  NetlinkConnection.open('route', path).close()
  const before = descriptors()
  for (let index = 0; index < 10_000; index++) {
    const connection = NetlinkConnection.open(index % 2 ? 'generic' : 'route', path)
    if (index % 500 === 0) t.equal((await connection.dump(listLinks())).length, 1)
    connection.close()
  }
  t.equal(descriptors(), before)
})

t.test('closing waits for what is under way, refuses what comes later, and may be repeated', async t => {
  const path = freshNamespace(t)
  const before = readdirSync('/proc/self/fd').length
  const connection = NetlinkConnection.open('route', path)
  const pending = connection.request(Array.from({ length: 600 }, (_, index) => addRule(rule(index + 1))))
  connection.close()
  connection.close()
  t.ok((await pending).every(error => error === null))
  await t.rejects(connection.dump(listLinks()), { code: 'MESH_INTERNAL' })
  t.equal(readdirSync('/proc/self/fd').length, before)
})

t.test('a namespace that is not there is told by errno and path', async t => {
  t.throws(() => NetlinkConnection.open('route', '/run/netns/mesh-test-none'), {
    code: 'MESH_NETLINK',
    errnoName: 'ENOENT',
    subject: 'route socket in /run/netns/mesh-test-none',
  })
  t.throws(() => NetlinkConnection.open('route', '/etc/passwd'), { code: 'MESH_NETLINK', message: /EINVAL/ })
})

t.test('a generic family that the kernel lacks is MESH_UNSUPPORTED', async t => {
  const connection = connect(t, 'generic', null)
  const request = { ...getFamily('x'), type: 'NOFAMILY' }
  await t.rejects(connection.get(request), { code: 'MESH_UNSUPPORTED', message: /no NOFAMILY/ })
  await t.rejects(connection.request([request]), { code: 'MESH_UNSUPPORTED' })
})

t.test('a connection works on after its namespace file is gone', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  t.ok(namespaceIdentity(path))
  const route = {
    table: 1090,
    destination: '10.0.0.0/8',
    type: 'blackhole',
    linkIndex: null,
    gateway: null,
    source: null,
    protocol: 109,
  } as const
  t.same(await connection.request([addRoute(route)]), [null])
  t.match(await connection.dump(listRoutes({ protocol: 109 })), [
    { destination: '10.0.0.0/8', type: 'blackhole' },
  ])
})

t.test('MESH_TRACE=netlink prints messages decoded in both directions', async t => {
  const path = freshNamespace(t)
  const module = (name: string) => fileURLToPath(new URL(`../../src/netlink/${name}.js`, import.meta.url))
  const script = `
    import { NetlinkConnection } from '${module('connection')}'
    import { addRule, listLinks } from '${module('route')}'
    const connection = NetlinkConnection.open('route', '${path}')
    const rule = { priority: 5, source: '10.0.0.1/32', table: 1090, protocol: 109 }
    await connection.request([addRule(rule), addRule(rule)])
    await connection.dump(listLinks())
    connection.close()`
  const run = (MESH_TRACE: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, MESH_TRACE, NODE_OPTIONS: '' },
    })
  const { stderr, status } = run('other,netlink')
  t.equal(status, 0, stderr)
  t.match(stderr, /→ route #1 add rule 5 from 10\.0\.0\.1\/32 lookup 1090: NEWRULE .*priority: 5/)
  t.match(stderr, /← route #2 EEXIST/)
  t.match(stderr, /← route #3 NEWLINK .*ifname: 'lo'/)
  t.match(stderr, /← route #3 done/)
  t.equal(run('').stderr, '')
})
