import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  addAddress,
  addRule,
  addVeth,
  deleteLink,
  deleteRule,
  listRoutes,
  setLink,
} from '../../src/netlink/route.js'
import { type KernelEvent, NetlinkWatch } from '../../src/netlink/watch.js'
import { connect, freshNamespace, runIn } from '../helpers/namespaces.js'

const rule = { priority: 5, source: '0.0.0.0/0', table: 1090, protocol: 109 }

/** Waits until `done` holds, at most `limit` milliseconds. */
async function until(done: () => boolean, limit = 10_000): Promise<boolean> {
  const end = Date.now() + limit
  while (!done() && Date.now() < end) await sleep(5)
  return done()
}

t.test('links, addresses, routes and rules are told as they come and go', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const events: KernelEvent[] = []
  const watch = NetlinkWatch.open(
    path,
    event => events.push(event),
    error => t.error(error),
  )
  t.teardown(() => watch.close())
  const seen = (kind: string, gone: boolean, text: string) =>
    until(() =>
      events.some(e => e.kind === kind && 'gone' in e && e.gone === gone && JSON.stringify(e).includes(text)),
    )

  await connection.request([
    setLink('lo', { up: true }),
    addVeth({ name: 'a', peerName: 'b', peerNamespace: null, mtu: 1400 }),
  ])
  await connection.request([addAddress({ linkIndex: 1, address: '10.0.0.1/32' }), addRule(rule)])
  t.ok(await seen('link', false, '"name":"a"'))
  t.ok(await seen('address', false, '10.0.0.1/32'))
  t.ok(await seen('route', false, '10.0.0.1/32'))
  t.ok(await seen('rule', false, '"protocol":109'))
  await connection.request([deleteRule(rule), deleteLink('a')])
  t.ok(await seen('rule', true, '"protocol":109'))
  t.ok(await seen('link', true, '"name":"a"'))
})

t.test('nothing is told of other namespaces, and nothing after closing', async t => {
  const path = freshNamespace(t)
  const other = connect(t, 'route', freshNamespace(t))
  const connection = connect(t, 'route', path)
  let events = 0
  const watch = NetlinkWatch.open(
    path,
    () => events++,
    error => t.error(error),
  )
  await other.request([addRule(rule)])
  await connection.request([addRule(rule)])
  t.ok(await until(() => events === 1))
  watch.close()
  watch.close()
  await connection.request([deleteRule(rule)])
  await sleep(50)
  t.equal(events, 1)
})

t.test('a listener that throws ends neither the process nor the watch', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const errors: unknown[] = []
  let events = 0
  const watch = NetlinkWatch.open(
    path,
    () => {
      events++
      throw new Error(`event ${events}`)
    },
    error => errors.push(error),
  )
  t.teardown(() => watch.close())
  for (let priority = 1; priority <= 4; priority++) await connection.request([addRule({ ...rule, priority })])
  t.ok(await until(() => errors.length === 4))
  t.match(
    errors.map(error => (error as Error).message),
    ['event 1', 'event 2', 'event 3', 'event 4'],
  )
})

t.test('an error handler that throws is warned of, and ends nothing either', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  let events = 0
  const watch = NetlinkWatch.open(
    path,
    () => {
      events++
      throw new Error('listener')
    },
    () => {
      throw new Error('handler')
    },
  )
  t.teardown(() => watch.close())
  const warnings: Error[] = []
  const collect = (warning: Error) => warnings.push(warning)
  process.on('warning', collect)
  t.teardown(() => process.off('warning', collect))
  for (let priority = 1; priority <= 3; priority++) await connection.request([addRule({ ...rule, priority })])
  t.ok(await until(() => events === 3 && warnings.length === 3))
  t.match(warnings[0]?.message, /handler/)
})

t.test('lost events are told as an overrun, and the watch goes on', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  await connection.request([setLink('lo', { up: true })])
  let overruns = 0
  const priorities = new Set<number>()
  const watch = NetlinkWatch.open(
    path,
    event => {
      if (event.kind === 'overrun') overruns++
      else if (event.kind === 'rule') priorities.add(event.reading.priority)
    },
    error => t.error(error),
  )
  t.teardown(() => watch.close())
  // While this thread waits for `ip`, nobody takes the events.
  const count = 30_000
  const routes = Array.from(
    { length: count },
    (_, index) => `route add 10.${index >> 14}.${(index >> 7) & 127}.${index & 127}/32 dev lo proto 109\n`,
  ).join('')
  runIn(path, ['ip', '-batch', '-'], routes)
  t.ok(await until(() => overruns > 0), 'the overrun is told')
  await connection.request([addRule(rule)])
  t.ok(await until(() => priorities.has(5)), 'later events come')
  t.equal((await connection.dump(listRoutes({ protocol: 109 }))).length, count, 'a dump tells what there is')
})

t.test('1,000 watches opened and closed leave no descriptor and no thread behind', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const count = () => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length
  await connection.request([addRule(rule)])
  const before = count()
  for (let index = 0; index < 1000; index++) {
    const watch = NetlinkWatch.open(
      path,
      () => {},
      error => t.error(error),
    )
    if (index % 100 === 0) await connection.request([deleteRule(rule), addRule(rule)])
    watch.close()
  }
  await sleep(20)
  t.equal(count(), before)
})

t.test('a watch that is open does not keep the process from ending by process.exit', async t => {
  const path = freshNamespace(t)
  const module = new URL('../../src/netlink/watch.js', import.meta.url).href
  const script = `
    import { NetlinkWatch } from '${module}'
    NetlinkWatch.open(null, () => {}, () => {})
    setTimeout(() => process.exit(7), 20)`
  t.throws(() => runIn(path, [process.execPath, '--input-type=module', '-e', `${script}; throw 1`]))
  const wrapped = ['sh', '-c', `"$0" --input-type=module -e "$1"; test $? = 7`, process.execPath, script]
  t.equal(runIn(path, wrapped), '')
})
