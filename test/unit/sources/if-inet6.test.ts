import t from 'tap'
import { ownIpv6, readIpv6 } from '../../../src/sources/if-inet6.js'

/** Of a container on a network fd17::/64 and on the mesh, Linux 6.1. */
const text = `fe80000000000000344698fffe05f7dd 02 40 20 80     eth0
fd170000000000000000000000000011 02 40 00 80     eth0
20010db8000000010000000000000005 03 80 00 80     eth1
fd4d6573006800000000000000000003 04 80 00 82    mesh0
fe800000000000001c0d3efffe567065 04 40 20 80    mesh0
00000000000000000000000000000001 01 80 10 80       lo
`

t.test('global addresses and their networks, without those of loopback, link and mesh', async t => {
  t.strictSame(ownIpv6(text), {
    addresses: ['fd17::11', '2001:db8:0:1::5'],
    networks: ['fd17::/64'],
  })
  t.strictSame(ownIpv6('fd17123400000000000000000000ff11 02 3c 00 80 eth0\n').networks, ['fd17:1234::/60'])
  t.strictSame(ownIpv6(''), { addresses: [], networks: [] })
  t.strictSame(ownIpv6('what is this\n'), { addresses: [], networks: [] })
})

t.test('a process that has ended has none', async t => {
  t.strictSame(await readIpv6(999_999_999), { addresses: [], networks: [] })
})
