import t from 'tap'
import { errnoName } from '../../../src/netlink/errno.js'
import { decodeAnswer, decodeMessages, type Message } from '../../../src/netlink/message.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')
const only = (bytes: Buffer): Message => {
  const [message, ...rest] = decodeMessages(bytes)
  if (!message || rest.length) throw new Error('not one message')
  return message
}

t.test('messages are split at their aligned ends', async t => {
  const bytes = hex(`11000000 1800 0000 01000000 00000000 aa 000000
                     10000000 1900 0000 02000000 00000000`)
  t.same(
    decodeMessages(bytes).map(({ type, payload }) => [type, payload.toString('hex')]),
    [
      [0x18, 'aa'],
      [0x19, ''],
    ],
  )
})

t.test('a damaged message ends the list and is not in it', async t => {
  t.same(decodeMessages(hex('0f000000 1800 0000 01000000 00000000')), [], 'length below the header')
  t.same(decodeMessages(hex('20000000 1800 0000 01000000 00000000')), [], 'length above the buffer')
  t.same(decodeMessages(hex('1000')), [], 'half a header')
})

t.test('an error answer gives a positive errno', async t => {
  const answer = hex('24000000 0200 0001 05000000 00000000  efffffff  1c000000 1800 0506 05000000 00000000')
  t.same(decodeAnswer(only(answer)), { errno: 17, kernelMessage: null })
})

t.test('an acknowledgement is errno 0', async t => {
  const answer = hex('24000000 0200 0001 05000000 00000000  00000000  1c000000 1800 0506 05000000 00000000')
  t.same(decodeAnswer(only(answer)), { errno: 0, kernelMessage: null })
})

t.test("the kernel's own words are found after a capped quotation", async t => {
  const answer = hex(`2f000000 0200 0003 05000000 00000000  eaffffff  1c000000 1800 0506 05000000 00000000
                      0b00 0100 6261642069 6400 00`)
  t.same(decodeAnswer(only(answer)), { errno: 22, kernelMessage: 'bad id' })
})

t.test("the kernel's own words are found after a full quotation, between other attributes", async t => {
  const answer =
    hex(`3c000000 0200 0002 05000000 00000000  eaffffff  14000000 1800 0506 05000000 00000000 ffffffff
                      0800 0200 04000000  0900 0100 6e6f70652100 0000`)
  t.same(decodeAnswer(only(answer)), { errno: 22, kernelMessage: 'nope!' })
})

t.test('the end of a dump may carry an error', async t => {
  t.same(decodeAnswer(only(hex('14000000 0300 0200 05000000 00000000 fcffffff'))).errno, 4)
  t.same(decodeAnswer(only(hex('14000000 0300 0200 05000000 00000000 00000000'))).errno, 0)
  t.same(decodeAnswer(only(hex('10000000 0300 0200 05000000 00000000'))).errno, 0, 'without any')
})

t.test('errno values have the names that people know', async t => {
  t.equal(errnoName(17), 'EEXIST')
  t.equal(errnoName(11), 'EAGAIN')
  t.equal(errnoName(95), 'EOPNOTSUPP')
  t.equal(errnoName(524), 'ENOTSUPP')
  t.equal(errnoName(4100), 'IPSET_ERR_BUSY')
  t.equal(errnoName(4103), 'IPSET_ERR_EXIST')
  t.equal(errnoName(4353), 'IPSET_ERR_TYPE_SPECIFIC+1')
  t.equal(errnoName(9999), 'errno 9999')
})
