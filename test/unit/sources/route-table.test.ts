import t from 'tap'
import { linkedNetworks, readNetworks } from '../../../src/sources/route-table.js'

/** /proc/PID/net/route of a container on docker0, a network of its own and the mesh. */
const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0001000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0002000A\t0101000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
mesh0\t0000FE0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
`

t.test('networks reached without a gateway are the container’s own, the mesh left out', async t => {
  t.strictSame(linkedNetworks(text), ['172.17.0.0/16', '10.0.1.0/24'])
  t.strictSame(linkedNetworks(''), [])
})

t.test('a process that has ended is on no network', async t => {
  t.strictSame(await readNetworks(7, t.testdir({ '7': { net: { route: text } } })), [
    '172.17.0.0/16',
    '10.0.1.0/24',
  ])
  t.strictSame(await readNetworks(8, t.testdir({})), [])
})
