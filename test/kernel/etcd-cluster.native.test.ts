/**
 * Nodes and containers in a real etcd of three members: places, leases, joins at the same moment.
 */
import t from 'tap'
import { encode, type Operation, put, remove } from '../../src/store/etcd-wire.js'
import { claimOf, container, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { sleep, waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)

const open = (prefix: string) => view(servers, { prefix })

/** As `etcdctl del` removes a range of keys. */
function removeAll(key: string, end: string): Operation {
  return { request_delete_range: { key: encode(key), range_end: encode(end) } }
}

/** Nodes n1, with a container, and n2, which knows of it. */
async function pair(prefix: string) {
  const [one, two] = [open(prefix), open(prefix)] as const
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.announce([container('a')])
  await waitFor(() => two.containers() === 'n1/a:ready', 'the container', 5)
  return [one, two] as const
}

t.test('the first node gets number 1 and the first subnet, and the next the next', async t => {
  const one = open('/first')
  const two = open('/first')
  t.same(await one.cluster.join(claimOf('n1', 1)), {
    name: 'n1',
    number: 1,
    subnet: '10.254.0.0/24',
    address: '192.168.77.1',
    ipv6: null,
  })
  const ipv6 = { pool: 'fd4d:6573:68::/96', vipPool: 'fd4d:6573:68:1::/96' }
  t.match(await two.cluster.join(claimOf('n2', 2, { ipv6 })), { number: 2, subnet: '10.254.1.0/24' })
  await waitFor(() => one.live() === 'n1,n2', 'both nodes', 5)
  t.same(
    two.snapshots.at(-1)?.nodes.map(({ draining }) => draining),
    [false, false],
  )
  t.same(
    one.snapshots.at(-1)?.nodes.map(node => node.ipv6),
    [null, ipv6],
    'each with what it has of IPv6',
  )
})

t.test('what Swarm is about to stop is told by any manager, and no longer than it is there', async t => {
  const [one, two] = await pair('/ending')
  const ending = () => two.snapshots.at(-1)?.ending.join()
  await one.cluster.announce([container('a')], ['x', 'a'])
  await waitFor(() => ending() === 'a,x', 'what n1 says', 5)
  await two.cluster.announce([], ['b', 'x'])
  await waitFor(() => ending() === 'a,b,x', 'what both say', 5)
  const { nodes, containers } = two.snapshots.at(-1)!
  await one.cluster.announce([container('a')])
  await waitFor(() => ending() === 'b,x', 'what n1 says no more', 5)
  t.equal(two.snapshots.at(-1)?.nodes, nodes, 'nothing else changes with it')
  t.equal(two.snapshots.at(-1)?.containers, containers)
  await one.cluster.announce([container('a')], ['a'])
  await waitFor(() => ending() === 'a,b,x', 'what n1 says again', 5)
  await one.cluster.leave()
  await waitFor(() => ending() === 'b,x', 'n1 to have gone', 5)
  await Promise.all([one.close(), two.close()])
})

t.test('20 nodes that join at the same moment get 20 numbers and subnets', async t => {
  const nodes = Array.from({ length: 20 }, () => open('/race'))
  const records = await Promise.all(nodes.map(({ cluster }, i) => cluster.join(claimOf(`n${i}`, i + 1))))
  t.equal(new Set(records.map(({ number }) => number)).size, 20)
  t.equal(new Set(records.map(({ subnet }) => subnet)).size, 20)
  await waitFor(() => nodes[0]!.snapshots.at(-1)?.nodes.length === 20, 'all nodes', 5)
  await Promise.all(nodes.map(({ close }) => close()))
})

t.test('a pool with room for four nodes takes four, and says what to do for the fifth', async t => {
  const claim = (i: number) => claimOf(`n${i}`, i, { pool: '10.9.0.0/26', nodePrefix: 28 })
  const nodes = Array.from({ length: 5 }, () => open('/full'))
  const results = await Promise.allSettled(nodes.map(({ cluster }, i) => cluster.join(claim(i + 1))))
  const subnets = results.map(result => (result.status === 'fulfilled' ? result.value.subnet : null))
  t.same(subnets.filter(Boolean).sort(), ['10.9.0.0/28', '10.9.0.16/28', '10.9.0.32/28', '10.9.0.48/28'])
  t.match(
    results.find(({ status }) => status === 'rejected'),
    { reason: { code: 'MESH_BAD_INPUT', message: /all of its 4 shares of \/28 are taken; .* node rm/ } },
  )
})

t.test('a node that comes back has its former number, whatever its address now', async t => {
  const one = open('/again')
  const two = open('/again')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.leave()
  await waitFor(() => two.live() === 'n2', 'the leave', 5)
  t.match(two.snapshots.at(-1)?.nodes, [{ name: 'n1', live: false }, { name: 'n2' }])
  const later = open('/again')
  t.match(await later.cluster.join(claimOf('n1', 9)), { number: 1, address: '192.168.77.9' })
})

t.test('a node that was paused may come back at another address at once', async t => {
  const one = open('/moved')
  await one.cluster.join(claimOf('n1', 1))
  await one.cluster.pause(60)
  await one.close()
  const begun = performance.now()
  const later = open('/moved')
  t.match(await later.cluster.join(claimOf('n1', 9)), { number: 1, address: '192.168.77.9' })
  t.ok(performance.now() - begun < 3000, 'it need not wait for the end of the pause')
})

t.test('a name or an address of another live node is refused, with its reason', async t => {
  const one = open('/taken')
  await one.cluster.join(claimOf('n1', 1))
  const other = open('/taken')
  const refused = t.rejects(other.cluster.join(claimOf('n1', 2)), {
    field: 'node-name',
    message: /the live node at 192\.168\.77\.1 has this name/,
  })
  const third = open('/taken')
  await t.rejects(third.cluster.join(claimOf('n3', 1)), {
    field: 'node-address',
    message: /the live node n1 has this address/,
  })
  await refused
  await t.rejects(third.cluster.join(claimOf('n3', 3, { nodePrefix: 25 })), {
    field: 'pool',
    message: /the other nodes use 10\.254\.0\.0\/16 in shares of \/24/,
  })
  await t.rejects(third.cluster.join(claimOf('n3', 3, { vipPool: null })), {
    field: 'vip-pool',
    message: /"none": the other nodes use 10\.253\.0\.0\/16; give every node the same/,
  })
})

t.test('nodes of before there were VIPs leave their pool to the first that has them', async t => {
  const one = open('/first-vips')
  const client = servers.client()
  t.teardown(() => client.close())
  const pool = JSON.stringify({ pool: '10.254.0.0/16', nodePrefix: 24 })
  await client.transact([], [put('/first-vips/pool', pool), put('/first-vips/nodes/n9', '{}')])
  await one.cluster.join(claimOf('n1', 1, { vipPool: '10.9.0.0/24' }))
  await t.rejects(open('/first-vips').cluster.join(claimOf('n2', 2)), {
    field: 'vip-pool',
    message: /10\.9\.0\.0\/24/,
  })
})

t.test('what a node announces all others see, as differences, with identity kept', async t => {
  const one = open('/told')
  const two = open('/told')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.announce([container('a'), container('b')])
  await waitFor(() => two.containers() === 'n1/a:ready n1/b:ready', 'both containers', 5)
  const before = two.snapshots.at(-1)!.containers
  t.same(before[0], {
    node: 'n1',
    id: 'a',
    name: 'c-a',
    labels: { app: 'web' },
    address: '10.254.0.3',
    state: 'ready',
  })
  await one.cluster.announce([container('a'), container('b', { state: 'leaving' })])
  await waitFor(() => two.containers() === 'n1/a:ready n1/b:leaving', 'the change', 5)
  t.equal(two.snapshots.at(-1)!.containers[0], before[0])
  const count = two.snapshots.length
  await one.cluster.announce([container('a'), container('b', { state: 'leaving' })])
  await one.cluster.announce([])
  await waitFor(() => two.containers() === '', 'the removal', 5)
  t.equal(two.snapshots.length, count + 1, 'the same list again is no news')
})

t.test('a node that falls silent is gone with its containers when its lease runs out', async t => {
  const [one, two] = await pair('/dies')
  await one.close()
  const begun = performance.now()
  await waitFor(() => two.live() === 'n2', 'the end of the lease', 6, 0.02)
  const seconds = (performance.now() - begun) / 1000
  t.equal(two.containers(), '', 'both at once')
  t.ok(seconds < 3, `noticed after ${seconds.toFixed(2)} s`)
  t.match(two.snapshots.at(-1)?.nodes[0], { name: 'n1', number: 1, live: false })
})

t.test('a restarted agent keeps what it had told until it tells anew', async t => {
  const one = open('/restart')
  const two = open('/restart')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.announce([container('a'), container('b')])
  await one.close()
  const again = open('/restart')
  await again.cluster.join(claimOf('n1', 1))
  await sleep(4)
  t.equal(two.containers(), 'n1/a:ready n1/b:ready', 'longer than the lease')
  await again.cluster.announce([container('b')])
  await waitFor(() => two.containers() === 'n1/b:ready', 'the new list', 5)
  await sleep(3)
  t.ok(
    two.snapshots.every(({ nodes }) => nodes.length < 2 || nodes.every(({ live }) => live)),
    'no node was ever missing',
  )
})

t.test('a paused agent is missed only when its time is over', async t => {
  const one = open('/pause')
  const two = open('/pause')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await one.cluster.announce([container('a')])
  await one.cluster.pause(5)
  await one.close()
  await sleep(4)
  t.equal(two.live(), 'n1,n2')
  t.equal(two.containers(), 'n1/a:ready')
  await waitFor(() => two.live() === 'n2', 'the end of the pause', 4)
  t.equal(two.containers(), '')
})

t.test('of two agents of one node only the last to join speaks', async t => {
  const one = open('/twin')
  await one.cluster.join(claimOf('n1', 1))
  await one.cluster.announce([container('old')])
  const two = open('/twin')
  await two.cluster.join(claimOf('n1', 1))
  await two.cluster.announce([container('new')])
  await one.cluster.announce([container('old'), container('stale')]).catch(() => {})
  await waitFor(() => one.trouble(), 'the complaint', 5)
  t.match(one.trouble(), /another meshd has joined as node n1/)
  await sleep(3)
  t.equal(two.containers(), 'n1/new:ready')
  t.equal(two.live(), 'n1')
  t.same(two.troubles.filter(Boolean), [])
  await two.close()
  await waitFor(() => one.trouble() === null, 'the place again', 10)
  await waitFor(() => one.containers() === 'n1/old:ready n1/stale:ready', 'what it had to tell', 5)
  await one.cluster.announce([container('old')])
  await waitFor(() => one.containers() === 'n1/old:ready', 'what it has to tell now', 5)
})

t.test('an agent that was told to end while another one has its place does not come back', async t => {
  const one = open('/twin2')
  await one.cluster.join(claimOf('n1', 1))
  const two = open('/twin2')
  await two.cluster.join(claimOf('n1', 1))
  await one.cluster.announce([container('old')]).catch(() => {})
  await waitFor(() => one.trouble(), 'the complaint', 5)
  await one.cluster.leave()
  await two.cluster.leave()
  await waitFor(() => two.live() === '', 'both to be gone', 5)
  await sleep(2)
  t.equal(two.live(), '')
})

t.test('an etcd that was set back to before the agent joined has it again', async t => {
  const [one, two] = await pair('/set-back')
  const client = servers.client()
  t.teardown(() => client.close())
  // As a backup has it: the word of an agent of before, whose lease runs once more.
  const { id } = await client.grant(2)
  const { value, lease } = (await client.get('/set-back/alive/n1'))!
  const former = JSON.stringify({ ...JSON.parse(value), agent: 'former' })
  await client.transact([], [put('/set-back/alive/n1', former, id), remove('/set-back/containers/n1/a')])
  await client.revoke(lease)
  await waitFor(() => two.containers() === 'n1/a:ready', 'its containers', 15)
  await waitFor(() => one.trouble() === null, 'the end of the trouble', 5)
  t.equal(two.live(), 'n1,n2')
})

t.test('what somebody removed from etcd is written again, each node with its number', async t => {
  const [one, two] = await pair('/wiped')
  await two.cluster.announce([container('b')])
  await waitFor(() => one.containers() === 'n1/a:ready n2/b:ready', 'both containers', 5)
  const client = servers.client()
  t.teardown(() => client.close())
  await client.transact([], [removeAll('/wiped/', '/wiped0')])
  const keys = async () => (await client.range('/wiped/', '/wiped0')).keys.map(({ key }) => key.slice(7))
  const all = [
    'alive/n1',
    'alive/n2',
    'containers/n1/a',
    'containers/n2/b',
    'nodes/n1',
    'nodes/n2',
    'numbers/00001',
    'numbers/00002',
    'pool',
  ]
  await waitFor(async () => (await keys()).length === all.length, 'all keys', 10)
  t.same(await keys(), all)
  t.match(await open('/wiped').cluster.join(claimOf('n3', 3)), { number: 3 })
})

t.test('a lease that somebody revoked is taken anew, and all is told again', async t => {
  const [one, two] = await pair('/revoked')
  const client = servers.client()
  t.teardown(() => client.close())
  const { lease } = (await client.get('/revoked/alive/n1'))!
  await client.revoke(lease)
  await waitFor(() => two.live() === 'n2', 'the loss', 5, 0.01)
  await waitFor(() => two.live() === 'n1,n2' && two.containers() === 'n1/a:ready', 'the return', 5)
  await one.cluster.announce([container('a'), container('b')])
  await waitFor(() => two.containers() === 'n1/a:ready n1/b:ready', 'news under the new lease', 5)
  await sleep(3)
  t.equal(two.containers(), 'n1/a:ready n1/b:ready', 'all of it hangs on the new lease')
})

t.test('what is announced while a lease is taken anew is told too', async t => {
  const one = open('/meanwhile')
  const two = open('/meanwhile')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  const client = servers.client()
  t.teardown(() => client.close())
  for (let round = 0; round < 5; round++) {
    await one.cluster.announce([container('a')])
    await waitFor(() => two.containers() === 'n1/a:ready', 'the container', 5)
    const { lease } = (await client.get('/meanwhile/alive/n1'))!
    await client.revoke(lease)
    // Its containers come back before it says that it is alive: in between it gets news.
    await waitFor(() => client.get('/meanwhile/containers/n1/a'), 'the container again', 5, 0)
    await one.cluster.announce([container('a', { state: 'leaving' })])
    await waitFor(() => two.containers() === 'n1/a:leaving', `the news of round ${round}`, 5)
  }
  t.pass()
})

t.test('nodes are drained, listed and removed', async t => {
  const one = open('/admin')
  const two = open('/admin')
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  await two.cluster.drain('n1', true)
  await waitFor(() => one.snapshots.at(-1)?.nodes[0]?.draining, 'the drain', 5)
  await t.rejects(two.cluster.drain('n9', true), { code: 'MESH_NOT_FOUND' })
  await t.rejects(two.cluster.remove('n9'), { code: 'MESH_NOT_FOUND' })
  await t.rejects(two.cluster.remove('n1'), {
    code: 'MESH_BAD_INPUT',
    message: /its agent is running; stop meshd there first/,
  })
  await one.cluster.leave()
  const again = open('/admin')
  await again.cluster.join(claimOf('n1', 1))
  await waitFor(() => two.cluster.nodes()[0]?.live, 'the return', 5)
  t.match(two.cluster.nodes(), [
    { name: 'n1', draining: true },
    { name: 'n2', draining: false },
  ])
  await two.cluster.drain('n1', false)
  await again.cluster.leave()
  await two.cluster.remove('n1')
  await waitFor(() => two.cluster.nodes().length === 1, 'the removal', 5)
  const next = open('/admin')
  t.match(await next.cluster.join(claimOf('n3', 3)), { number: 1 }, 'its number is free')
  await next.cluster.announce([container('c')])
  await waitFor(() => two.containers() === 'n3/c:ready', 'its container', 5)
  await next.cluster.pause(60)
  await two.cluster.remove('n3')
  await waitFor(() => two.cluster.nodes().length === 1, 'the removal of a node whose agent has ended', 5)
  t.equal(two.containers(), '')
})
