import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  chooseUpstreams,
  parseResolvConf,
  pathsInContainer,
  stampOf,
  usualPaths,
  watchResolvConf,
} from '../../../src/dns/resolv-conf.js'

t.test('the addresses of resolv.conf', async t => {
  const text = `# nameserver 9.9.9.9
; nameserver 9.9.9.8
search example.com
nameserver 10.0.0.1
  nameserver	10.0.0.2 # the other
nameserver 10.0.0.1
nameserver fe80::1%eth0
nameserver router.lan
nameserverx 1.1.1.1
options timeout:1`
  t.strictSame(parseResolvConf(text), ['10.0.0.1', '10.0.0.2', 'fe80::1%eth0'])
  t.strictSame(parseResolvConf(''), [])
})

t.test('which of them are asked', async t => {
  const behind = 'nameserver 192.168.1.1\nnameserver 10.253.0.1\n'
  const addresses = (main: string) =>
    chooseUpstreams(main, behind, ['10.253.0.1']).map(({ address }) => address)
  t.strictSame(addresses('nameserver 10.0.0.1'), ['10.0.0.1'])
  t.strictSame(addresses('nameserver 127.0.0.53'), ['127.0.0.53', '192.168.1.1'], 'a stub, and whom it asks')
  t.strictSame(addresses('nameserver 10.253.0.1\nnameserver 10.0.0.1'), ['10.0.0.1'], 'never itself')
  t.strictSame(addresses('nameserver 10.253.0.1'), [])
})

t.test('changes are noticed, also of a link to a file that is replaced', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-resolv-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [file, main] = [join(directory, 'file'), join(directory, 'resolv.conf')]
  const write = (text: string) => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  const told: string[] = []
  const paths = { main, behindStub: join(directory, 'none') }
  const stamps = new Set([stampOf(paths)])
  symlinkSync(file, main)
  const look = watchResolvConf(
    [],
    upstreams => told.push(upstreams.map(({ address, port }) => `${address}:${port}`).join(' ')),
    paths,
  )
  t.strictSame(told, [''], 'there is no file: nobody to ask')
  write('nameserver 10.0.0.1\n')
  stamps.add(stampOf(paths))
  look()
  write('nameserver 10.0.0.1\noptions edns0\n')
  stamps.add(stampOf(paths))
  write('nameserver 10.0.0.2\nnameserver 10.0.0.3\n')
  stamps.add(stampOf(paths))
  look()
  look()
  stamps.add(stampOf(paths))
  t.strictSame(told, ['', '10.0.0.1:53', '10.0.0.2:53 10.0.0.3:53'])
  t.equal(stamps.size, 4, 'each time the file is another one')
})

t.test('a link in a circle is as good as no file', async t => {
  const directory = t.testdir({})
  const main = join(directory, 'resolv.conf')
  symlinkSync('resolv.conf', main)
  t.equal(stampOf({ main, behindStub: main }), stampOf({ main: `${main}.none`, behindStub: main }))
})

t.test('in a container the file of the node is read, if it can be seen', async t => {
  const main = join(t.testdir({ 'resolv.conf': '' }), 'resolv.conf')
  t.same(pathsInContainer(main), { ...usualPaths, main })
  t.same(pathsInContainer(`${main}.none`), usualPaths)
})
