import { spawnSync } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { readlink } from 'node:fs/promises'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  createNamespace,
  namespaceIdentity,
  openSocket,
  removeNamespace,
  runInNamespace,
} from '../../src/netlink/addon.js'
import { setLink } from '../../src/netlink/route.js'
import { connect, freshNamespace, runIn } from '../helpers/namespaces.js'

const own = () => readlinkSync('/proc/thread-self/ns/net')

t.test('libuv threads stay in our namespace, even when the first work comes from inside another', async t => {
  const before = own()
  const path = freshNamespace(t)
  const links = runInNamespace(path, () =>
    Array.from({ length: 8 }, () => readlink('/proc/thread-self/ns/net')),
  )
  for (const link of await Promise.all(links)) t.equal(link, before)
})

t.test('a namespace is made, known by its identity, and removed', async t => {
  const path = `/run/netns/mesh-test-${process.pid}-made`
  t.throws(() => namespaceIdentity(path), { code: 'ENOENT' })
  createNamespace(path)
  const identity = namespaceIdentity(path)
  t.not(identity, namespaceIdentity(null))
  const inode = runInNamespace(path, own).match(/\d+/)?.[0]
  t.equal(identity.split(':')[1], inode, 'it is the one that its members see')
  t.throws(() => createNamespace(path), { code: 'EEXIST' }, 'a second one does not take its place')
  t.equal(namespaceIdentity(path), identity)
  t.equal(runIn('/proc/self/ns/net', ['ip', 'netns', 'exec', path.slice('/run/netns/'.length), 'true']), '')
  removeNamespace(path)
  t.throws(() => namespaceIdentity(path), { code: 'ENOENT' })
  t.throws(() => removeNamespace(path), { code: 'ENOENT' })
})

t.test('the plain file that a crash leaves behind is not taken for a namespace, and is used', async t => {
  const path = `/run/netns/mesh-test-${process.pid}-stale`
  writeFileSync(path, '')
  t.teardown(() => rmSync(path, { force: true }))
  t.throws(() => namespaceIdentity(path), { code: 'EINVAL' })
  t.throws(() => runInNamespace(path, () => 0), { code: 'EINVAL', syscall: 'setns' })
  createNamespace(path)
  t.ok(namespaceIdentity(path))
  removeNamespace(path)
})

t.test('a function runs inside and its result and exceptions come out, then we are back', async t => {
  const path = freshNamespace(t)
  const before = own()
  t.equal(
    runInNamespace(path, () => readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n').length),
    4,
    'two heading lines, lo, and the end',
  )
  t.throws(
    () =>
      runInNamespace(path, () => {
        throw new Error('inside')
      }),
    { message: 'inside' },
  )
  t.equal(own(), before)
  t.throws(() => runInNamespace(path, async () => 1), { code: 'MESH_INTERNAL' })
  t.throws(() => runInNamespace('/nonexistent', () => 0), { code: 'ENOENT' })
  t.equal(own(), before)
  const inside = runInNamespace(path, () =>
    spawnSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }),
  )
  t.not(inside.stdout.trim(), before, 'a program started inside stays inside')
})

t.test('calls nest', async t => {
  const outer = freshNamespace(t)
  const inner = freshNamespace(t)
  const [a, b, c] = runInNamespace(outer, () => [own(), runInNamespace(inner, own), own()])
  t.equal(a, c)
  t.not(a, b)
})

t.test('TCP sockets listen and connect in their namespace, and nowhere else', async t => {
  const path = freshNamespace(t)
  await connect(t, 'route', path).request([setLink('lo', { up: true })])
  const server = net.createServer(socket => socket.end('inside'))
  server.listen({ fd: openSocket('tcp', '127.0.0.1', 0, path) })
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as net.AddressInfo

  const client = new net.Socket({ fd: openSocket('tcp', null, 0, path) })
  client.connect(port, '127.0.0.1')
  const [data] = await once(client, 'data')
  t.equal(String(data), 'inside')
  t.equal(client.localAddress, '127.0.0.1')
  client.destroy()

  const outside = net.connect(port, '127.0.0.1')
  const [error] = await once(outside, 'error')
  t.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
})

t.test('UDP sockets send and receive in their namespace', async t => {
  const path = freshNamespace(t)
  await connect(t, 'route', path).request([setLink('lo', { up: true })])
  const server = dgram.createSocket('udp4')
  server.bind({ fd: openSocket('udp', '127.0.0.1', 0, path) }) // bound at once, since it is already
  t.teardown(() => server.close())
  const client = dgram.createSocket('udp4')
  client.bind({ fd: openSocket('udp', '127.0.0.1', 0, path) })
  t.teardown(() => client.close())
  client.send('hello', server.address().port, '127.0.0.1')
  const [message] = await once(server, 'message')
  t.equal(String(message), 'hello')
})

t.test('a program started inside asynchronously stays inside while we are outside', async t => {
  const path = freshNamespace(t)
  const before = own()
  t.match(runIn(path, ['ip', '-o', 'link']), /^1: lo:/)
  await sleep(1)
  t.equal(own(), before)
})
