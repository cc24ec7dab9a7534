/**
 * Roles that one node of a cluster has at a time, in a real etcd of three members, and
 * what becomes of the updates of a node that lost its role.
 */
import t from 'tap'
import { claimOf, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { aService } from '../helpers/services.js'
import { waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)

async function pair(prefix: string) {
  const one = view(servers, { prefix, lease: 1 })
  const two = view(servers, { prefix, lease: 1 })
  await one.cluster.join(claimOf('n1', 1))
  await two.cluster.join(claimOf('n2', 2))
  return { one, two }
}

t.test('of two nodes that ask at the same moment one has the role, until it gives it up', async t => {
  const { one, two } = await pair('/role')
  t.equal(one.cluster.leader('swarm'), null)
  const fences = await Promise.all([one.cluster.lead('swarm'), two.cluster.lead('swarm')])
  t.equal(fences.filter(Boolean).length, 1)
  const [holder, other] = fences[0] ? [one, two] : [two, one]
  const name = fences[0] ? 'n1' : 'n2'
  await waitFor(() => other.cluster.leader('swarm') === name, 'the news', 5)
  t.same(await holder.cluster.lead('swarm'), fences.find(Boolean), 'asked again it is the same')
  t.equal(await other.cluster.lead('swarm'), null)
  t.ok(await other.cluster.lead('another'), 'another role is free')
  await other.cluster.resign('swarm')
  t.ok(await holder.cluster.lead('swarm'), 'nobody gives up what is another’s')
  await holder.cluster.resign('swarm')
  await waitFor(() => other.cluster.lead('swarm'), 'the role', 5)
  await waitFor(async () => (await holder.cluster.lead('swarm')) === null, 'the other to know', 5)
})

t.test('a role is free when the node that had it is gone, and what that one writes is refused', async t => {
  const { one, two } = await pair('/fence')
  const fence = await one.cluster.lead('swarm')
  t.ok(fence)
  await one.store.update(services => [...services, aService('web', 8888)], fence)
  await one.cluster.stop() // renews its lease no more, and writes on
  t.ok(await waitFor(() => two.cluster.lead('swarm'), 'the role', 15))
  await t.rejects(
    one.store.update(() => [], fence),
    { code: 'MESH_STORE', message: /no longer this node's/ },
  )
  t.same(
    (await two.store.list()).map(({ name }) => name),
    ['web'],
  )
  await one.store.update(services => [...services, aService('db', 5432)])
  t.equal((await two.store.list()).length, 2, 'without a fence there is no such limit')
})

t.test('a node that lost its lease and came back has no role it does not take anew', async t => {
  const { one, two } = await pair('/regain')
  const fence = await one.cluster.lead('swarm')
  await one.cluster.leave()
  await waitFor(() => two.live() === 'n2', 'the leave', 5)
  t.ok(await waitFor(() => two.cluster.lead('swarm'), 'the role', 5))
  t.equal(await one.cluster.lead('swarm'), null)
  await one.cluster.join(claimOf('n1', 1))
  await waitFor(async () => (await one.cluster.lead('swarm')) === null, 'no role', 5)
  await t.rejects(
    one.store.update(() => [aService('web', 1)], fence),
    { code: 'MESH_STORE' },
  )
})
