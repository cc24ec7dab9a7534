/**
 * Aligned columns.
 */
import t from 'tap'
import { count, formatTable } from '../../../src/cli/table.js'

t.test('columns are as wide as their widest cell, and no line ends in spaces', async t => {
  t.equal(
    formatTable(['A', 'LONG HEAD', 'C'], [['1', 'x', ''], ['1–2', 'y', 'z'], ['3']]),
    ['A    LONG HEAD  C', '1    x', '1–2  y          z', '3'].join('\n'),
  )
  t.equal(formatTable(['A', 'B'], []), 'A  B')
})

t.test('nouns follow their number', async t => {
  t.equal(count(1, 'port'), '1 port')
  t.equal(count(0, 'port'), '0 ports')
})
