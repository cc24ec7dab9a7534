import { closeSync, openSync } from 'node:fs'
import t, { type Test } from 'tap'
import { createNamespace, removeNamespace } from '../../src/netlink/addon.js'
import { ChangeSocket } from '../../src/netlink/changes.js'
import type { NetlinkConnection } from '../../src/netlink/connection.js'
import {
  addAddress,
  addRule,
  addVeth,
  deleteRule,
  getNamespaceId,
  listLinks,
  setLink,
  setNeighbour,
} from '../../src/netlink/route.js'
import { connect, freshNamespace, runIn } from '../helpers/namespaces.js'
import { waitFor } from '../helpers/wait.js'

const rule = { priority: 5, source: '0.0.0.0/0', table: 1090, protocol: 109 }
const none = new Set<number>()

function open(t: Test, path: string): ChangeSocket {
  const socket = ChangeSocket.open(path)
  t.teardown(() => socket.close())
  return socket
}

/** Joins two namespaces by a veth `near` – `far`; the number by which the first knows the other. */
async function join(near: NetlinkConnection, farPath: string): Promise<number> {
  const descriptor = openSync(farPath, 'r')
  try {
    const veth = { name: 'near', peerName: 'far', peerNamespace: descriptor, mtu: 1400 }
    for (const error of await near.request([addVeth(veth)])) if (error) throw error
    await near.dump(listLinks())
    const [id = -1] = await near.get(getNamespaceId(descriptor))
    return id
  } finally {
    closeSync(descriptor)
  }
}

t.test('what has changed in its own namespace is told once', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const changes = open(t, path)
  t.same(changes.take(none), { namespaces: none, lost: false })
  for (const request of [
    setLink('lo', { up: true }),
    addAddress({ linkIndex: 1, address: '10.0.0.1/32' }),
    addRule(rule),
    addRule({ ...rule, source: '::/0' }),
    deleteRule(rule),
  ]) {
    t.same(await connection.request([request]), [null])
    t.same([...changes.take(none).namespaces], [-1], request.operation)
    t.same([...changes.take(none).namespaces], [])
  }
  await connection.request([addAddress({ linkIndex: 1, address: 'fd4d::1/128' })])
  const isTold = () => changes.take(none).namespaces.has(-1)
  await waitFor(isTold, 'word of an address of IPv6, which comes once it may be used', 10)
})

t.test('of other namespaces those are told of that a link leads to', async t => {
  const path = freshNamespace(t)
  const [far, elsewhere] = [freshNamespace(t), freshNamespace(t)]
  const changes = open(t, path)
  await connect(t, 'route', far).request([addRule(rule)])
  t.same([...changes.take(none).namespaces], [], 'nothing leads there yet')
  const near = connect(t, 'route', path)
  const id = await join(near, far)
  t.ok(id >= 0)
  t.ok(changes.take(none).namespaces.has(-1))
  // A link that has just come may tell more of itself later.
  const others = () => [...changes.take(none).namespaces].filter(each => each !== -1)
  await connect(t, 'route', elsewhere).request([addRule(rule)])
  t.same(others(), [])
  runIn(far, ['ip', 'rule', 'del', 'priority', '5'])
  t.same(others(), [id])
  runIn(far, ['ip', 'link', 'del', 'far'])
  t.same([...changes.take(none).namespaces].sort(), [-1, id], 'either end is gone')
})

t.test('neighbours count on the links that are named', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  const linkIndex = 1 // lo: a link that has just been made tells of itself again, at any time
  const changes = open(t, path)
  const neighbour = { linkIndex, address: '10.0.0.9', mac: '02:00:00:00:00:09' }
  await connection.request([setNeighbour(neighbour)])
  t.same([...changes.take(none).namespaces], [])
  await connection.request([setNeighbour({ ...neighbour, mac: '02:00:00:00:00:08' })])
  t.same([...changes.take(new Set([linkIndex])).namespaces], [-1])
})

t.test('what there was no room for is told as lost, and what comes later is told', async t => {
  const path = freshNamespace(t)
  const connection = connect(t, 'route', path)
  await connection.request([setLink('lo', { up: true })])
  const changes = open(t, path)
  const routes = Array.from(
    { length: 30_000 },
    (_, index) => `route add 10.${index >> 14}.${(index >> 7) & 127}.${index & 127}/32 dev lo proto 109\n`,
  ).join('')
  runIn(path, ['ip', '-batch', '-'], routes)
  t.equal(changes.take(none).lost, true)
  t.same(changes.take(none), { namespaces: none, lost: false })
  await connection.request([addRule(rule)])
  t.same([...changes.take(none).namespaces], [-1])
})

t.test('a socket keeps no namespace alive but its own', async t => {
  const path = freshNamespace(t)
  const near = connect(t, 'route', path)
  const changes = open(t, path)
  const far = '/run/netns/mesh-test-changes-far'
  createNamespace(far)
  const id = await join(near, far)
  runIn(far, ['ip', 'link', 'set', 'lo', 'up'])
  t.ok(changes.take(none).namespaces.has(id))
  removeNamespace(far)
  await waitFor(
    async () => !(await near.dump(listLinks())).some(({ name }) => name === 'near'),
    'the end of the veth, whose other end was in there',
    30,
  )
  t.same([...changes.take(none).namespaces], [-1])
})

t.test('one that is closed tells nothing, and may be closed again', async t => {
  const changes = ChangeSocket.open(freshNamespace(t))
  changes.close()
  changes.close()
  t.throws(() => changes.take(none), TypeError)
})

t.test('where there is no namespace there is none', async t => {
  t.throws(() => ChangeSocket.open('/run/netns/none-of-that-name'), /ENOENT/)
})
