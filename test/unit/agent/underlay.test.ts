/**
 * The link that leads to the other nodes, where nobody says which, as the kernel prints routes.
 */
import t from 'tap'
import { defaultLink, defaultLink6 } from '../../../src/agent/underlay.js'

t.test('the link of the default route of IPv4', async t => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n'
  const connected = 'eth1\t004DA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n'
  t.equal(defaultLink(head + connected), null)
  const half = 'tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n'
  const whole = 'eth0\t00000000\tFE4DA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n'
  t.equal(defaultLink(head + half + connected + whole), 'eth0', 'the half of 0.0.0.0/1 is none')
})

t.test('the link of the default route of IPv6', async t => {
  const zero = '0'.repeat(32)
  const line = (destination: string, length: string, gateway: string, link: string) =>
    `${destination} ${length} ${zero} 00 ${gateway} 00000400 00000001 00000000 00000003 ${link.padStart(8)}\n`
  const connected = line(`fd77${'0'.repeat(28)}`, '40', zero, 'eth1')
  const reject = line(zero, '00', zero, 'lo')
  t.equal(defaultLink6(''), null)
  t.equal(defaultLink6(connected + reject), null)
  t.equal(defaultLink6(connected + line(zero, '00', `fe80${'0'.repeat(27)}1`, 'eth0') + reject), 'eth0')
})
