import t from 'tap'
import { placeOf } from '../../../src/netlink/template.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')
const bytes = hex(`05 01 0000
                   0c00 0180  0800 0500 01000000
                   1000 0280  0500 0100 07 000000  0400 0300`)

t.test('a value is found by the types that lead to it', async t => {
  t.equal(placeOf(bytes, 4, [1]), 8)
  t.equal(placeOf(bytes, 4, [1, 5]), 12)
  t.equal(placeOf(bytes, 4, [2, 1]), 24)
  t.equal(placeOf(bytes, 4, [2, 3]), 32)
})

t.test('what is not in the template is no place', async t => {
  t.throws(() => placeOf(bytes, 4, [3]), { message: 'the template has no attribute 3' })
  t.throws(
    () => placeOf(bytes, 4, [1, 1]),
    { message: 'the template has no attribute 1.1' },
    'not in the next nest',
  )
})
