import t from 'tap'
import { countFlows, deleteFlow, type Flow, listFlows } from '../../../src/netlink/conntrack.js'
import { genericHeader, getFamily } from '../../../src/netlink/generic.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

/** A UDP flow 10.0.0.9:1000 → 192.0.2.1:53, translated to 10.254.0.3:5353, with zones. */
const bytes = hex(`02 00 0000
  3c00 0180
    1400 0180  0800 0100 0a000009  0800 0200 c0000201
    1c00 0280  0500 0100 11 000000  0600 0200 03e8 0000  0600 0300 0035 0000
    0600 0300 0007 0000
  3400 0280
    1400 0180  0800 0100 0afe0003  0800 0200 0a000009
    1c00 0280  0500 0100 11 000000  0600 0200 14e9 0000  0600 0300 03e8 0000
  0800 0800 00000005
  0800 0c00 deadbeef
  0600 1200 0002 0000
  0800 6300 00000000`)

const flow: Flow = {
  protocol: 17,
  original: { source: '10.0.0.9', sourcePort: 1000, destination: '192.0.2.1', destinationPort: 53 },
  reply: { source: '10.254.0.3', sourcePort: 5353, destination: '10.0.0.9', destinationPort: 1000 },
  mark: 5,
  id: 0xdeadbeef,
  zone: 2,
  originalZone: 7,
}

t.test('a flow is read in both directions', async t => {
  t.same(listFlows().decode(bytes, 0x100), flow)
})

t.test('flows are chosen by protocol', async t => {
  t.same(listFlows(17).decode(bytes, 0x100), flow)
  t.equal(listFlows(6).decode(bytes, 0x100), null)
})

t.test('a flow is deleted by its tuple, its zones and its id, never without a tuple', async t => {
  const request = deleteFlow(flow)
  t.equal(request.type, 0x102)
  t.equal(request.subject, '10.0.0.9:1000 → 192.0.2.1:53')
  t.same(
    request.payload,
    hex(`02 00 0000
         3c00 0180
           1400 0180  0800 0100 0a000009  0800 0200 c0000201
           1c00 0280  0500 0100 11 000000  0600 0200 03e8 0000  0600 0300 0035 0000
           0600 0300 0007 0000
         0800 0c00 deadbeef
         0600 1200 0002 0000`),
  )
})

t.test('a flow of IPv6 is read and deleted by its longer addresses', async t => {
  const six = hex(`0a 00 0000
    4c00 0180
      2c00 0180  1400 0300 fd000000 00000000 00000000 00000009  1400 0400 20010db8 00000000 00000000 00000001
      1c00 0280  0500 0100 11 000000  0600 0200 03e8 0000  0600 0300 0035 0000
    0800 0c00 deadbeef`)
  const read = listFlows().decode(six, 0x100)
  t.match(read, {
    protocol: 17,
    original: { source: 'fd00::9', sourcePort: 1000, destination: '2001:db8::1', destinationPort: 53 },
  })
  t.same(deleteFlow(read!).payload, six)
  t.equal(listFlows().payload[0], 0, 'both families in one answer')
})

t.test('what has no tuple is left out', async t => {
  t.equal(listFlows().decode(hex('0a 00 0000'), 0x100), null)
})

t.test('the number of flows is in network order', async t => {
  t.equal(countFlows().decode(hex('02 00 0000 0800 0100 00000102'), 0x105), 258)
})

t.test('a generic family is asked for by name', async t => {
  const query = getFamily('IPVS')
  t.equal(query.type, 16)
  t.same(query.payload, hex('03 01 0000 0900 0200 4950565300 000000'))
  t.match(query.decode(hex('01 02 0000 0600 0100 1d00 0000 0800 0300 01000000'), 16), { id: 29, version: 1 })
  t.same(genericHeader(5, 1), Uint8Array.of(5, 1, 0, 0))
})
