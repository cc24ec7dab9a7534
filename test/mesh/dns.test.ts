/**
 * The resolver in the sandbox, asked from everywhere.
 */
import net from 'node:net'
import t from 'tap'
import { Resolver } from '../../src/dns/resolver.js'
import { framed, Unframer } from '../../src/dns/stream.js'
import { createNaming } from '../../src/dns/zone-of.js'
import type { Container } from '../../src/model/container.js'
import { openSocket } from '../../src/netlink/addon.js'
import { always, DnsClient, decode, OtherResolver, query, shown } from '../helpers/dns.js'
import { families, pool6, vipPool, vipPool6 } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { Topology } from '../helpers/topology.js'
import { waitFor } from '../helpers/wait.js'

const resolverAddress = '10.253.0.1'
const [, six] = families
const resolver6 = six!.vips.address(resolverAddress)

t.test('names of services', async t => {
  const topology = new Topology(null, true)
  const mesh = await MeshNode.create(topology, driver => driver, { ...six!.settings, vipPool })
  const other = await OtherResolver.open(always('9.9.9.9'))
  const troubles: (string | null)[] = []
  const resolver = new Resolver({
    zone: {
      domain: 'mesh',
      ttl: 5,
      resolver: [resolverAddress, resolver6],
      pools: ['10.254.0.0/16', vipPool, pool6, vipPool6],
    },
    port: 53,
    namespace: topology.sandboxPath,
    upstreams: [{ address: '127.0.0.1', port: other.port }],
    forwarding: { limit: 100, patience: 10_000 },
    onTrouble: message => troubles.push(message),
  })
  const clients = new Map<string, Promise<DnsClient>>()
  t.teardown(async () => {
    await resolver.stop()
    for (const client of clients.values()) (await client).close()
    other.close()
    await mesh.clean()
    await topology.destroy()
  })
  const labels = { app: 'web' }
  const one = topology.addContainer('one', { labels })
  const alone = topology.addContainer('alone', { labels, attach: 'none' })
  const member = topology.addContainer('member', { labels: { 'mesh.scope': 'team-a' } })
  const db = topology.addContainer('db', { labels: { app: 'db' } })
  await topology.serveTcp(db, 5432, 'db')
  const dbVip = '10.253.7.2'
  const everything = [one, alone, member, db]
  mesh.containers = everything
  mesh.services = [
    service('web', ['8888:80'], { vip: '10.253.7.1' }),
    service('db', ['5432:5432'], { vip: dbVip, scopes: ['team-a'] }),
  ]

  const naming = createNaming()
  const isVip = (address: string) => address.startsWith('10.253.')
  const tell = () => {
    const { services, callers } = naming(mesh.reconciler.mesh.services, mesh.containers, {
      ofEndpoint: ({ attachment }) => (attachment === null ? null : mesh.reconciler.addressOf(attachment)),
      ofContainer: id => mesh.reconciler.addressOf(id),
      withTwin: address =>
        address.startsWith('10.')
          ? [address, (isVip(address) ? six!.vips : six!.stack).address(address)]
          : [address],
    })
    resolver.update(services, callers)
  }
  let id = 1
  const ask = async (from: Container | string, name: string, type = 'A', to = resolverAddress) => {
    const path = typeof from === 'string' ? from : topology.pathOf(from)
    const [any, family] = to === resolver6 ? (['::', 'udp6'] as const) : (['0.0.0.0', 'udp4'] as const)
    const key = `${path} ${family}`
    const opened = clients.get(key) ?? DnsClient.open(openSocket('udp', any, 0, path), family)
    clients.set(key, opened)
    const asked = query(name, type, { id: id++ })
    const { rcode, answers } = await (await opened).decoded(53, asked, to, 10)
    return `${rcode} ${shown(answers).sort().join(', ')}`.trim()
  }

  t.test('begins as soon as the sandbox has its address', async t => {
    resolver.start()
    await mesh.pass()
    tell()
    await waitFor(() => resolver.served.length === 2, 'the resolver', 30)
    t.strictSame(troubles, [])
  })

  t.test('answers containers on any network, or none, and the node', async t => {
    for (const from of [one, alone, member, topology.host])
      t.equal(await ask(from, 'web.mesh'), 'NOERROR web.mesh A 10.253.7.1')
    const endpoints = [one, alone].map(({ id }) => `tasks.web.mesh A ${mesh.reconciler.addressOf(id)}`).sort()
    t.equal(await ask(member, 'tasks.web.mesh'), `NOERROR ${endpoints.join(', ')}`)
    t.equal(await ask(one, '1.7.253.10.in-addr.arpa', 'PTR'), 'NOERROR 1.7.253.10.in-addr.arpa PTR web.mesh')
  })

  t.test('tells of a scoped service only who shares the scope', async t => {
    t.equal(await ask(member, 'db.mesh'), 'NOERROR db.mesh A 10.253.7.2')
    t.equal(await ask(db, 'db.mesh'), 'NOERROR db.mesh A 10.253.7.2', 'its endpoints, too')
    for (const from of [one, alone, topology.host]) t.equal(await ask(from, 'db.mesh'), 'NXDOMAIN')
  })

  t.test('all the same in IPv6, where a scope is kept to as well', async t => {
    const vip6 = six!.vips.address(dbVip)
    for (const from of [member, db]) {
      t.equal(await ask(from, 'db.mesh', 'AAAA', resolver6), `NOERROR db.mesh AAAA ${vip6}`)
      t.equal(await topology.refusal(topology.pathOf(from), vip6, 5432), 'db')
    }
    for (const from of [one, alone]) {
      t.match(await ask(from, 'web.mesh', 'AAAA', resolver6), /^NOERROR web\.mesh AAAA fd4d:/)
      t.equal(await ask(from, 'db.mesh', 'AAAA', resolver6), 'NXDOMAIN')
      t.equal(await topology.refusal(topology.pathOf(from), vip6, 5432), 'ECONNREFUSED')
    }
  })

  t.test('asks others from the node for everything else', async t => {
    t.equal(
      await ask(alone, 'example.com'),
      'NOERROR example.com A 9.9.9.9',
      'a container without any network',
    )
  })

  t.test('answers over TCP', async t => {
    const socket = new net.Socket({ fd: openSocket('tcp', null, 0, topology.pathOf(member)) })
    t.teardown(() => socket.destroy())
    const messages: Buffer[] = []
    const unframer = new Unframer()
    socket.on('data', data => messages.push(...unframer.put(data)))
    socket.connect(53, resolverAddress, () => socket.write(framed(query('web.mesh'))))
    await waitFor(() => messages.length === 1, 'the answer', 30)
    t.strictSame(shown(decode(messages[0]!).answers), ['web.mesh A 10.253.7.1'])
  })

  t.test('goes on in a sandbox that was made anew', async t => {
    topology.run(topology.host, 'ip', 'netns', 'del', topology.sandboxPath.replace('/run/netns/', ''))
    await mesh.pass()
    resolver.look()
    t.equal(await waitFor(() => ask(member, 'web.mesh'), 'an answer', 60), 'NOERROR web.mesh A 10.253.7.1')
  })
})
