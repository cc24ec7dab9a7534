import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import t from 'tap'
import type { Listener } from '../../../src/model/conflicts.js'
import {
  listens,
  parseSctpEndpoints,
  parseSocketTable,
  readListeners,
} from '../../../src/sources/listeners.js'

const short = (each: { protocol: string; address: string; port: number; inode: number }) =>
  `${each.protocol} ${each.address}:${each.port} ${each.inode}`

/** Who listens on a port of this machine, asked for by name. */
async function holdersOf(protocol: 'tcp' | 'udp', port: number, known?: Listener[]) {
  const range = { first: port, last: port }
  const listeners = await readListeners([{ protocol, published: range, target: range, address: null }], known)
  return listeners.filter(each => each.protocol === protocol && each.port === port)
}

const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 24210 1 0000000000000000 100 0 0 10 0
   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 24211 1 0000000000000000 100 0 0 10 0
   2: 0500000A:22B8 0900000A:D431 01 00000000:00000000 02:000A8C2B 00000000     0        0 24212 2 0000000000000000 20 4 30 10 -1
`
const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 300 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 301 1 0000000000000000 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 302 1 0000000000000000 100 0 0 10 0
`
const udp = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  511: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 400 2 0000000000000000 0
  512: 0100007F:9C40 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 401 2 0000000000000000 0
`
const sctp = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8f2 ffff8f1 2   10  29   11111     0 45678 10.0.0.5 127.0.0.1
ffff8f4 ffff8f3 2   10  30   11112     0 45679 0000:0000:0000:0000:0000:0000:0000:0000
ffff8f6 ffff8f5 2   7   31   11113     0 45680 0.0.0.0
`

t.test('listeners are told from connections', async t => {
  t.strictSame(parseSocketTable(tcp, 'tcp').map(short), ['tcp 0.0.0.0:8888 24210', 'tcp 127.0.0.1:53 24211'])
  t.strictSame(parseSocketTable(udp, 'udp').map(short), ['udp 0.0.0.0:4789 400'])
  t.strictSame(parseSocketTable('', 'tcp'), [])
})

t.test('an IPv6 wildcard holds the IPv4 port, one IPv6 address does not', async t => {
  t.strictSame(parseSocketTable(tcp6, 'tcp').map(short), ['tcp 0.0.0.0:80 300', 'tcp 127.0.0.1:82 302'])
})

t.test('an SCTP endpoint holds its port on each of its addresses', async t => {
  t.strictSame(parseSctpEndpoints(sctp).map(short), [
    'sctp 10.0.0.5:11111 45678',
    'sctp 127.0.0.1:11111 45678',
    'sctp 0.0.0.0:11112 45679',
  ])
})

t.test('who asks for a name does not listen', async t => {
  const proc = (udp: string) => t.testdir({ '7': { net: { udp } } })
  t.equal(await listens(7, proc(udp)), true, 'a server')
  t.equal(await listens(7, proc(udp.replace('00000000:12B5', '00000000:C001'))), false, 'a client')
})

t.test('the process that listens on a port is named', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const process_ = { process: readFileSync('/proc/self/comm', 'utf8').trim(), pid: process.pid }
  t.match(await holdersOf('tcp', port), [{ ...process_, address: '127.0.0.1' }])
  t.strictSame(await holdersOf('udp', port), [])
  const unnamed = (await readListeners()).find(each => each.port === port)
  t.match(unnamed, { process: null, pid: null }, 'nobody is named who was not asked for')
  const known = (await holdersOf('tcp', port)).map(each => ({ ...each, process: 'known' }))
  t.match(await holdersOf('tcp', port, known), [{ process: 'known', address: '127.0.0.1' }])
  t.match(await holdersOf('tcp', port, [unnamed!]), [process_], 'one that had no name is asked for again')
})

t.test('a UDP socket on all IPv6 addresses holds the IPv4 port', async t => {
  const socket = createSocket('udp6')
  socket.bind(0, '::')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  t.match(await holdersOf('udp', socket.address().port), [{ address: '0.0.0.0', pid: process.pid }])
})
