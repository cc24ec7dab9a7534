/**
 * What IPv6 has of its own: clients are refused at once where it is off, containers have
 * it though Docker turned it off, and the host is left as it was. What both families
 * have in common is in datapath.test.ts.
 */
import { networkInterfaces } from 'node:os'
import t from 'tap'
import type { NodeIpv6 } from '../../src/model/cluster.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import { formersOf } from '../../src/planner/rules.js'
import { ipv6 } from '../../src/planner/stack.js'
import { pool6, vipPool, vipPool6 } from '../helpers/families.js'
import { meshCluster, nodeOf, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, Topology } from '../helpers/topology.js'
import { webNode } from '../helpers/web-node.js'

const { host, loopback } = addresses.inet6
const formers = [
  { name: 'net.ipv6.conf.all.forwarding', value: '0' },
  { name: 'net.ipv6.conf.up0.accept_ra', value: '1' },
]

t.test('without IPv6 its clients are refused at once', async t => {
  const { topology, mesh, web } = await webNode(t, 'web', new Topology(null, true))
  await mesh.pass()
  t.equal((await topology.ask(topology.client, addresses.inet.host, 8888)).name, 'web')
  t.equal(await topology.refusal(topology.client, host, 8888), 'ECONNREFUSED')
  t.equal(await topology.refusal(topology.host, loopback, 8888), 'ECONNREFUSED')
  t.equal(mesh.run('host', 'ip6tables-save').includes('MESH'), false)
  t.notMatch(mesh.run(web, 'ip -6 addr show dev mesh0'), /global/)
})

t.test('with IPv6', async t => {
  const topology = new Topology(null, true)
  const mesh = await MeshNode.create(topology, undefined, { ipv6: { pool: pool6, formers } })
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client } = topology
  const plain = topology.addContainer('plain', { labels: { app: 'plain' }, attach: 'none' })
  topology.sysctl(topology.pathOf(plain), 'net.ipv6.conf.all.disable_ipv6', '1')
  topology.sysctl(topology.pathOf(plain), 'net.ipv6.conf.default.disable_ipv6', '1')
  await topology.serveTcp(plain, 80, 'plain')
  await topology.serveTcp(plain, 81, 'four', '0.0.0.0')
  mesh.containers = [plain]
  mesh.services = [service('plain', ['8888:80', '8889:81'])]
  await mesh.pass()

  t.test('a container in which Docker turned IPv6 off is an endpoint like any other', async t => {
    t.match(await topology.ask(client, host, 8888), { name: 'plain', address: addresses.inet6.client })
    t.match(await topology.ask(client, addresses.inet.host, 8888), { name: 'plain' })
    t.equal(mesh.run(plain, 'sysctl -n net.ipv6.conf.lo.disable_ipv6').trim(), '1')
  })

  t.test('a process that listens on IPv4 alone refuses clients of IPv6 at once', async t => {
    t.equal((await topology.ask(client, addresses.inet.host, 8889)).name, 'four')
    t.equal(await topology.refusal(client, host, 8889), 'ECONNREFUSED')
    t.equal(await topology.refusal(topology.host, loopback, 8889), 'ECONNREFUSED')
  })

  t.test('a client that has an address on its own link only is refused at once', async t => {
    const links = runInNamespace(topology.host, () => networkInterfaces())
    const own = links.up0?.find(({ address }) => address.startsWith('fe80:'))?.address
    const url = `http://[${own}%25wire]:8888/`
    t.throws(() => topology.run(client, 'curl', '-sS', '-m', '5', url), /curl: \(7\)/, 'could not connect')
  })

  t.test('the host goes on to listen to its routers, and is left as it was', async t => {
    const value = (name: string) => mesh.run('host', `sysctl -n ${name}`).trim()
    t.equal(value('net.ipv6.conf.up0.accept_ra'), '2')
    t.equal(value('net.ipv6.conf.all.forwarding'), '1')
    const { objects } = await mesh.kernel.observe(mesh.places())
    t.strictSame(formersOf(objects), formers)
    t.strictSame(MeshNode.text(await mesh.pass()), [])
  })

  t.test('IPv6 that is turned off leaves nothing behind, and IPv4 untouched', async t => {
    const open = await topology.connect(client, addresses.inet.host, 8888)
    const four = await MeshNode.create(topology)
    four.containers = mesh.containers
    four.services = mesh.services
    await four.pass()
    t.strictSame(MeshNode.text(await four.pass()), [])
    t.equal(await open.say('still here'), 'still here')
    t.equal(await topology.refusal(client, host, 8888), 'ECONNREFUSED')
    for (const place of ['host', 'mesh', plain] as const)
      t.notMatch(mesh.run(place, 'ip -6 addr') + mesh.run(place, 'ip -6 rule'), /fd4d|fe80::1\/|109$/m)
    t.notMatch(mesh.run('host', 'ip6tables-save') + mesh.run('host', 'ipset list -n'), /MESH|mesh-.*6$/m)
  })
})

t.test('an endpoint on a node that has no IPv6, or has it elsewhere', async t => {
  const six = { ipv6: { pool: pool6, formers: [] }, vipPool, vipPool6 }
  const cluster = await meshCluster(2, {}, () => {}, [], six)
  t.teardown(() => cluster.destroy())
  const [one, two] = cluster.meshes
  const [here, there] = cluster.topologies
  const [own, other] = cluster.records
  const caller = here.addContainer('caller', { labels: { 'mesh.attach': 'true' } })
  const path = here.pathOf(caller)
  const web = there.addContainer('web', { labels: { app: 'web' } })
  await there.serveTcp(web, 80, 'web')
  const vip = '10.253.0.5'
  const services = [
    service('web', ['8888:80'], { vip }),
    service('each', ['1234:80'], { endpointMode: 'dnsrr', selector: { app: 'web' } }),
  ]
  two.containers = [web]
  two.services = services
  await two.pass()
  const remote = told(two, web)
  one.containers = [caller]
  one.services = services
  one.remote = [remote]
  const doors = [
    [here.client, here.addressIn('inet6'), 8888],
    [here.host, addresses.inet6.loopback, 8888],
    [path, ipv6(vipPool, vipPool6).address(vip), 80],
    [path, ipv6('10.254.0.0/16', pool6).address(remote.address), 80],
  ] as const
  const tellOfIt = async (its: NodeIpv6 | null) => {
    one.node = nodeOf(own, [own, { ...other, ipv6: its }])
    await one.pass('fast')
  }

  for (const its of [null, { pool: 'fd4d:6573:99::/96', vipPool: null }])
    t.test(`serves clients of IPv4, and refuses those of IPv6 at once: ${its?.pool ?? 'off'}`, async t => {
      await tellOfIt(its)
      t.equal((await here.ask(here.client, here.address, 8888)).name, 'web')
      t.equal((await here.ask(path, vip, 80)).name, 'web')
      for (const [from, address, port] of doors) {
        const started = Date.now()
        t.equal(await here.refusal(from, address, port), 'ECONNREFUSED', address)
        t.ok(Date.now() - started < 1000, 'before a first packet is sent again')
      }
      t.notMatch(one.run('mesh', 'ip -6 route show table all'), /fd4d.*mesh-vxlan/)
    })

  t.test('serves those of IPv6 as soon as it has it where they look for it', async t => {
    await tellOfIt({ pool: pool6, vipPool: vipPool6 })
    for (const [from, address, port] of doors)
      t.equal((await here.ask(from, address, port)).name, 'web', address)
    t.strictSame(MeshNode.text(await one.pass()), [])
  })
})
