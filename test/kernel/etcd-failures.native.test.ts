/**
 * An etcd of three members that fails in all the ways it can, and what a mesh makes of
 * it: the last known state stays, trouble is told, and all heals by itself.
 */
import t from 'tap'
import { container, everMissed, twoNodes, type View, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { aService } from '../helpers/services.js'
import { sleep, waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)
const [m1, m2, m3] = servers.members

async function add(to: View, name: string, port: number) {
  await to.store.update(services => [...services, aService(name, port)])
}

t.test('a killed member costs a moment: the watch goes on at the next one', async t => {
  const [one, two] = await twoNodes(servers, '/killed', [servers.endpoints, [m2.endpoint]])
  await m1.stop()
  await add(two, 'a', 1)
  const begun = performance.now()
  await waitFor(() => one.names() === 'a', 'the news', 5, 0.02)
  t.ok(performance.now() - begun < 1000, `after ${Math.round(performance.now() - begun)} ms`)
  await add(one, 'b', 2)
  t.equal(one.names(), 'a,b')
  m1.start()
  await servers.ready()
  t.notOk(everMissed(one) || everMissed(two))
})

t.test('a watch resumes where it was when its only member comes back', async t => {
  const one = view(servers, { prefix: '/resume', endpoints: [m1.endpoint] })
  const two = view(servers, { prefix: '/resume', endpoints: [m2.endpoint] })
  await add(one, 'a', 1)
  await m1.stop()
  await waitFor(() => one.trouble(), 'the trouble', 5)
  t.equal(one.trouble()?.includes(`${m1.endpoint}: connect ECONNREFUSED`), true, one.trouble() ?? '')
  await add(two, 'b', 2)
  await two.store.update(services => services.filter(({ name }) => name !== 'a'))
  t.equal(one.names(), 'a', 'the last known state')
  t.same(await one.store.list(), [aService('a', 1)], 'also on demand')
  await t.rejects(add(one, 'c', 3), { code: 'MESH_STORE', message: /ECONNREFUSED/ })
  m1.start()
  await waitFor(() => one.trouble() === null, 'the recovery', 10)
  t.equal(one.names(), 'b', 'told before the end of the trouble, or with it')
})

t.test('what happened during an outage is found in a fresh list where it was compacted', async t => {
  const one = view(servers, { prefix: '/compacted', endpoints: [m1.endpoint] })
  const two = view(servers, { prefix: '/compacted', endpoints: [m2.endpoint] })
  await one.store.update(() => [aService('a', 1), aService('b', 2)])
  const [kept] = one.services.at(-1)!
  await m1.stop()
  await add(two, 'c', 3)
  await two.store.update(services => services.filter(({ name }) => name !== 'b'))
  const client = servers.client({ endpoints: [m2.endpoint] })
  const { header } = await client.range('/compacted/', '/compacted0')
  client.close()
  const body = JSON.stringify({ revision: String(header.revision), physical: true })
  t.equal((await fetch(`${m2.endpoint}/v3/kv/compaction`, { method: 'POST', body })).status, 200)
  m1.start()
  await waitFor(() => one.names() === 'a,c', 'the fresh list', 10)
  t.equal(one.services.at(-1)![0], kept, 'what did not change is the same object')
  await waitFor(() => one.trouble() === null, 'the recovery', 10)
  await add(two, 'd', 4)
  await waitFor(() => one.names() === 'a,c,d', 'the watch after it', 5)
})

t.test('a frozen member is left within two seconds', async t => {
  const [one, two] = await twoNodes(servers, '/frozen', [servers.endpoints, [m2.endpoint, m3.endpoint]])
  await servers.ready()
  m1.freeze()
  const begun = performance.now()
  await add(two, 'a', 1)
  await add(one, 'b', 2)
  await waitFor(() => one.names() === 'a,b' && two.names() === 'a,b', 'news at both', 10, 0.02)
  const seconds = (performance.now() - begun) / 1000
  t.ok(seconds < 4, `all went on after ${seconds.toFixed(1)} s`)
  m1.thaw()
  await sleep(1)
  t.notOk(everMissed(one) || everMissed(two))
})

t.test('with its only member frozen a store says so, and heals with it', async t => {
  const one = view(servers, { prefix: '/frozen2', endpoints: [m1.endpoint] })
  await add(one, 'a', 1)
  m1.freeze()
  await waitFor(() => one.trouble(), 'the trouble', 6)
  t.match(one.trouble(), /no answer within/)
  await t.rejects(
    one.store.update(() => []),
    { code: 'MESH_STORE', message: /no answer within/ },
  )
  t.equal(one.names(), 'a')
  m1.thaw()
  await waitFor(() => one.trouble() === null, 'the recovery', 10)
})

t.test('what a frozen member carries out when it thaws does not undo what came later', async t => {
  await servers.ready()
  const [one, two] = await twoNodes(servers, '/late', [servers.endpoints, [m2.endpoint, m3.endpoint]])
  for (let round = 0; round < 3; round++) {
    m1.freeze()
    const early = one.cluster.announce([container('a', { state: 'leaving' }), container('old')])
    await early
    await one.cluster.announce([container(`new${round}`)])
    m1.thaw()
    await sleep(0.7)
    t.equal(two.containers(), `n1/new${round}:ready n2/b:ready`)
  }
  t.notOk(everMissed(two))
})
