import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import {
  addAddress,
  addRoute,
  addRule,
  addVeth,
  deleteAddress,
  deleteLink,
  deleteRoute,
  deleteRule,
  getLink,
  getNamespaceId,
  type LinkReading,
  listAddresses,
  listLinks,
  listRoutes,
  listRules,
  replaceRoute,
  setLink,
} from '../../src/netlink/route.js'
import { connect, freshNamespace, runIn } from '../helpers/namespaces.js'

const names = (outcomes: readonly ({ errnoName: string } | null)[]) =>
  outcomes.map(error => error?.errnoName ?? null)

t.test('a veth pair spans two namespaces, and carries packets', async t => {
  const here = freshNamespace(t)
  const there = freshNamespace(t)
  const near = connect(t, 'route', here)
  const far = connect(t, 'route', there)
  const descriptor = openSync(there, 'r')
  t.teardown(() => closeSync(descriptor))
  const veth = { name: 'near', peerName: 'far', peerNamespace: descriptor, mtu: 1400 }
  t.same(names(await near.request([addVeth(veth), addVeth(veth)])), [null, 'EEXIST'])
  const [one] = (await near.get(getLink('near'))) as [LinkReading]
  const [two] = (await far.get(getLink('far'))) as [LinkReading]
  t.match(one, { kind: 'veth', mtu: 1400, up: true, peerIndex: two.index })
  t.match(two, { kind: 'veth', mtu: 1400, up: false, peerIndex: one.index })
  t.same(await near.get(getNamespaceId(descriptor)), [one.peerNamespaceId])
  await near.request([addAddress({ linkIndex: one.index, address: '10.9.0.1/24' })])
  await far.request([
    setLink('far', { up: true }),
    addAddress({ linkIndex: two.index, address: '10.9.0.2/24' }),
  ])
  t.match(runIn(here, ['ip', 'route', 'get', '10.9.0.2']), /dev near/)
  const ping = `timeout 5 bash -c 'echo >/dev/udp/10.9.0.2/9' && ip neigh show 10.9.0.2`
  t.match(runIn(here, ['sh', '-c', `${ping}; sleep 0.2; ip neigh show 10.9.0.2`]), /REACHABLE|DELAY|STALE/)
  t.match(runIn(here, ['ip', '-d', 'link', 'show', 'near']), /mtu 1400 .*state UP/s)

  t.same(names(await far.request([deleteLink(two.index)])), [null])
  t.same(names(await near.request([deleteLink('near')])), ['ENODEV'], 'the other end went with it')
})

t.test('both ends of a veth may be in one namespace', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  await connection.request([addVeth({ name: 'a', peerName: 'b', peerNamespace: null, mtu: 68 })])
  const links = (await connection.dump(listLinks())).filter(({ kind }) => kind === 'veth')
  t.same(links.map(({ name, mtu, peerNamespaceId }) => [name, mtu, peerNamespaceId]).sort(), [
    ['a', 68, null],
    ['b', 68, null],
  ])
})

t.test('a link is changed, renamed, moved', async t => {
  const path = freshNamespace(t)
  const other = freshNamespace(t)
  const connection = connect(t, 'route', path)
  await connection.request([addVeth({ name: 'a', peerName: 'b', peerNamespace: null, mtu: 1500 })])
  const [link] = (await connection.get(getLink('a'))) as [LinkReading]
  t.same(names(await connection.request([setLink('a', { up: false, mtu: 1300 })])), [null])
  t.same(names(await connection.request([setLink(link.index, { name: 'renamed' })])), [null])
  t.match(await connection.get(getLink('renamed')), [{ index: link.index, up: false, mtu: 1300 }])
  const descriptor = openSync(other, 'r')
  t.teardown(() => closeSync(descriptor))
  t.same(names(await connection.request([setLink('renamed', { namespace: descriptor })])), [null])
  await t.rejects(connection.get(getLink('renamed')), { message: 'get link renamed: ENODEV' })
  t.match(await connect(t, 'route', other).get(getLink('renamed')), [{ kind: 'veth' }])
})

t.test('addresses come and go', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const address = { linkIndex: 1, address: '10.254.0.1/32' }
  t.same(await connection.dump(listAddresses()), [])
  t.same(names(await connection.request([addAddress(address), addAddress(address)])), [null, 'EEXIST'])
  t.same(await connection.dump(listAddresses()), [address])
  t.match(runIn(path, ['ip', '-o', 'addr']), /inet 10\.254\.0\.1\/32 scope global lo/)
  t.same(names(await connection.request([deleteAddress(address), deleteAddress(address)])), [
    null,
    'EADDRNOTAVAIL',
  ])
  t.same(names(await connection.request([addAddress({ ...address, linkIndex: 99 })])), ['ENODEV'])
})

