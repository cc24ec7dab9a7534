import t from 'tap'
import { parseMac } from '../../../src/netlink/attributes.js'
import {
  addRule,
  addVxlan,
  decodeForwarding,
  decodeLink,
  decodeNeighbour,
  decodeRule,
  deleteForwarding,
  deleteNeighbour,
  listForwarding,
  listNeighbours,
  setForwarding,
  setLink,
  setNeighbour,
} from '../../../src/netlink/route.js'
import { decodeVxlan, encodeVxlan } from '../../../src/netlink/vxlan.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

t.test('a VXLAN device is one message that puts it into another namespace', async t => {
  const request = addVxlan({
    name: 'v',
    vni: 0x010203,
    port: 0x12b6,
    local: '192.168.77.1',
    mac: '02:4d:00:00:00:01',
    mtu: 1450,
    namespace: 9,
  })
  t.equal(request.type, 16, 'RTM_NEWLINK')
  t.equal(request.flags, 0x600, 'NLM_F_CREATE | NLM_F_EXCL')
  t.equal(`${request.operation} ${request.subject}`, 'add vxlan link v')
  t.same(
    request.payload,
    hex(`00 00 0000 00000000 01000000 01000000
         0a00 0100 024d00000001 0000
         0600 0300 7600 0000
         0800 0400 aa050000
         3800 1280
           0a00 0100 7678 6c61 6e00 0000
           2800 0200
             0800 0100 03020100
             0800 0400 c0a84d01
             0500 0700 00 000000
             0600 0f00 12b6 0000
             0400 1700
         0800 1c00 09000000`),
  )
})

t.test('the MAC of a link is changed', async t => {
  t.same(
    setLink(5, { hardwareAddress: '02:4D:00:00:00:0a' }).payload,
    hex('00 00 0000 05000000 00000000 00000000 0a00 0100 024d0000000a 0000'),
  )
  for (const text of ['', '02:4d:00:00:00', '02:4d:00:00:00:0g', '2:4d:00:00:00:01', '024d00000001'])
    t.throws(() => parseMac(text), RangeError, text)
})

t.test('a VXLAN device is read with what others set on it', async t => {
  const device = (data: string) =>
    decodeLink(
      Buffer.concat([
        hex('00 00 0100 05000000 43100100 00000000 0600 0300 7600 0000'),
        hex('0a00 0100 024d00000001 0000  0800 2500 00000000'),
        nest(0x8012, Buffer.concat([hex('0a00 0100 7678 6c61 6e00 0000'), nest(2, hex(data))])),
      ]),
    )
  const ours = '0800 0100 03020100 0800 0400 c0a84d01 0500 0700 00 000000 0600 0f00 12b6 0000 0400 1700'
  t.match(device(ours), {
    kind: 'vxlan',
    hardwareAddress: '02:4d:00:00:00:01',
    peerNamespaceId: 0,
    vxlan: {
      vni: 0x010203,
      port: 4790,
      local: '192.168.77.1',
      learning: false,
      groupPolicy: true,
      byEntriesOnly: true,
    },
  })
  for (const steering of [
    '0800 0200 0a000002',
    '0800 0300 03000000',
    '0500 1900 01 000000',
    '1400 1000 fd000000000000000000000000000001',
  ])
    t.equal(device(`${ours} ${steering}`)?.vxlan?.byEntriesOnly, false, steering)
  t.equal(device(`${ours} 0500 1900 00 000000`)?.vxlan?.byEntriesOnly, true, 'not external')
  t.same(device('0500 0700 01 000000')?.vxlan, {
    vni: 0,
    port: 0,
    local: null,
    learning: true,
    groupPolicy: false,
    byEntriesOnly: true,
  })
})

t.test('a tunnel in IPv6 has its own address in another attribute', async t => {
  const data = encodeVxlan({ vni: 1, port: 8473, local: 'fd77::1' })
  t.same(
    data,
    hex(
      '0800 0100 01000000  0500 0700 00 000000  0600 0f00 2119 0000  1400 1100 fd770000000000000000000000000001  0400 1700',
    ),
  )
  t.match(decodeVxlan(data), { local: 'fd77::1', port: 8473, groupPolicy: true, byEntriesOnly: true })
})

function nest(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(value.length + 4, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, value])
}

const mac = '02:4d:00:00:00:02'

t.test('a permanent neighbour is set and deleted', async t => {
  const neighbour = { linkIndex: 5, address: '10.254.1.1', mac }
  const set = setNeighbour(neighbour)
  t.same([set.type, set.flags], [28, 0x500], 'RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE')
  t.same(set.payload, hex('02 00 0000 05000000 8000 00 00  0800 0100 0afe0101  0a00 0200 024d00000002 0000'))
  const gone = deleteNeighbour(neighbour)
  t.same([gone.type, gone.flags], [29, 0])
  t.same(gone.payload, hex('02 00 0000 05000000 0000 00 00  0800 0100 0afe0101'))
})

