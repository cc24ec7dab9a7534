import t from 'tap'
import { sectionOf, wayBackFrame, wayBackRule, wayBackSection } from '../../../src/planner/way-back.js'
import { describe } from '../../../src/status/describe.js'

const text = (rules: ReturnType<typeof wayBackFrame>) =>
  rules.map(object => describe({ type: 'add', object }).replace('ip rule add from 0.0.0.0/0 ', ''))

t.test('what bears no number of a node is past all rules after the first', async t => {
  t.strictSame(text(wayBackFrame()), ['fwmark 0x0 goto 32766 priority 1095', 'goto 32766 priority 1098'])
})

t.test('the first 63 nodes need no section, all others share one with 63 more', async t => {
  t.strictSame([1, 63, 64, 127, 128, 65_535].map(sectionOf), [0, 0, 1, 1, 2, 1023])
  t.strictSame(text([wayBackRule(63)]), ['fwmark 0x3f lookup 65599 priority 1097'])
  t.strictSame(text([...wayBackSection(1), wayBackRule(64)]), [
    'fwmark 0x40/0xffffffc0 goto 2002 priority 1096',
    'goto 32766 priority 2003',
    'fwmark 0x40 lookup 65600 priority 2002',
  ])
  t.strictSame(text([...wayBackSection(1023), wayBackRule(65_535)]), [
    'fwmark 0xffc0/0xffffffc0 goto 4046 priority 1096',
    'goto 32766 priority 4047',
    'fwmark 0xffff lookup 131071 priority 4046',
  ])
})
