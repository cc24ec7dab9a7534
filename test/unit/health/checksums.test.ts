import t from 'tap'
import { ChecksumWatch, checksumErrors } from '../../../src/health/checksums.js'

const snmp = (tcp: number, udp: number) => `Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm InErrs OutRsts InCsumErrors
Tcp: 1 9 0 ${tcp}
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti
Udp: 7 6 5 4 3 2 ${udp} 0
UdpLite: InDatagrams InCsumErrors
UdpLite: 0 99
`

t.test('wrong checksums of TCP and UDP are counted', async t => {
  t.equal(checksumErrors(snmp(3, 4)), 7)
  t.equal(checksumErrors(''), 0, 'by a kernel that does not count them there are none')
})

t.test('many in a short time are told of, until none come any more', async t => {
  const watch = new ChecksumWatch()
  t.equal(watch.look(1000, 0), 0, 'what came before the agent is not known to be new')
  t.equal(watch.look(1004, 4), 0, 'a few are no reason')
  t.equal(watch.look(1005, 8), 5)
  t.equal(watch.look(1005, 32), 5)
  t.equal(watch.look(1005, 40), 0)
  t.equal(watch.look(2, 44), 0, 'a sandbox that was made anew')
  t.equal(watch.look(20, 48), 18)
})

t.test('a few now and then never add up', async t => {
  const watch = new ChecksumWatch()
  for (let i = 0; i < 100; i++) t.equal(watch.look(i, i * 10), 0)
})
