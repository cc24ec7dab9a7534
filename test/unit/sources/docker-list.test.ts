import t from 'tap'
import { parseList } from '../../../src/sources/docker-list.js'

const entry = (fields: object) => ({
  Id: 'a',
  State: 'running',
  Status: 'Up 5 minutes',
  Names: ['/web'],
  NetworkSettings: { Networks: { bridge: { IPAddress: '172.17.0.2' } } },
  ...fields,
})
const signature = (fields: object) => parseList([entry(fields)]).get('a')

t.test('a container’s signature stays the same while only time passes', async t => {
  t.equal(signature({}), signature({ Status: 'Up 6 minutes' }))
  t.equal(signature({ Status: 'Up 5 seconds (healthy)' }), signature({ Status: 'Up 2 days (healthy)' }))
})

t.test('state, health, name and networks change it', async t => {
  for (const fields of [
    { State: 'paused' },
    { Status: 'Up 5 minutes (unhealthy)' },
    { Names: ['/api'] },
    { NetworkSettings: { Networks: {} } },
  ])
    t.not(signature(fields), signature({}), JSON.stringify(fields))
})
