/**
 * A new network namespace takes its parameters of IPv4 over from the machine's first one. Where
 * that is strict, so is what the mesh finds in its sandbox before it sets anything there.
 */
import t from 'tap'
import { createNamespace } from '../../src/netlink/addon.js'
import { vipPool } from '../helpers/families.js'
import { meshCluster, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { clientAddress, type Topology } from '../helpers/topology.js'

/** As machines have them that check sources by the route back, or stand in for addresses of others (LVS). */
const strict = ['rp_filter=1', 'arp_ignore=1', 'arp_announce=2', 'arp_filter=1']

function makeStrict(topology: Topology, path: string): void {
  for (const scope of ['all', 'default'])
    for (const setting of strict) {
      const [name = '', value = ''] = setting.split('=')
      topology.sysctl(path, `net.ipv4.conf.${scope}.${name}`, value)
    }
}

t.test('two nodes on strict machines', async t => {
  const around = (topology: Topology) => {
    makeStrict(topology, topology.host)
    createNamespace(topology.sandboxPath)
    makeStrict(topology, topology.sandboxPath)
  }
  const cluster = await meshCluster(2, {}, around, [], { vipPool })
  t.teardown(() => cluster.destroy())
  const [first, second] = cluster.topologies
  const [one, two] = cluster.meshes

  const web = second.addContainer('web', { labels: { app: 'web' } })
  makeStrict(second, second.pathOf(web))
  await second.serveTcp(web, 80, 'web')
  await second.serveUdp(web, 53, 'web')
  two.containers = [web]
  const vip = '10.253.0.5'
  for (const mesh of [one, two]) mesh.services = [service('web', ['8888:80', '5353:53/udp'], { vip })]
  const caller = first.addContainer('caller', { labels: { 'mesh.attach': 'true' }, attach: 'none' })
  makeStrict(first, first.pathOf(caller))
  one.containers = [caller]
  await two.pass()
  one.remote = [told(two, web)]
  await one.pass()

  t.test('a container asks for the way before anything has come to it', async t => {
    t.equal((await first.ask(first.pathOf(caller), vip, 80)).name, 'web')
  })

  for (const [name, { address }] of Object.entries({ 'the other node': first, 'its own node': second }))
    t.test(`an endpoint answers through ${name}`, async t => {
      t.match(await first.ask(first.client, address, 8888), { name: 'web', address: clientAddress })
      const udp = await first.udpClient(first.client)
      t.match(await udp.ask(address, 5353), { name: 'web', address: clientAddress })
    })

  t.test('a parameter that somebody makes strict again is put right', async t => {
    const name = 'net.ipv4.conf.mesh-vxlan.rp_filter'
    second.sysctl(second.sandboxPath, name, '1')
    t.strictSame(MeshNode.text(await two.pass()), [`sysctl -w ${name}=0`])
  })
})