t.test('a forwarding entry is set in and deleted from the database of the device itself', async t => {
  const entry = { linkIndex: 5, mac, destination: '192.168.77.2' }
  const set = setForwarding(entry)
  t.same([set.type, set.flags], [28, 0x500])
  t.same(set.payload, hex('07 00 0000 05000000 8000 02 00  0800 0100 c0a84d02  0a00 0200 024d00000002 0000'))
  const gone = deleteForwarding(entry)
  t.same([gone.type, gone.flags], [29, 0])
  t.same(gone.payload, hex('07 00 0000 05000000 0000 02 00  0a00 0200 024d00000002 0000'))
})

t.test('dumps ask for one device only', async t => {
  const neighbours = listNeighbours(5)
  t.same([neighbours.type, neighbours.flags], [30, 0x300], 'RTM_GETNEIGH, NLM_F_DUMP')
  t.same(neighbours.payload, hex('00 00 0000 00000000 0000 00 00  0800 0800 05000000'))
  t.same(listForwarding(5).payload, hex('07 00 0000 05000000 0000 00 00'))
})

t.test('only permanent neighbours are read', async t => {
  const payload = (state: string, family = '02') =>
    hex(`${family} 00 0000 05000000 ${state} 00 01
         0800 0100 0afe0101  0a00 0200 024d00000002 0000
         0800 0400 00000000  1400 0300 00000000 00000000 00000000 00000000`)
  t.same(decodeNeighbour(payload('8000')), { linkIndex: 5, address: '10.254.1.1', mac })
  t.equal(decodeNeighbour(payload('0200')), null, 'NUD_REACHABLE')
  const six = hex(`0a 00 0000 05000000 8000 00 01
    1400 0100 fd4d0000 00000000 00000000 00000101  0a00 0200 024d00000002 0000`)
  t.same(decodeNeighbour(six), { linkIndex: 5, address: 'fd4d::101', mac })
  t.equal(setNeighbour({ linkIndex: 5, address: 'fd4d::101', mac }).payload[0], 10, 'AF_INET6')
  t.equal(decodeNeighbour(payload('8000', '07')), null, 'AF_BRIDGE')
  t.equal(decodeNeighbour(hex('02 00 0000 05000000 8000 00 01')), null, 'nothing said')
  t.equal(decodeNeighbour(hex('02 00')), null)
})

t.test('forwarding entries are read with their detours', async t => {
  const payload = (more: string, state = '8000') =>
    hex(`07 00 0000 05000000 ${state} 02 00  0a00 0200 024d00000002 0000 ${more}`)
  const destination = '0800 0100 c0a84d02'
  const entry = { linkIndex: 5, mac, destination: '192.168.77.2', detour: '' }
  t.same(decodeForwarding(payload(destination)), entry)
  t.same(
    decodeForwarding(payload(`${destination} 0600 0600 0009 0000 0800 0700 07000000 0800 0800 03000000`)),
    {
      ...entry,
      detour: 'port 9 vni 7 via 3',
    },
  )
  t.equal(decodeForwarding(payload(destination, '0200')), null, 'learned')
  t.equal(decodeForwarding(payload('')), null, "a device's own MAC")
})

t.test('a rule by fwmark', async t => {
  const rule = { priority: 1095, source: '0.0.0.0/0', table: 2018, protocol: 109, fwmark: 0x12 }
  t.same(
    addRule(rule).payload,
    hex(`02 00 00 00 00 00 00 01 00000000
         0800 0600 47040000
         0800 0a00 12000000
         0800 0f00 e2070000
         0500 1500 6d 000000`),
  )
  t.match(decodeRule(Buffer.from(addRule(rule).payload)), { fwmark: 0x12, fwmask: null })
  const part = { ...rule, fwmark: 0, fwmask: 0xff }
  t.match(decodeRule(Buffer.from(addRule(part).payload)), part)
})

t.test('what is written of a VXLAN device and its entries is read again', async t => {
  const random = new Random(11)
  const address = () => random.ipv4()
  for (let i = 0; i < 300; i++) {
    const vxlan = { vni: random.between(1, 0xffffff), port: random.between(1, 65535), local: address() }
    t.same(decodeVxlan(encodeVxlan(vxlan)), {
      ...vxlan,
      learning: false,
      groupPolicy: true,
      byEntriesOnly: true,
    })
    const bytes = Array.from({ length: 6 }, () => random.between(0, 255).toString(16).padStart(2, '0'))
    const entry = { linkIndex: random.between(1, 1 << 20), mac: bytes.join(':') }
    const neighbour = { ...entry, address: address() }
    t.same(decodeNeighbour(Buffer.from(setNeighbour(neighbour).payload)), neighbour)
    const forwarding = { ...entry, destination: address() }
    t.same(decodeForwarding(Buffer.from(setForwarding(forwarding).payload)), { ...forwarding, detour: '' })
  }
})
