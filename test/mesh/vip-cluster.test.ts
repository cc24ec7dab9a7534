import t from 'tap'
import type { Container } from '../../src/model/container.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { nodeAddress } from '../../src/planner/addresses.js'
import { meshCluster, told } from '../helpers/mesh-cluster.js'
import { MeshNode, service } from '../helpers/mesh-node.js'
import type { Topology } from '../helpers/topology.js'

const vip = '10.253.0.5'
const processVip = '10.253.0.6'

t.test('a VIP on two nodes', async t => {
  const cluster = await meshCluster(2, {}, () => {}, [], { vipPool: '10.253.0.0/16' })
  t.teardown(() => cluster.destroy())
  const [here, there] = cluster.topologies as [Topology, Topology]
  const [one, two] = cluster.meshes as [MeshNode, MeshNode]
  const web = there.addContainer('web', { labels: { app: 'web' } })
  await there.serveTcp(web, 80, 'web')
  await there.serveUdp(web, 53, 'web')
  await there.serveTcp(there.host, 9000, 'process')
  await there.serveUdp(there.host, 9000, 'process')
  const attached = here.addContainer('attached', { labels: { 'mesh.attach': 'true' } })
  const lonely = here.addContainer('lonely', { labels: { 'mesh.attach': 'true' }, attach: 'none' })
  const plain = here.addContainer('plain')
  const vipPorts = ['80', '8080:80', '53/udp'].map(text => parseVipPort(text))
  const endpoints = [{ address: there.address, port: 9000 }]
  const hosts = cluster.records.map(({ name, address, subnet }) => ({
    name,
    address,
    meshAddress: nodeAddress(subnet),
    state: 'ready' as const,
  }))
  one.containers = [attached, lonely, plain]
  two.containers = [web]
  for (const mesh of cluster.meshes) {
    mesh.hosts = hosts
    mesh.services = [
      service('web', [], { vip, vipPorts }),
      service('process', [], { vip: processVip, vipPorts, endpoints, selector: null }),
    ]
  }
  await two.pass()
  one.remote = [told(two, web)]
  await one.pass()
  const addressOf = (container: Container) => one.reconciler.addressOf(container.id)!

  const callers: [string, string, string][] = [
    ['an attached container', here.pathOf(attached), addressOf(attached)],
    ['one without a network', here.pathOf(lonely), addressOf(lonely)],
    ['a container on a bridge, as other nodes may have it too', here.pathOf(plain), '10.254.0.1'],
    ['the node', here.host, '10.254.0.2'],
  ]

  t.test('leads callers of one to an endpoint on the other', async t => {
    for (const [who, path, address] of callers)
      for (const port of [80, 8080]) t.match(await here.ask(path, vip, port), { name: 'web', address }, who)
  })

  t.test('and to a process of the other', async t => {
    for (const [who, path, address] of callers)
      t.match(await here.ask(path, processVip, 80), { name: 'process', address }, who)
  })

  t.test('datagrams are answered, too', async t => {
    for (const [i, [who, path]] of callers.entries()) {
      const udp = await here.udpClient(path, 44_000 + i)
      t.match(await udp.ask(vip, 53), { name: 'web' }, who)
      const other = await here.udpClient(path, 45_000 + i)
      t.match(await other.ask(processVip, 53), { name: 'process' }, who)
    }
  })

  t.test('an endpoint that comes to the caller’s own node takes its share', async t => {
    const own = here.addContainer('own', { labels: { app: 'web' } })
    await here.serveTcp(own, 80, 'own')
    one.containers = [attached, lonely, plain, own]
    await one.pass('fast')
    for (const [who, path] of callers) {
      const names = [await here.ask(path, vip, 80), await here.ask(path, vip, 80)].map(({ name }) => name)
      t.strictSame(names.sort(), ['own', 'web'], who)
    }
    const itself = [await here.ask(here.pathOf(own), vip, 80), await here.ask(here.pathOf(own), vip, 80)]
    t.strictSame(itself.map(({ name }) => name).sort(), ['own', 'web'])
  })

  t.test('leaves nothing to repair', async t => {
    for (const mesh of cluster.meshes) t.strictSame(MeshNode.text(await mesh.pass()), [])
  })
})
