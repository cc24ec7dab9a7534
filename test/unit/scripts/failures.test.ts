import t from 'tap'
import { details, type Figure, markdown, type Row, unclean, worse } from '../../../scripts/failures/report.js'

const none: Figure = { requests: 400, failed: [], clean: 0 }
const some: Figure = {
  requests: 400,
  failed: [
    { at: 1.25, entry: '192.168.77.1', code: 'ETIMEDOUT' },
    { at: -0.01, entry: '192.168.77.2', code: 'ECONNRESET' },
  ],
  clean: 1.25,
}
const row = (title: string, mesh: Figure, docker: Figure, lasting = false): Row => ({
  title,
  mesh,
  docker,
  lasting,
})

t.test('the table has both meshes side by side', async t => {
  t.equal(
    markdown([
      row('power', none, some),
      row('loss', some, some, true),
      row('link', { ...some, clean: null }, none),
    ]),
    `
| failure | mesh: failed | clean after | Docker's: failed | clean after |
|---------|--------------|-------------|------------------|-------------|
| power   | 0 of 400     | 0 s         | 2 of 400         | 1.3 s       |
| loss    | 2 of 400     | –           | 2 of 400         | –           |
| link    | 2 of 400     | not clean   | 0 of 400         | 0 s         |`.trim(),
  )
})

t.test('what failed is told by the second in which it began', async t => {
  t.same(details(some), ['-1 s: 1 ECONNRESET through 192.168.77.2', '1 s: 1 ETIMEDOUT through 192.168.77.1'])
})

t.test('a mesh that fails to the end is unclean, unless the cause goes on', async t => {
  const rows = [
    row('a', { ...some, clean: null }, none),
    row('b', { ...some, clean: null }, none, true),
    row('c', some, { ...some, clean: null }),
  ]
  t.same(
    unclean(rows).map(({ title }) => title),
    ['a'],
  )
})

t.test('worse is what costs clients of the mesh more requests', async t => {
  t.same(
    worse([row('a', some, none), row('b', some, some), row('c', none, some)]).map(({ title }) => title),
    ['a'],
  )
})
