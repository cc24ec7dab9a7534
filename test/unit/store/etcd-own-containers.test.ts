import t from 'tap'
import { clusterKeys } from '../../../src/store/cluster-keys.js'
import { containerChanges } from '../../../src/store/etcd-own-containers.js'
import { put, remove } from '../../../src/store/etcd-wire.js'

const keys = clusterKeys('/mesh/')
const own = { name: 'n1', lease: '7' }

const changes = (written: Record<string, string>, wanted: Record<string, string>) =>
  containerChanges(keys, own, new Map(Object.entries(written)), new Map(Object.entries(wanted)))

t.test(
  'what is new or different is written under the lease, what is gone removed, and the rest left',
  async t => {
    t.same(changes({ same: '1', other: '1', gone: '1' }, { same: '1', other: '2', new: '3' }), [
      put('/mesh/containers/n1/other', '2', '7'),
      put('/mesh/containers/n1/new', '3', '7'),
      remove('/mesh/containers/n1/gone'),
    ])
    t.same(changes({ a: '1' }, { a: '1' }), [])
  },
)

t.test('what hangs on another lease is told again', async t => {
  t.same(changes({ a: '' }, { a: '1' }), [put('/mesh/containers/n1/a', '1', '7')])
})
