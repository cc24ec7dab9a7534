/**
 * An etcd that is out of reach for all nodes, or has lost what it held: the last known
 * state stays, and nobody is taken away when it is back.
 */
import t from 'tap'
import { container, everMissed, twoNodes, type View, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { aService } from '../helpers/services.js'
import { sleep, waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)
const [, m2, m3] = servers.members

async function add(to: View, name: string, port: number) {
  await to.store.update(services => [...services, aService(name, port)])
}

t.test('without a quorum all stays as it was known, and heals with it', async t => {
  const [one, two] = await twoNodes(servers, '/quorum', [servers.endpoints, servers.endpoints])
  await add(one, 'a', 1)
  await waitFor(() => two.names() === 'a', 'the service', 5)
  await Promise.all([m2.stop(), m3.stop()])
  await waitFor(() => one.trouble() !== null && two.trouble() !== null, 'the trouble', 10)
  await t.rejects(add(one, 'b', 2), { code: 'MESH_STORE' })
  await t.rejects(two.cluster.announce([container('b2')]), { code: 'MESH_STORE' })
  await sleep(3)
  t.equal(one.live(), 'n1,n2', 'longer than the lease')
  t.equal(one.containers(), 'n1/a:ready n2/b:ready')
  t.same(await one.store.list(), [aService('a', 1)])
  t.ok(one.trouble(), 'and still says so')
  m2.start()
  m3.start()
  await waitFor(() => one.trouble() === null && two.trouble() === null, 'the recovery', 20)
  await waitFor(() => one.containers() === 'n1/a:ready n2/b2:ready', 'what could not be told before', 5)
  await sleep(3)
  t.notOk(everMissed(one) || everMissed(two))
  await add(one, 'b', 2)
})

t.test('a restart of all members takes nothing away', async t => {
  const [one, two] = await twoNodes(servers, '/all', [servers.endpoints, servers.endpoints])
  await add(one, 'a', 1)
  await Promise.all(servers.members.map(member => member.stop()))
  await waitFor(() => one.trouble() !== null && two.trouble() !== null, 'the trouble', 10)
  await sleep(4)
  for (const member of servers.members) member.start()
  await waitFor(() => one.trouble() === null && two.trouble() === null, 'the recovery', 20)
  await add(two, 'b', 2)
  await two.cluster.announce([])
  await waitFor(() => one.names() === 'a,b' && one.containers() === 'n1/a:ready', 'news', 10)
  await sleep(3)
  t.notOk(everMissed(one) || everMissed(two))
  await two.close()
  await waitFor(() => one.live() === 'n1', 'the end of a node that dies later', 6)
})

t.test('an etcd that lost all its data takes nothing away, and gets it back', async t => {
  const [one, two] = await twoNodes(servers, '/lost', [servers.endpoints, servers.endpoints])
  await add(one, 'a', 1)
  await waitFor(() => two.names() === 'a', 'the service', 5)
  await Promise.all(servers.members.map(member => member.stop()))
  servers.forget()
  for (const member of servers.members) member.start()
  await waitFor(
    () => /nothing of this mesh is left in it; its 1 services stay/.test(`${two.trouble()}`),
    'words',
    20,
  )
  t.equal(two.names(), 'a')
  const three = view(servers, { prefix: '/lost' })
  await waitFor(
    () => three.live() === 'n1,n2' && three.containers() === 'n1/a:ready n2/b:ready',
    'the nodes',
    5,
  )
  t.same(
    three.cluster.nodes().map(({ number }) => number),
    [1, 2],
    'each with its number',
  )
  await add(two, 'b', 2)
  await waitFor(() => three.names() === 'a,b', 'all services', 5)
  await waitFor(() => one.trouble() === null && two.trouble() === null, 'the end of the trouble', 5)
  t.equal(one.names(), 'a,b')
  await sleep(3)
  t.notOk(everMissed(one) || everMissed(two))
})
