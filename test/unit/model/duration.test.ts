import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatDuration, parseDrain, parseDuration } from '../../../src/model/duration.js'

t.test('a length of time is read in any of its forms', async t => {
  const cases: [string | number, number][] = [
    ['30s', 30],
    ['2m', 120],
    ['500ms', 0.5],
    ['1h', 3600],
    ['1m30s', 90],
    ['1h500ms', 3600.5],
    ['1.5s', 1.5],
    ['0', 0],
    ['45', 45],
    [45, 45],
    [' 5s ', 5],
  ]
  for (const [text, wanted] of cases) t.equal(parseDuration(text), wanted, String(text))
})

t.test('what is no length of time, or too long, is refused', async t => {
  for (const text of ['', 's', '5x', '-5s', '5 s', '30s1m', '1m1m', 'NaN', '1e3'])
    t.throws(() => parseDuration(text, 'drain'), InputError, text)
  t.match(
    t.throws(() => parseDrain('25h')),
    {
      message: 'drain "25h": 25h is outside 0s–24h; choose a length from 0s to 24h',
    },
  )
  t.equal(parseDrain('24h'), 86_400)
})

t.test('a length of time is written as it is read', async t => {
  for (const text of ['0s', '500ms', '30s', '1m30s', '1h', '1h1ms', '24h'])
    t.equal(formatDuration(parseDuration(text)), text)
})
