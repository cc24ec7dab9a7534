import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  createNamespace,
  exchange,
  joinGroup,
  openNetlink,
  openSocket,
  runInNamespace,
} from '../../../src/netlink/addon.js'

t.test('without the addon the error is the command that builds it', async t => {
  const root = mkdtempSync(join(tmpdir(), 'mesh-addon-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const compiled = fileURLToPath(new URL('../../../src/', import.meta.url))
  for (const file of ['errors.js', 'netlink/addon.js', 'netlink/errno.js'])
    cpSync(join(compiled, file), join(root, 'dist/src', file), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  const addon = await import(join(root, 'dist/src/netlink/addon.js'))
  t.throws(() => addon.openNetlink(0, null), {
    code: 'MESH_UNSUPPORTED',
    message: `the native addon is not built (${root}/native/build/mesh.node is missing): run ${root}/scripts/build-addon`,
  })
})

t.test('an addon that is there but broken is told as it is', async t => {
  const root = mkdtempSync(join(tmpdir(), 'mesh-addon-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const compiled = fileURLToPath(new URL('../../../src/', import.meta.url))
  for (const file of ['errors.js', 'netlink/addon.js', 'netlink/errno.js'])
    cpSync(join(compiled, file), join(root, 'dist/src', file), { recursive: true })
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  cpSync(join(root, 'package.json'), join(root, 'native/build/mesh.node'), { recursive: true })
  const addon = await import(join(root, 'dist/src/netlink/addon.js'))
  t.throws(() => addon.openNetlink(0, null), { code: 'ERR_DLOPEN_FAILED' })
})

t.test('wrong arguments are refused before any system call', async t => {
  t.throws(() => openNetlink(99, null), TypeError)
  t.throws(() => openNetlink(0, 'relative/path'), TypeError)
  t.throws(() => openNetlink(0, -1), TypeError)
  t.throws(() => openNetlink(0, '/with\0nul'), TypeError)
  t.throws(() => joinGroup(0, 0), TypeError)
  t.throws(() => exchange(-1, Buffer.alloc(0), false, 1), TypeError)
  t.throws(() => exchange(0, 'x' as unknown as Buffer, false, 1), TypeError)
  t.throws(() => openSocket('tcp', null, 65536, null), TypeError)
  t.throws(() => openSocket('raw' as 'tcp', null, 0, null), TypeError)
  t.throws(() => createNamespace(''), TypeError)
  t.throws(() => runInNamespace(null, 7 as unknown as () => void), TypeError)
})

t.test('errors of the addon carry code, errno and syscall', async t => {
  t.throws(() => openNetlink(0, '/nonexistent/namespace'), { code: 'ENOENT', errno: 2, syscall: 'open' })
  t.throws(() => openSocket('tcp', 'not an address', 0, null), { code: 'EINVAL', syscall: 'inet_pton' })
  t.throws(() => openSocket('tcp', '192.0.2.1', 0, null), { code: 'EADDRNOTAVAIL', syscall: 'bind' })
})

t.test('a damaged batch is refused, and an empty one has no answers', async t => {
  const descriptor = openNetlink(0, null)
  t.match(await exchange(descriptor, Buffer.alloc(16), false, 1000), { errno: 22, syscall: 'sendto' })
  const result = await exchange(descriptor, Buffer.alloc(0), false, 1000)
  t.match(result, { errno: 0, syscall: null })
  t.equal(result.replies.length, 0)
})

t.test('an exchange that nobody answers ends at its deadline', async t => {
  const descriptor = openNetlink(0, null)
  const noop = Buffer.from('10000000010000000100000000000000', 'hex') // NLMSG_NOOP without NLM_F_REQUEST
  const began = Date.now()
  t.match(await exchange(descriptor, noop, false, 150), { errno: 110, syscall: 'poll' })
  t.ok(Date.now() - began >= 145)
})
