import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { substitute } from '../../../src/sources/compose-variables.js'

const environment = { PORT: '8080', EMPTY: '' }

t.test('variables are filled in', async t => {
  const cases = {
    'plain:80': 'plain:80',
    '$PORT:80': '8080:80',
    '${PORT}:80': '8080:80',
    '${OTHER:-90}:80': '90:80',
    '${EMPTY:-90}:80': '90:80',
    '${EMPTY-90}:80': ':80',
    '${OTHER-90}:80': '90:80',
    '${OTHER:-${PORT}}:80': '8080:80',
    '${OTHER:-}80': '80',
    '${PORT:?needed}': '8080',
    '${PORT:+90}${OTHER:+91}${EMPTY+92}': '9092',
    $$PORT: '$PORT',
    '$PORT-${PORT}': '8080-8080',
  }
  for (const [text, wanted] of Object.entries(cases)) t.equal(substitute(text, environment), wanted, text)
})

t.test('a variable without value, or what is none, is refused', async t => {
  const cases = {
    '$OTHER:80': /OTHER has no value; write \$\{OTHER:-default\}, or set OTHER/,
    '${OTHER}': /OTHER has no value/,
    '${OTHER:?choose a port}': /choose a port; set OTHER/,
    '${EMPTY:?}': /EMPTY has no value/,
    '${PORT': /not a variable/,
    '${}': /not a variable/,
    '80$': /not a variable/,
    $1: /not a variable/,
  }
  for (const [text, message] of Object.entries(cases))
    t.match(
      t.throws(() => substitute(text, environment), InputError, text),
      { message },
    )
})
