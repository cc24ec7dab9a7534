import t from 'tap'
import {
  addEntry,
  createSet,
  decodeEntryCommand,
  deleteEntry,
  destroySet,
  formatElement,
  listEntries,
  listSets,
  parseElement,
} from '../../../src/netlink/ipset.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

t.test('a port map is created over all ports, with room for marks', async t => {
  const request = createSet({ name: 'mesh-tcp', type: 'bitmap:port', skbinfo: true })
  t.equal(request.type, 0x602)
  t.equal(request.flags, 0x600, 'create, and refuse one that is there')
  t.same(
    request.payload,
    hex(`02 00 0000
         0500 0100 06 000000
         0d00 0200 6d6573682d74637000 000000
         1000 0300 6269746d61703a706f727400
         0500 0400 03 000000
         0500 0500 00 000000
         1c00 0780
           0600 0440 0000 0000
           0600 0540 ffff 0000
           0800 0840 00000040`),
  )
})

t.test('a hash knows its family and its greatest size', async t => {
  const { payload } = createSet({ name: 'm', type: 'hash:ip', skbinfo: false, maximum: 10 })
  t.same(
    payload,
    hex(`02 00 0000
         0500 0100 06 000000
         0600 0200 6d00 0000
         0c00 0300 686173683a697000
         0500 0400 04 000000
         0500 0500 02 000000
         0c00 0780  0800 1340 0000000a`),
  )
})

t.test('a port gets its mark in the upper half and a full mask in the lower', async t => {
  const request = addEntry('m', '8888', 0x122b8)
  t.equal(request.type, 0x609)
  t.equal(request.flags, 0, 'an element that is there is no error')
  t.equal(request.subject, '8888 to set m')
  t.same(
    request.payload,
    hex(`02 00 0000
         0500 0100 06 000000
         0600 0200 6d00 0000
         1800 0780
           0600 0440 22b8 0000
           0c00 1b40 000122b8 ffffffff`),
  )
})

t.test('addresses are nested and in network order', async t => {
  t.same(
    deleteEntry('m', '10.0.0.1,tcp:80').payload,
    hex(`02 00 0000
         0500 0100 06 000000
         0600 0200 6d00 0000
         2000 0780
           0c00 0180 0800 0140 0a000001
           0600 0440 0050 0000
           0500 0700 06 000000`),
  )
})

t.test('elements are parsed and printed as ipset writes them', async t => {
  const elements = [
    '8888',
    '0',
    '10.0.0.1',
    '10.0.0.0/8',
    '10.0.0.1,tcp:80',
    '10.0.0.1,sctp:1',
    '10.0.0.1,47:0',
  ]
  const pairs = ['172.17.0.2,10.254.0.3', '172.17.0.0/16,10.254.0.0/24']
  const six = [
    'fd4d::1',
    'fd4d::/64',
    'fd4d::1,tcp:80',
    'fd4d::1,47:0',
    'fd4d::2,fd4d::3',
    '8000::/1,fd4d::3',
  ]
  for (const element of [...elements, ...pairs, ...six])
    t.equal(formatElement(parseElement(element)), element)
})

t.test('an address of IPv6 is another attribute, and its set another family', async t => {
  t.same(
    addEntry('m', 'fd4d::1', null).payload,
    hex(`02 00 0000
         0500 0100 06 000000
         0600 0200 6d00 0000
         1c00 0780  1800 0180  1400 0240 fd4d0000 00000000 00000000 00000001`),
  )
  const { payload } = createSet({ name: 'm', type: 'hash:ip', family: 10, skbinfo: false })
  t.ok((payload as Buffer).includes(hex('0500 0500 0a 000000')), 'IPSET_ATTR_FAMILY, NFPROTO_IPV6')
})

t.test('what is no element is refused', async t => {
  for (const bad of [
    '',
    'x',
    '65536',
    '1,2,3',
    '10.0.0.1,tcp:',
    '10.0.0.1,nix:1',
    '10.0.0.1/33',
    '10.0.0.1/0',
    'fd4d::1/129',
    'fd4d::/0',
  ])
    t.throws(() => parseElement(bad), RangeError, bad)
  t.throws(() => addEntry('m', '10.0.0.300', null), RangeError)
})

t.test('a set is listed by its first message only', async t => {
  const first = hex(`02 00 0000
    0500 0100 06 000000
    0600 0200 6d00 0000
    1000 0300 6269746d61703a706f727400
    2400 0780
      0800 0840 00000040
      0800 1940 00000002
      0800 1a40 00020080
      0800 6340 00000001`)
  t.same(listSets().decode(first, 0x607), {
    name: 'm',
    type: 'bitmap:port',
    family: 2,
    skbinfo: true,
    references: 2,
    maximum: null,
  })
  t.equal(listSets().decode(hex('02 00 0000 0600 0200 6d00 0000'), 0x607), null)
})

t.test('elements are listed with their marks', async t => {
  const payload = hex(`02 00 0000
    0500 0100 06 000000
    0600 0200 6d00 0000
    2c00 0880
      1800 0780  0600 0440 22b8 0000  0c00 1b40 000122b8 ffffffff
      1000 0780  0600 0440 0050 0000  0400 6300`)
  t.same(listEntries('m').decode(payload, 0x607), [
    { set: 'm', element: '8888', mark: 0x122b8 },
    { set: 'm', element: '80', mark: null },
  ])
  t.same(listEntries(null).decode(hex('02 00 0000 0600 0200 6d00 0000'), 0x607), [], 'none is an empty list')
})

t.test('every element that is sent can be read back', async t => {
  const names = ['tcp', 'udp', 'sctp']
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed * 69621)
    const element = random.pick([
      String(random.between(0, 65535)),
      random.ipv4(),
      `${random.ipv4()},${random.pick(names)}:${random.between(0, 65535)}`,
      `${random.ipv4()},${random.ipv4()}/${random.between(1, 31)}`,
    ])
    const { payload } = addEntry('m', element, random.u32())
    const { data } = decodeEntryCommand(payload as Buffer) as { data: Parameters<typeof formatElement>[0] }
    t.equal(formatElement(data), element, `seed ${seed}`)
  }
})

t.test('destroying names the set', async t => {
  t.same(destroySet('m').payload, hex('02 00 0000 0500 0100 06 000000 0600 0200 6d00 0000'))
})
