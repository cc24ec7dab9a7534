import { readFileSync } from 'node:fs'
import t from 'tap'
import { errorCodes } from '../../src/errors.js'

t.test('the README lists exactly the error codes there are, with the same words', async t => {
  const rows = readFileSync('README.md', 'utf8').matchAll(/^\| `(MESH_[A-Z_]+)` \| (.*) \|$/gm)
  t.strictSame(Object.fromEntries([...rows].map(([, code, words]) => [code, words])), errorCodes)
})
