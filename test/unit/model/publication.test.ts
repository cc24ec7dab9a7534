import t from 'tap'
import { parseScheduler, publicationOf } from '../../../src/model/publication.js'

t.test('a publication has defaults for all but its name', async t => {
  t.strictSame(publicationOf('web'), {
    name: 'web',
    ports: [],
    selector: null,
    endpoints: [],
    scheduler: 'rr',
    drain: 30,
    vip: 'auto',
    vipPorts: [],
    endpointMode: 'vip',
    persistence: 0,
    weights: [],
    aliases: [],
    scopes: [],
  })
  t.match(publicationOf('web', { scheduler: 'lc', drain: 0 }), { scheduler: 'lc', drain: 0 })
})

t.test('a scheduler is one of the kernel’s', async t => {
  t.equal(parseScheduler('mh'), 'mh')
  t.throws(() => parseScheduler('round-robin'), { code: 'MESH_BAD_INPUT', remedy: /use rr, wrr/ })
})
