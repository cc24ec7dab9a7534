/**
 * Nodes that cannot reach an etcd that is well: what they go on with, what others see of
 * them, and that they come back with nothing stale and take nobody away.
 */
import t from 'tap'
import { claimOf, container, everMissed, liveOf, twoNodes, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { Gate } from '../helpers/gate.js'
import { sleep, waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)
const [m1, m2] = servers.members

for (const how of ['cut', 'hold'] as const)
  t.test(`a node ${how === 'cut' ? 'cut off' : 'in silence'} for longer than its lease`, async t => {
    await servers.ready()
    const gate = await Gate.before(t, m1.endpoint)
    const [one, two] = await twoNodes(servers, `/${how}`, [[gate.endpoint], [m1.endpoint]])
    await two.cluster.announce([container('b'), container('c')])
    await waitFor(() => one.containers()?.includes('n2/c:ready'), 'all containers', 5)
    gate[how]()
    await waitFor(() => two.live() === 'n2', 'the end of its lease', 6)
    t.equal(two.containers(), 'n2/b:ready n2/c:ready')
    t.equal(one.live(), 'n1,n2', 'the node itself goes on with what it knew')
    await t.rejects(one.cluster.announce([container('a2')]), { code: 'MESH_STORE' })
    await two.cluster.announce([container('b')])
    gate.open()
    await waitFor(() => one.trouble() === null, 'the recovery', 10)
    await waitFor(() => two.containers() === 'n1/a2:ready n2/b:ready', 'its containers as they are now', 5)
    await waitFor(() => one.containers() === 'n1/a2:ready n2/b:ready', 'the same at the node itself', 5)
    t.notOk(two.containers()?.includes('n1/a:'), 'nothing stale')
    t.notOk(everMissed(one), 'the node never missed the other')
    t.notOk(
      two.snapshots.some(
        ({ containers }, at) =>
          at > 0 &&
          containers.some(
            ({ id, node }) => node === 'n1' && id === 'a' && liveOf(two.snapshots[at]) === 'n2',
          ),
      ),
    )
    await one.close()
    await two.close()
  })

t.test('a node whose number was given to another one while it was cut off', async t => {
  const gate = await Gate.before(t, m1.endpoint)
  const prefix = '/moved'
  const [one, two] = [view(servers, { prefix }), view(servers, { prefix, endpoints: [gate.endpoint] })]
  await one.cluster.join(claimOf('n1', 1))
  let moves = 0
  t.match(await two.cluster.join(claimOf('n2', 2), () => moves++), { number: 2 })
  await two.cluster.announce([container('b')])
  await waitFor(() => one.containers() === 'n2/b:ready', 'its container', 5)
  gate.cut()
  await waitFor(() => one.live() === 'n1', 'the end of its lease', 6)
  await one.cluster.remove('n2')
  const three = view(servers, { prefix })
  t.match(await three.cluster.join(claimOf('n3', 3)), { number: 2 })
  t.equal(moves, 0)
  gate.open()
  await waitFor(() => moves > 0, 'the news of it', 10)
  const lost = 'node n2 was removed and its number 2 given to another one'
  await waitFor(() => two.trouble()?.startsWith(lost), 'the reason', 5)
  await two.close()
  const again = view(servers, { prefix })
  t.match(await again.cluster.join(claimOf('n2', 2)), { number: 3 }, 'started again it has another one')
  await sleep(1)
  t.equal(moves, 1)
  for (const node of [one, three, again]) await node.close()
})

t.test('nodes that all were cut off for longer than their leases never miss one another', async t => {
  const gates = [await Gate.before(t, m1.endpoint), await Gate.before(t, m2.endpoint)] as const
  const [one, two] = await twoNodes(servers, '/both', [[gates[0].endpoint], [gates[1].endpoint]])
  const three = view(servers, { prefix: '/both' })
  await waitFor(() => three.live() === 'n1,n2', 'both nodes', 5)
  for (const gate of gates) gate.cut()
  await waitFor(() => three.live() === '', 'the end of their leases', 6)
  gates[0].open()
  await sleep(0.5)
  gates[1].open()
  await waitFor(() => three.containers() === 'n1/a:ready n2/b:ready', 'their return', 5)
  await waitFor(() => one.trouble() === null && two.trouble() === null, 'the recovery', 5)
  await sleep(4)
  t.notOk(everMissed(one) || everMissed(two))
  await two.close()
  await waitFor(() => one.live() === 'n1', 'the end of a node that dies later', 6)
})
