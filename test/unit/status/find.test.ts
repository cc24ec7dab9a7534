/**
 * Finding services by name or port.
 */
import t from 'tap'
import { findService, formatPortKey, parsePortKey } from '../../../src/status/find.js'
import type { ServiceView } from '../../../src/status/views.js'
import { withoutVip } from '../../helpers/services.js'

function view(name: string, ...ports: string[]): ServiceView {
  return {
    name,
    ports: ports.map(text => {
      const [published = '', protocol = ''] = text.split('/')
      return { spec: '', protocol, published, target: '80', address: null, fwmark: '0x1' }
    }),
    scheduler: 'rr',
    drain: 30,
    selector: null,
    origin: 'meshctl',
    problems: [],
    endpoints: [],
    ...withoutVip,
  }
}

const services = [
  view('web', '8888/tcp'),
  view('dns', '53/tcp', '53/udp'),
  view('game', '53/sctp', '8000-8099/udp'),
  view('80', '81/tcp'),
]

t.test('a port key is a published port however it is written', async t => {
  const tcp = { protocol: 'tcp', published: { first: 8888, last: 8888 } }
  t.same(parsePortKey('8888'), tcp)
  t.same(parsePortKey('8888/tcp'), tcp)
  t.same(parsePortKey('8888:80'), tcp)
  t.same(parsePortKey('10.0.0.1:8888:80/tcp'), tcp)
  t.same(parsePortKey('8000-8099:8000-8099/udp'), { protocol: 'udp', published: { first: 8000, last: 8099 } })
  for (const text of ['8888/tcp', '53/udp', '7/sctp', '8000-8099/udp'])
    t.equal(formatPortKey(parsePortKey(text)), text)
  for (const text of ['x', '', '9-8', '80/quic'])
    t.throws(() => parsePortKey(text), { code: 'MESH_BAD_INPUT', field: 'port', value: text }, text)
})

t.test(
  'a service is found by name first, then by port, with or without protocol, also within a range',
  async t => {
    for (const [text, name] of [
      ['web', 'web'],
      ['8888', 'web'],
      ['8888/TCP', 'web'],
      ['53/udp', 'dns'],
      ['53/sctp', 'game'],
      ['8050', 'game'],
      ['80', '80'],
      ['81', '80'],
    ] as const)
      t.equal(findService(services, text).name, name, text)
  },
)

t.test('what is not published says so, and what is ambiguous asks for the protocol', async t => {
  t.throws(() => findService(services, 'nope'), { code: 'MESH_NOT_FOUND', message: /^service "nope"/ })
  for (const text of ['8888/udp', '8100', '7999', '70000'])
    t.throws(() => findService(services, text), { code: 'MESH_NOT_FOUND', message: /^port / }, text)
  t.throws(() => findService(services, '53'), {
    code: 'MESH_BAD_INPUT',
    message: 'port "53": dns and game publish it; write the protocol too, as in 53/udp',
  })
})
