import t from 'tap'
import { type PublishedPort, parsePortSpec } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import type { Service } from '../../../src/model/service.js'
import { unitsOf } from '../../../src/planner/units.js'

function service(...specs: string[]): Service {
  const ports = specs.map(spec => parsePortSpec(spec) as PublishedPort)
  return { ...publicationOf('web'), ports, declaredBy: 'meshctl', problems: [] }
}

t.test('a single port is one virtual service whose fwmark names protocol and port', async t => {
  t.strictSame(unitsOf(service('8888:80')), [
    { fwmark: 0x122b8, protocol: 'tcp', ports: [8888], address: null, targetPort: 80, aliases: [] },
  ])
  t.equal(unitsOf(service('8888:80/udp'))[0]?.fwmark, 0x222b8)
  t.equal(unitsOf(service('8888:80/sctp'))[0]?.fwmark, 0x322b8)
})

t.test('a range with equal ports is one virtual service that keeps the port', async t => {
  const units = unitsOf(service('8000-8099:8000-8099'))
  t.equal(units.length, 1)
  t.equal(units[0]?.ports.length, 100)
  t.equal(units[0]?.targetPort, 0)
  t.equal(units[0]?.fwmark, 0x10000 | 8000)
})

t.test('a shifted range needs a virtual service for each port', async t => {
  const units = unitsOf(service('8000-8002:9000-9002'))
  t.strictSame(
    units.map(({ ports, targetPort }) => [ports, targetPort]),
    [
      [[8000], 9000],
      [[8001], 9001],
      [[8002], 9002],
    ],
  )
})

t.test('a second published port of the same target is an alias of the first', async t => {
  const units = unitsOf(service('8888:80', '10.0.0.1:9999:80', '9999:80/udp'))
  t.strictSame(
    units.map(({ protocol, ports, aliases }) => ({ protocol, ports, aliases })),
    [
      { protocol: 'tcp', ports: [8888], aliases: [{ port: 9999, address: '10.0.0.1' }] },
      { protocol: 'udp', ports: [9999], aliases: [] },
    ],
  )
})
