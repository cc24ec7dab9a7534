/**
 * Links between nodes that carry less than those of clients and containers. A transfer
 * that only works for small packets stalls: a part of a second is enough for 10 MB here,
 * and one that is not over in `patience` never will be.
 */
import dgram from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { familyOf } from '../../src/kernel/objects.js'
import { openSocket } from '../../src/netlink/addon.js'
import { families } from '../helpers/families.js'
import { type MeshCluster, meshCluster, told } from '../helpers/mesh-cluster.js'
import { service } from '../helpers/services.js'
import { addresses, clientAddress, type Topology } from '../helpers/topology.js'

/** Bytes on the links of all three nodes; of IPv6 the tunnel takes 70. */
const underlay = 1400
const amount = 10_000_000
const patience = 60

/** Makes the link of a host narrow, and takes from its cable what wires of the real world never had: giant frames. */
function narrow(topology: Topology): void {
  topology.run(topology.host, 'ip', 'link', 'set', 'up0', 'mtu', String(underlay), 'gso_max_segs', '1')
  const port = `port${topology.address.split('.')[3]}`
  topology.run(topology.client, 'ip', 'link', 'set', port, 'gso_max_segs', '1')
}

/** How many fragments the router made: `FragCreates`, the last of the figures of IP. */
function fragmentsOf({ client, run }: Topology): number {
  const [, figures = ''] = run(client, 'cat', '/proc/thread-self/net/snmp').match(/^Ip: (\d.*)$/m) ?? []
  return Number(figures.split(' ').at(-1))
}

/** Sends `amount` bytes and has them sent back. */
async function transfer(topology: Topology, from: string, address: string, port: number): Promise<number> {
  const { socket } = await topology.connect(from, address, port)
  socket.setEncoding()
  let received = 0
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`${received} of ${amount} bytes came back in ${patience} s`))
    const timer = setTimeout(late, patience * 1000)
    socket.on('error', reject)
    socket.on('data', text => {
      received += text.length
      if (received < amount) return
      clearTimeout(timer)
      socket.destroy()
      resolve(received)
    })
    socket.write(Buffer.alloc(amount, 'x'))
  })
}

/** Has a datagram of `size` bytes sent back; the first of them are lost while the size of the path is found. */
async function echo(from: string, address: string, port: number, size: number): Promise<number> {
  const four = familyOf(address) === 'inet'
  const socket = dgram.createSocket(four ? 'udp4' : 'udp6')
  const fd = openSocket('udp', four ? '0.0.0.0' : '::', 0, from)
  await new Promise<void>(resolve => socket.bind({ fd }, resolve))
  const answer = new Promise<number>(resolve => socket.once('message', data => resolve(data.length)))
  const tries = async () => {
    for (let i = 0; i < patience * 10; i++) {
      socket.send(Buffer.alloc(size, 'x'), port, address)
      if ((await Promise.race([answer, sleep(100)])) !== undefined) break
    }
    return 0
  }
  return Promise.race([answer, tries()]).finally(() => socket.close())
}

async function serveEcho(path: string, port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket('udp6')
  socket.on('message', (data, from) => socket.send(data, from.port, from.address))
  const fd = openSocket('udp', '::', port, path)
  await new Promise<void>(resolve => socket.bind({ fd }, resolve))
  return socket
}

/** A container `web` on the second of the nodes, published to be reached through each. */
async function publishOnSecond({ topologies, meshes }: MeshCluster): Promise<dgram.Socket> {
  const [, topology] = topologies
  const [, mesh] = meshes
  const web = topology.addContainer('web', { labels: { app: 'web' } })
  await topology.serveTcp(web, 80, 'web')
  const udp = await serveEcho(topology.pathOf(web), 53)
  for (const each of meshes) each.services = [service('web', ['8888:80', '5353:53/udp'])]
  mesh.containers = [web]
  await mesh.pass()
  for (const other of meshes) {
    if (other === mesh) continue
    other.remote = [told(mesh, web)]
    await other.pass()
  }
  return udp
}

const [, both] = families

t.test('an underlay of 1,400 bytes', async t => {
  const cluster = await meshCluster(3, { mtu: underlay - 70 }, narrow, [], both!.settings)
  t.teardown(() => cluster.destroy())
  const udp = await publishOnSecond(cluster)
  t.teardown(() => udp.close())
  const [first] = cluster.topologies
  const caller = first.addContainer('caller')

  for (const { name, family } of families) {
    const [entry, own] = cluster.topologies.map(each => each.addressIn(family)) as [string, string]
    const { loopback } = addresses[family]

    t.test(`10 MB go up and down through another node, ${name}`, async t => {
      t.equal(await transfer(first, first.client, entry, 8888), amount)
    })

    t.test(`10 MB go up and down through the node of the container, ${name}`, async t => {
      t.equal(await transfer(first, first.client, own, 8888), amount)
    })

    t.test(`10 MB go up and down from a node and from a container, ${name}`, async t => {
      t.equal(await transfer(first, first.host, loopback, 8888), amount)
      t.equal(await transfer(first, first.pathOf(caller), entry, 8888), amount)
    })

    t.test(`datagrams larger than the tunnel carries find their size, ${name}`, async t => {
      t.equal(await echo(first.client, entry, 5353, 1350), 1350, 'through another node')
      t.equal(await echo(first.client, own, 5353, 1350), 1350, 'through the node of the container')
    })
  }
})

t.test('a router between nodes that carries less than their links', async t => {
  const narrowest = 1300
  for (const [mtu, fragments] of [
    [1450, 'in fragments'],
    [narrowest - 50, 'whole'],
  ] as const)
    t.test(`a tunnel of ${mtu} bytes gets through ${fragments}`, async t => {
      const cluster = await meshCluster(2, { mtu }, topology => {
        const { host, client, run } = topology
        const other = topology.address.endsWith('.1') ? '192.168.77.2' : '192.168.77.1'
        run(host, 'ip', 'link', 'set', 'up0', 'gso_max_segs', '1')
        run(host, 'ip', 'route', 'add', other, 'via', clientAddress)
        run(client, 'ip', 'route', 'add', other, 'dev', 'wire', 'mtu', 'lock', String(narrowest))
        topology.sysctl(client, 'net.ipv4.ip_forward', '1')
        for (const link of ['all', 'wire'])
          topology.sysctl(client, `net.ipv4.conf.${link}.send_redirects`, '0')
      })
      t.teardown(() => cluster.destroy())
      const udp = await publishOnSecond(cluster)
      t.teardown(() => udp.close())
      const [first] = cluster.topologies
      const before = fragmentsOf(first)
      t.equal(await transfer(first, first.host, '127.0.0.1', 8888), amount)
      t.equal(fragmentsOf(first) > before, fragments === 'in fragments')
    })
})
