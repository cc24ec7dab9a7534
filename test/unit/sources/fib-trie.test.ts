import t from 'tap'
import { localAddresses, readAddresses } from '../../../src/sources/fib-trie.js'

/** /proc/PID/net/fib_trie of a task on an overlay network, docker_gwbridge and the mesh, Linux 6.1. */
const overlayTask = `Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.1.0/24 2 0 2
        +-- 10.0.1.0/28 2 0 2
           |-- 10.0.1.0
              /24 link UNICAST
     |-- 172.18.0.0
        /16 link UNICAST
Local:
  +-- 0.0.0.0/0 2 0 2
     +-- 10.0.0.0/8 2 0 2
        +-- 10.0.1.0/28 2 0 2
           |-- 10.0.1.0
              /24 link UNICAST
           |-- 10.0.1.7
              /32 host LOCAL
        |-- 10.0.1.255
           /32 link BROADCAST
        |-- 10.254.0.9
           /32 host LOCAL
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 172.18.0.0/16 2 0 2
        |-- 172.18.0.3
           /32 host LOCAL
        |-- 172.18.255.255
           /32 link BROADCAST
`

t.test('the addresses of a namespace are its local host routes, loopback left out', async t => {
  t.strictSame(localAddresses(overlayTask), ['10.0.1.7', '10.254.0.9', '172.18.0.3'])
})

t.test('an address printed under Main and Local counts once', async t => {
  t.strictSame(localAddresses(overlayTask + overlayTask).length, 3)
})

t.test('a leaf with several routes is local if one of them is', async t => {
  const text = '     |-- 10.0.0.1\n        /24 link UNICAST\n        /32 host LOCAL\n'
  t.strictSame(localAddresses(text), ['10.0.0.1'])
})

t.test('a namespace without a network has no addresses', async t => {
  t.strictSame(localAddresses(''), [])
})

t.test('the mesh’s own addresses are left out', async t => {
  const directory = t.testdir({ '7': { net: { fib_trie: overlayTask } } })
  t.strictSame(await readAddresses(7, '10.254.0.0/16', directory), ['10.0.1.7', '172.18.0.3'])
  t.strictSame(await readAddresses(7, '10.0.0.0/8', directory), ['172.18.0.3'])
  t.strictSame(await readAddresses(7, '172.18.0.3/32', directory), ['10.0.1.7', '10.254.0.9'])
})

t.test('a process that has ended has no addresses', async t => {
  t.strictSame(await readAddresses(1, '10.254.0.0/16', t.testdir({})), [])
})
