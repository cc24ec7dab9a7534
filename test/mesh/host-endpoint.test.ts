/**
 * A process of one node as an endpoint of the whole mesh, given by the node's address.
 */
import t from 'tap'
import type { HostNode } from '../../src/model/cluster.js'
import { nodeAddress } from '../../src/planner/addresses.js'
import { families } from '../helpers/families.js'
import { meshCluster } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses } from '../helpers/topology.js'

t.test('a process of one of three nodes', async t => {
  const [, both] = families
  const cluster = await meshCluster(3, {}, () => {}, [], both!.settings)
  t.teardown(() => cluster.destroy())
  const { topologies, records, meshes } = cluster
  const [first, second] = topologies
  const [, two] = meshes
  await first.serveTcp(first.host, 9000, 'process')
  await first.serveUdp(first.host, 9000, 'process')
  const hosts = (state: HostNode['state']): HostNode[] =>
    records.map(({ name, address, subnet }, i) => ({
      name,
      address,
      meshAddress: nodeAddress(subnet),
      state: i === 0 ? state : 'ready',
    }))
  const endpoints = [{ address: records[0]!.address, port: 9000 }]
  for (const mesh of meshes) {
    mesh.services = [service('web', ['8888:80', '5353:53/udp'], { selector: null, endpoints })]
    mesh.hosts = hosts('ready')
    await mesh.pass()
  }

  for (const { name: title, family, isSix } of families) {
    const doors = topologies.map(topology => topology.addressIn(family))
    const { client: clientAddress, loopback } = addresses[family]

    t.test(`is reached through each, and sees the client itself, ${title}`, async t => {
      for (const door of doors) {
        const answer = await first.ask(first.client, door, 8888)
        t.match(answer, { name: 'process', address: clientAddress }, door)
      }
    })

    t.test(`answers datagrams through each, ${title}`, async t => {
      for (const [i, door] of doors.entries()) {
        const udp = await first.udpClient(first.client, 43_000 + i + (isSix ? 10 : 0), family)
        t.match(await udp.ask(door, 5353), { name: 'process' }, door)
      }
    })

    t.test(`is reached by the nodes and their containers, ${title}`, async t => {
      for (const topology of [first, second])
        t.equal((await topology.ask(topology.host, loopback, 8888)).name, 'process')
      const caller = second.addContainer('caller')
      t.equal((await second.ask(second.pathOf(caller), second.addressIn(family), 8888)).name, 'process')
    })

    t.test(`leaves with its node, and keeps what it has while the node drains, ${title}`, async t => {
      const door = second.addressIn(family)
      const open = await first.connect(first.client, door, 8888)
      two.hosts = hosts('leaving')
      await two.pass('fast')
      t.equal(await first.refusal(first.client, door, 8888), 'ECONNREFUSED')
      t.equal(await open.say('still'), 'still')
      open.close()
      two.hosts = hosts(null)
      await two.pass('fast')
      t.equal(await first.refusal(first.client, door, 8888), 'ECONNREFUSED')
      two.hosts = hosts('ready')
      await two.pass('fast')
      t.equal((await first.ask(first.client, door, 8888)).name, 'process')
    })
  }

  t.test('leaves nothing to repair', async t => {
    for (const mesh of meshes) t.strictSame(MeshNode.text(await mesh.pass()), [])
  })
})
