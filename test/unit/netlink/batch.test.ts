import t from 'tap'
import { Batch } from '../../../src/netlink/batch.js'
import { decodeMessages } from '../../../src/netlink/message.js'
import type { Writer } from '../../../src/netlink/writer.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')
const empty = { flags: 0, payload: Buffer.alloc(0) }

t.test('a batch asks the acknowledgement of its last message only', async t => {
  const batch = new Batch()
  batch.begin(7)
  batch.add({ flags: 0x600, payload: hex('0102030405') }, 0x18)
  batch.add(empty, 0x19)
  t.equal(batch.length, 40)
  t.same(
    batch.end('last'),
    hex(`15000000 1800 0106 07000000 00000000 0102030405 000000
         10000000 1900 0500 08000000 00000000`),
  )
})

t.test('sequence numbers wrap around', async t => {
  const batch = new Batch()
  batch.begin(0xffffffff)
  batch.add(empty, 1)
  batch.add(empty, 1)
  t.same(
    decodeMessages(batch.end('none')).map(m => m.sequence),
    [0xffffffff, 0],
  )
})

t.test('nothing of an earlier batch is left in the next one', async t => {
  const batch = new Batch()
  batch.begin(1)
  for (let i = 0; i < 100; i++) batch.add({ flags: 0, payload: Buffer.alloc(33, 0xff) }, 0x18)
  t.equal(batch.end('last').length, 100 * 52)
  batch.begin(1)
  t.same(batch.end('last'), Buffer.alloc(0))
  batch.add({ flags: 0, payload: hex('01') }, 0x18)
  t.same(batch.end('none'), hex('11000000 1800 0100 01000000 00000000 01 000000'))
})

t.test('a request may write its own payload', async t => {
  const batch = new Batch()
  batch.begin(1)
  const writeTo = (out: { append(bytes: Uint8Array): void }) => out.append(hex('0a0b'))
  batch.add({ flags: 0, payload: hex('ffff'), writeTo }, 0x18)
  t.same(batch.end('none'), hex('12000000 1800 0100 01000000 00000000 0a0b 0000'))
})

t.test('an item is written without a request', async t => {
  const batch = new Batch()
  const writer = {
    family: 'IPVS',
    write(item: number, out: Writer) {
      if (item === 0) return false
      out.append(Uint8Array.of(...new Uint8Array(16), item))
      return true
    },
  }
  batch.begin(4)
  t.ok(batch.addItem(0x0a, writer, 0x18))
  t.notOk(batch.addItem(0, writer, 0x18))
  batch.addItem(0x0b, writer, 0x18)
  t.same(
    batch.end('last'),
    hex(`11000000 1800 0100 04000000 00000000 0a 000000
         11000000 1800 0500 05000000 00000000 0b 000000`),
  )
})
