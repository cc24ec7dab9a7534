/**
 * Hosts with policies of their own: rules that send packets elsewhere by source, by mark or
 * whatever they are, as VPNs and several uplinks have them; firewalls that let nothing out
 * which they do not know; links that do not forward unless told to.
 */
import t from 'tap'
import { createNamespace } from '../../src/netlink/addon.js'
import { families, vipPool } from '../helpers/families.js'
import { meshCluster, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, type Topology } from '../helpers/topology.js'

const vip = '10.253.0.5'

/** Rules of others, each with a table that leads all to where nobody is. */
function divert(topology: Topology, ip: string, away: string, own: string, containers: string): void {
  const run = (command: string) => topology.run(topology.host, ...(command.split(' ') as [string]))
  for (const network of [own, containers]) {
    const link = network === own ? 'up0' : 'docker0'
    run(`${ip} route add ${network} dev ${link} table 100`)
  }
  run(`${ip} route add default via ${away} dev up0 table 100`)
  run(`${ip} rule add priority 100 from ${own} lookup 100`)
  run(`${ip} rule add priority 101 from ${containers} lookup 100`)
  run(`${ip} rule add priority 102 fwmark 0x4000 lookup 100`)
  run(`${ip} rule add priority 5270 lookup 100`)
}

function around(topology: Topology): void {
  const run = (command: string) => topology.run(topology.host, ...(command.split(' ') as [string]))
  divert(topology, 'ip', '192.168.77.253', '192.168.77.0/24', '172.17.0.0/16')
  divert(topology, 'ip -6', 'fd77::253', 'fd77::/64', 'fd17::/64')
  for (const program of ['iptables', 'ip6tables']) {
    for (const hook of ['PREROUTING', 'OUTPUT'])
      run(`${program} -t mangle -A ${hook} -p udp -j MARK --set-mark 0x4000`)
    run(`${program} -P OUTPUT DROP`)
    run(`${program} -A OUTPUT -o lo -j ACCEPT`)
    run(`${program} -A OUTPUT -o mesh0 -j ACCEPT`)
    run(`${program} -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`)
  }
  run('ip6tables -A OUTPUT -p icmpv6 -j ACCEPT')
  // A new namespace takes over what the machine has.
  createNamespace(topology.sandboxPath)
  topology.run(topology.sandboxPath, 'ip', 'link', 'set', 'lo', 'up')
  topology.sysctl(topology.sandboxPath, 'net.ipv4.ip_forward', '1')
  for (const path of [topology.host, topology.sandboxPath])
    topology.sysctl(path, 'net.ipv4.conf.default.forwarding', '0')
}

t.test('two nodes with policies of their own', async t => {
  const { settings } = families[1]!
  const cluster = await meshCluster(2, {}, around, [], { ...settings, vipPool })
  t.teardown(() => cluster.destroy())
  const [first, second] = cluster.topologies
  const [one, two] = cluster.meshes
  const web = second.addContainer('web', { labels: { app: 'web' } })
  await second.serveTcp(web, 80, 'web')
  await second.serveUdp(web, 53, 'web')
  const caller = first.addContainer('caller')
  two.containers = [web]
  for (const mesh of [one, two]) mesh.services = [service('web', ['8888:80', '5353:53/udp'], { vip })]
  await two.pass()
  one.remote = [told(two, web)]
  await one.pass()

  for (const { name, family, vips } of families) {
    const { client, loopback, bridge } = addresses[family]
    const door = first.addressIn(family)

    t.test(`a client is served by the other node, ${name}`, async t => {
      t.match(await first.ask(first.client, door, 8888), { name: 'web', address: client })
      const udp = await first.udpClient(first.client, 0, family)
      t.match(await udp.ask(door, 5353), { name: 'web', address: client })
    })

    t.test(`the node itself is served, ${name}`, async t => {
      for (const address of [door, loopback])
        t.equal((await first.ask(first.host, address, 8888)).name, 'web', address)
      t.equal((await first.ask(first.host, vips.address(vip), 80)).name, 'web')
    })

    t.test(`a container of the node is served, ${name}`, async t => {
      t.equal((await first.ask(first.pathOf(caller), bridge, 8888)).name, 'web')
      t.equal((await first.ask(first.pathOf(caller), vips.address(vip), 80)).name, 'web')
    })
  }

  t.test('there is nothing to repair but what somebody takes away', async t => {
    t.strictSame(MeshNode.text(await one.pass()), [])
    one.run('host', 'ip rule del priority 90 to 10.253.0.0/16')
    first.sysctl(first.host, 'net.ipv4.conf.mesh0.forwarding', '0')
    t.strictSame(MeshNode.text(await one.pass()), [
      'ip rule add from 0.0.0.0/0 to 10.253.0.0/16 lookup 254 priority 90',
      'sysctl -w net.ipv4.conf.mesh0.forwarding=1',
    ])
  })
})
