import t from 'tap'
import {
  attributes,
  binary,
  flag,
  formatIPv4,
  i32,
  ipv4,
  netU16,
  netU32,
  netU64,
  parseIPv4,
  repeated,
  string,
  u8,
  u16,
  u16be,
  u32,
  u32be,
  wordOfIPv4,
} from '../../../src/netlink/attributes.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

const inner = attributes({ weight: [4, u32], name: [1, string] })
const table = attributes({
  small: [1, u8],
  port: [2, u16be],
  text: [3, string],
  nested: [4, inner],
  list: [5, repeated(inner)],
  there: [6, flag],
})

t.test('an attribute is length, type and value, padded to four bytes', async t => {
  t.same(table.encode({ small: 7 }), hex('0500 0100 07 000000'))
  t.same(table.encode({ port: 80 }), hex('0600 0200 0050 0000'))
  t.same(table.encode({ text: 'rr' }), hex('0700 0300 727200 00'))
  t.same(table.encode({ there: true }), hex('0400 0600'))
})

t.test('a nested attribute carries NLA_F_NESTED and its own attributes', async t => {
  t.same(table.encode({ nested: { weight: 1 } }), hex('0c00 0480  0800 0400 01000000'))
})

t.test('a repeated attribute occurs once for each item', async t => {
  t.same(
    table.encode({ list: [{ weight: 1 }, { weight: 2 }] }),
    hex('0c00 0580 0800 0400 01000000  0c00 0580 0800 0400 02000000'),
  )
})

t.test('values that are not given are left out', async t => {
  t.same(table.encode({}), Buffer.alloc(0))
  t.same(table.encode({ small: undefined }), Buffer.alloc(0))
})

t.test('ipset numbers say that they are in network order', async t => {
  const net = attributes({ a: [4, netU16], b: [8, netU32], c: [27, netU64] })
  t.same(net.encode({ a: 0x1234 }), hex('0600 0440 1234 0000'))
  t.same(net.encode({ b: 0x40 }), hex('0800 0840 00000040'))
  t.same(net.encode({ c: 0x1_00000002n }), hex('0c00 1b40 0000000100000002'))
})

t.test('an unknown attribute is skipped, whatever it holds', async t => {
  t.same(table.decode(hex('0900 6300 ffffffffff 000000  0500 0100 07 000000')), { small: 7 })
  t.same(table.decode(hex('0400 ff3f 0600 0200 0050 0000')), { port: 80 })
})

t.test('flags in the type do not hide an attribute', async t => {
  t.same(table.decode(hex('0600 0240 0050 0000')), { port: 80 })
  t.same(table.decode(hex('0c00 0400 0800 0400 01000000')), { nested: { weight: 1 } })
})

t.test('a damaged end loses only itself', async t => {
  t.same(table.decode(hex('0500 0100 07 000000 0900 0200')), { small: 7 }, 'longer than the buffer')
  t.same(table.decode(hex('0500 0100 07 000000 0300 0200')), { small: 7 }, 'shorter than its header')
  t.same(table.decode(hex('0500 0100 07 000000 05')), { small: 7 }, 'cut off in the header')
})

t.test('a value too short for its kind is an error, not a wrong value', async t => {
  t.throws(() => table.decode(hex('0500 0200 00 000000')), RangeError)
})

t.test('text ends at its NUL, or without one at its end', async t => {
  t.same(table.decode(hex('0900 0300 72720041 42 000000')), { text: 'rr' })
  t.same(table.decode(hex('0600 0300 7272 0000')), { text: 'rr' })
})

t.test('an IPv4 address as a number has the bytes of the address', async t => {
  for (const address of ['0.0.0.0', '10.0.200.1', '255.255.255.255', '1.2.3.4']) {
    const [word = 0] = Uint32Array.of(wordOfIPv4(address) ?? 0)
    t.same([...new Uint8Array(Uint32Array.of(word).buffer)], [...parseIPv4(address)])
  }
  for (const other of ['fd4d::1', '::', '::ffff:10.0.0.1', '64:ff9b::10.0.0.1'])
    t.equal(wordOfIPv4(other), null)
})

t.test('IPv4 addresses are read and written strictly', async t => {
  t.same([...parseIPv4('10.0.200.1')], [10, 0, 200, 1])
  t.equal(formatIPv4(Uint8Array.of(10, 0, 200, 1, 9, 9)), '10.0.200.1')
  for (const bad of ['', '10.0.0', '10.0.0.256', '10.0.0.1.2', '10.0.0.x', '10.0.0.-1', '::1', '10..0.1'])
    t.throws(() => parseIPv4(bad), RangeError, bad)
  t.throws(() => formatIPv4(Uint8Array.of(1, 2, 3)), RangeError)
})

t.test('whatever is encoded is decoded again', async t => {
  const all = attributes({
    a: [1, u8],
    b: [2, u16],
    c: [3, u32],
    d: [4, i32],
    f: [6, u16be],
    g: [7, u32be],
    h: [8, string],
    i: [9, ipv4],
    j: [10, binary],
    k: [11, attributes({ x: [1, netU64], y: [2, repeated(u32)] })],
  })
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed * 2654435761)
    const maybe = <T>(value: T) => (random.u32() % 4 ? value : undefined)
    const values = {
      a: maybe(random.between(0, 255)),
      b: maybe(random.between(0, 65535)),
      c: maybe(random.u32()),
      d: maybe(random.u32() | 0),
      f: maybe(random.between(0, 65535)),
      g: maybe(random.u32()),
      h: maybe('x'.repeat(random.between(0, 2000))),
      i: maybe(random.ipv4()),
      j: maybe(Buffer.alloc(random.between(1, 9), random.u32() & 0xff)),
      k: maybe({ x: BigInt(random.u32()), y: [random.u32(), random.u32()] }),
    }
    const wanted = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
    const bytes = all.encode(values)
    if (bytes.length % 4 !== 0) t.fail(`seed ${seed}: ${bytes.length} bytes are not aligned`)
    t.same(all.decode(bytes), wanted, `seed ${seed}`)
  }
})
