/**
 * Services in a real etcd of three members: transactions, services, what others' hands do.
 */
import t from 'tap'
import { MeshError } from '../../src/errors.js'
import type { Service } from '../../src/model/service.js'
import { chooseVip, vipsOf } from '../../src/model/vips.js'
import { encode, put } from '../../src/store/etcd-wire.js'
import { view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { aService } from '../helpers/services.js'
import { waitFor } from '../helpers/wait.js'

const servers = await EtcdServers.start(t)

const open = (prefix: string, endpoints = servers.endpoints) => view(servers, { prefix, endpoints })

function publish(service: Service) {
  return (services: readonly Service[]): readonly Service[] => {
    const [port] = service.ports
    const holder = services.find(other => other.ports[0]?.published.first === port?.published.first)
    if (holder) throw new MeshError('MESH_PORT_TAKEN', `${holder.name} has it`)
    return [...services, service]
  }
}

t.test('an empty etcd is an empty mesh; what one node writes all get, sorted and whole', async t => {
  const one = open('/whole')
  const two = open('/whole', [...servers.endpoints].reverse())
  await waitFor(() => one.services.length > 0 && two.services.length > 0, 'first snapshots', 5)
  t.same([one.names(), two.names()], ['', ''])
  const full = aService('a', 53, {
    selector: { app: 'dns', 'mesh.container': 'ü/x' },
    endpoints: [{ address: '10.1.2.3', port: null }],
    scheduler: 'wlc',
    drain: 0.5,
  })
  t.same(await one.store.update(() => [aService('b', 1), full]), [full, aService('b', 1)])
  t.same(one.services.at(-1), [full, aService('b', 1)], 'the writer has it when its update is done')
  await waitFor(() => two.names() === 'a,b', 'the other node', 5)
  t.same(two.services.at(-1), [full, aService('b', 1)])
  t.same(await two.store.list(), [full, aService('b', 1)])
  await two.store.update(services => services.filter(({ name }) => name !== 'b'))
  await waitFor(() => one.names() === 'a', 'the removal', 5)
  t.equal(one.services.at(-1)![0], one.services.at(-2)![0], 'what did not change is the same object')
  t.same([...one.troubles, ...two.troubles].filter(Boolean), [])
})

t.test('of two nodes that publish one port at the same moment one wins, 100 times', async t => {
  const one = open('/race')
  const two = open('/race', [...servers.endpoints].reverse())
  let refused = 0
  for (let round = 0; round < 100; round++) {
    const results = await Promise.allSettled([
      one.store.update(publish(aService(`a${round}`, 1000 + round))),
      two.store.update(publish(aService(`b${round}`, 1000 + round))),
    ])
    for (const result of results)
      if (result.status === 'rejected' && result.reason.code === 'MESH_PORT_TAKEN') refused++
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1, `round ${round}`)
  }
  t.equal(refused, 100)
  t.equal((await one.store.list()).length, 100)
})

t.test('of nodes that give VIPs at the same moment each gives its own, 30 times', async t => {
  // So small a pool that most names meet.
  const pool = '10.9.0.0/25'
  const nodes = Array.from({ length: 4 }, () => open('/vips'))
  const give = (name: string) => (services: readonly Service[]) => [
    ...services,
    aService(name, 1000 + services.length, { vip: chooseVip(name, vipsOf(services), pool) }),
  ]
  for (let round = 0; round < 30; round++)
    await Promise.all(nodes.map(({ store }, i) => store.update(give(`s${round}-${i}`))))
  const services = await nodes[0]!.store.list()
  t.equal(services.length, 120)
  t.equal(vipsOf(services).size, 120, 'no VIP twice')
  const [first] = services
  await t.rejects(
    nodes[1]!.store.update(all => [...all, aService('thief', 9, { vip: first!.vip })]),
    { code: 'MESH_VIP_TAKEN', message: new RegExp(`service ${first!.name} has it`) },
    'whoever chose it',
  )
  await t.rejects(
    Promise.all(
      nodes
        .map(({ store }, i) => store.update(give(`more-${i}`)))
        .concat(nodes[0]!.store.update(give('last')), nodes[1]!.store.update(give('one-too-many'))),
    ),
    { code: 'MESH_VIP_TAKEN', message: /all 125 addresses of the VIP pool 10\.9\.0\.0\/25 are taken/ },
  )
  t.equal(vipsOf(await nodes[2]!.store.list()).size, 125)
})