t.test('routes of every kind the mesh needs read back as they were written', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  await connection.request([
    setLink('lo', { up: true }),
    addVeth({ name: 'a', peerName: 'b', peerNamespace: null, mtu: 1500 }),
    setLink('b', { up: true }),
  ])
  const [link] = (await connection.get(getLink('a'))) as [LinkReading]
  await connection.request([addAddress({ linkIndex: link.index, address: '10.254.0.2/32' })])
  const common = { linkIndex: link.index, gateway: null, source: null, protocol: 109, metric: 0 }
  const routes = [
    {
      ...common,
      table: 1090,
      destination: '0.0.0.0/0',
      type: 'unicast',
      gateway: '10.254.0.1',
      source: '10.254.0.2',
      onlink: true,
    },
    {
      ...common,
      table: 254,
      destination: '10.254.0.1/32',
      type: 'unicast',
      source: '10.254.0.2',
      onlink: false,
    },
    { ...common, table: 254, destination: '10.253.0.0/16', type: 'local', linkIndex: 1, onlink: false },
    {
      ...common,
      table: 254,
      destination: '192.0.2.0/24',
      type: 'unreachable',
      linkIndex: null,
      onlink: false,
    },
  ] as const
  t.same(names(await connection.request(routes.map(addRoute))), [null, null, null, null])
  t.same(names(await connection.request(routes.map(addRoute))), ['EEXIST', 'EEXIST', 'EEXIST', 'EEXIST'])
  const listed = await connection.dump(listRoutes({ protocol: 109 }))
  t.same(new Set(listed), new Set(routes))
  t.same(await connection.dump(listRoutes({ table: 1090 })), [routes[0]])
  t.same(await connection.dump(listRoutes({ table: 77 })), [], 'a table that is not there has no routes')
  t.match(
    runIn(path, ['ip', 'route', 'show', 'table', '1090']),
    /default via 10\.254\.0\.1 dev a proto 109 src 10\.254\.0\.2 onlink/,
  )
  const moved = { ...routes[1], source: null }
  t.same(names(await connection.request([replaceRoute(moved)])), [null])
  t.match(await connection.dump(listRoutes({ protocol: 109 })), [{}, {}, {}, {}], 'replaced, not added')
  const all = [moved, ...routes.filter(route => route !== routes[1])]
  t.same(names(await connection.request(all.map(deleteRoute))), [null, null, null, null])
  t.same(names(await connection.request(all.map(deleteRoute))), ['ESRCH', 'ESRCH', 'ESRCH', 'ESRCH'])
  t.same(await connection.dump(listRoutes({ protocol: 109 })), [])
})

t.test('a gateway that nobody can reach is refused in the kernel’s words', async t => {
  const connection = connect(t, 'route', freshNamespace(t))
  await connection.request([setLink('lo', { up: true })])
  const [error] = await connection.request([
    addRoute({
      table: 254,
      destination: '192.0.2.0/24',
      linkIndex: 1,
      gateway: '203.0.113.1',
      source: null,
      protocol: 109,
    }),
  ])
  t.match(error, { code: 'MESH_NETLINK', operation: 'add route', subject: '192.0.2.0/24 in table 254' })
  t.type(error?.kernelMessage, 'string')
})

t.test('rules carry their protocol, and only ours are deleted', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const rule = { priority: 1090, source: '10.254.0.5/32', table: 1090, protocol: 109 }
  const marked = { ...rule, source: '0.0.0.0/0', fwmark: 7, inputLink: 'lo' }
  t.same(names(await connection.request([addRule(rule), addRule(rule), addRule(marked)])), [
    null,
    'EEXIST',
    null,
  ])
  t.match(
    (await connection.dump(listRules())).filter(({ protocol }) => protocol === 109),
    [
      { ...rule, fwmark: null, lookup: true },
      { ...marked, lookup: true },
    ],
  )
  t.match(runIn(path, ['ip', 'rule']), /1090:\tfrom 10\.254\.0\.5 lookup 1090 proto 109/)
  t.same(names(await connection.request([deleteRule(rule), deleteRule(rule), deleteRule(marked)])), [
    null,
    'ENOENT',
    null,
  ])
  t.equal(
    (await connection.dump(listRules())).length,
    5,
    'local and main of both families and default are left',
  )
})
