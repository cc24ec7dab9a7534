import t from 'tap'
import { attributes } from '../../../src/netlink/attributes.js'
import { formatIPv6, ip, parseIPv6 } from '../../../src/netlink/ip.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

t.test('an IPv6 address has one text, that of RFC 5952', async t => {
  const table: [bytes: string, text: string][] = [
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['fd4d6573006800000000000000000003', 'fd4d:6573:68::3'],
    ['fd4d6573006800010000000000000103', 'fd4d:6573:68:1::103'],
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['20010000000000010000000000000001', '2001:0:0:1::1'],
    ['fe800000000000000000000000000000', 'fe80::'],
    ['00000000000000000000ffff0a000001', '::ffff:10.0.0.1'],
  ]
  for (const [bytes, text] of table) {
    t.equal(formatIPv6(hex(bytes)), text)
    t.same(Buffer.from(parseIPv6(text)), hex(bytes), text)
  }
})

t.test('other ways of writing it are understood', async t => {
  const same = parseIPv6('fd4d:6573:68::3')
  for (const text of ['FD4D:6573:0068::3', 'fd4d:6573:68:0:0:0:0:3', 'fd4d:6573:68::0.0.0.3'])
    t.same(parseIPv6(text), same, text)
})

t.test('what is no IPv6 address is refused', async t => {
  const wrong = [
    '',
    ':',
    '1',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    '::1%lo',
  ]
  for (const text of [...wrong, '1:2:3:4:5:6:7::8:9', '::1.2.3', '::1/128'])
    t.throws(() => parseIPv6(text), RangeError, `"${text}"`)
  t.throws(() => formatIPv6(hex('0a000001')), RangeError)
})

t.test('an attribute is as long as its address', async t => {
  const table = attributes({ address: [1, ip] })
  t.same(table.encode({ address: '10.0.0.1' }), hex('0800 0100 0a000001'))
  t.same(table.encode({ address: '::1' }), hex('1400 0100 00000000 00000000 00000000 00000001'))
  for (const address of ['10.0.0.1', 'fd4d:6573:68::3'])
    t.same(table.decode(table.encode({ address })), { address })
})

t.test('any address comes back as it was', async t => {
  const random = new Random(6)
  for (let i = 0; i < 500; i++) {
    const bytes = Uint8Array.from({ length: 16 }, () =>
      random.between(0, 2) === 0 ? random.between(0, 255) : 0,
    )
    t.same(parseIPv6(formatIPv6(bytes)), bytes, formatIPv6(bytes))
  }
})