t.test('updates of many nodes at once each see the ones before', async t => {
  const nodes = Array.from({ length: 8 }, () => open('/many'))
  await Promise.all(
    nodes.map((node, i) => node.store.update(services => [...services, aService(`s${i}`, 2000 + i)])),
  )
  t.equal((await nodes[0]!.store.list()).length, 8)
})

t.test('a change that refuses writes nothing, nor does one that breaks the rules', async t => {
  const { store, services: delivered } = open('/rules')
  await store.update(() => [aService('web', 80)])
  const count = delivered.length
  const refuse = () => {
    throw new Error('no')
  }
  await t.rejects(store.update(refuse), /no/)
  await t.rejects(
    store.update(all => [...all, aService('other', 80)]),
    { code: 'MESH_PORT_TAKEN' },
  )
  await t.rejects(
    store.update(all => [...all, aService('web', 81)]),
    { code: 'MESH_STORE' },
  )
  await t.rejects(
    store.update(all => [...all, aService('x', 99999)]),
    { code: 'MESH_STORE' },
  )
  t.same(await store.update(all => all), [aService('web', 80)])
  t.equal(delivered.length, count)
})

t.test('3,000 services go in and out in one transaction', async t => {
  const { store, names } = open('/large')
  const all = Array.from({ length: 3000 }, (_, i) => aService(`s${String(i).padStart(4, '0')}`, 1000 + i))
  await store.update(() => all)
  t.same(await store.list(), all)
  await waitFor(() => names()?.split(',').length === 3000, 'the snapshot', 5)
  await store.update(() => [])
  await waitFor(() => names() === '', 'the empty snapshot', 5)
})

t.test('two meshes in one etcd do not see one another, also if one prefix begins like the other', async t => {
  const one = open('/m')
  const two = open('/m2')
  const three = open('/m/inner/')
  await one.store.update(() => [aService('web', 80)])
  await two.store.update(() => [aService('other', 80)])
  await three.store.update(() => [aService('inner', 80)])
  t.same(await one.store.list(), [aService('web', 80)])
  t.same(await two.store.list(), [aService('other', 80)])
  t.equal(one.names(), 'web')
  t.equal(three.names(), 'inner')
})

t.test("a service that somebody's hand damaged stays as it was, and is told about", async t => {
  const { store, names, services: delivered, trouble } = open('/hand')
  await store.update(() => [aService('a', 1), aService('b', 2)])
  const client = servers.client()
  t.teardown(() => client.close())
  await client.transact([], [put('/hand/services/a', '{"name":"a"')])
  await waitFor(() => trouble(), 'the trouble', 5)
  t.match(trouble(), /\/hand\/services\/a is not understood/)
  t.equal(names(), 'a,b')
  await store.update(services => [...services, aService('c', 3)])
  t.equal(names(), 'a,b,c')
  await client.transact([], [put('/hand/services/a', JSON.stringify(aService('a', 9)))])
  await waitFor(() => trouble() === null, 'the end of the trouble', 5)
  t.same(delivered.at(-1)?.[0], aService('a', 9))
  await client.transact([], [{ request_delete_range: { key: encode('/hand/services/a') } }])
  await waitFor(() => names() === 'b,c', 'the removal by hand', 5)
})

t.test('services of a newer version are refused, and what is known stays', async t => {
  const { store, names, trouble } = open('/newer')
  await store.update(() => [aService('a', 1)])
  const client = servers.client()
  t.teardown(() => client.close())
  await client.transact([], [put('/newer/services', '{"version":2}')])
  await waitFor(() => trouble(), 'the trouble', 5)
  t.match(trouble(), /format 2, written by a newer meshd/)
  await t.rejects(
    store.update(() => []),
    { code: 'MESH_STORE' },
  )
  t.equal(names(), 'a')
})
