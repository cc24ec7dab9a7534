import t from 'tap'
import { byFwmark } from '../../../src/kernel/objects.js'
import { type PublishedPort, parsePortSpec } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import type { Service } from '../../../src/model/service.js'
import { matchOf, unitsOf } from '../../../src/planner/units.js'

const persistent = { persistence: 600 }

function service(...specs: string[]): Service {
  return serviceWith({}, ...specs)
}

function serviceWith(fields: Partial<Service>, ...specs: string[]): Service {
  const ports = specs.map(spec => parsePortSpec(spec) as PublishedPort)
  return { ...publicationOf('web'), ports, vip: null, declaredBy: 'meshctl', problems: [], ...fields }
}

t.test('a single port is one virtual service whose fwmark names protocol and port', async t => {
  t.strictSame(unitsOf(service('8888:80')), [
    {
      fwmark: 0x122b8,
      protocol: 'tcp',
      ports: [8888],
      address: null,
      targetPort: 80,
      aliases: [],
      byAddress: false,
    },
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
      { protocol: 'tcp', ports: [8888], aliases: [{ port: 9999, address: '10.0.0.1', canonical: 8888 }] },
      { protocol: 'udp', ports: [9999], aliases: [] },
    ],
  )
})

t.test(
  'a port whose target lies in a range that keeps its numbers is an alias too, whichever comes first',
  async t => {
    const range = '8000-8010:8000-8010'
    for (const specs of [
      [range, '9005:8005'],
      ['9005:8005', range],
    ]) {
      const units = unitsOf(service(...specs, '9006:8006/udp', '9011:8011'))
      t.strictSame(
        units.map(({ protocol, ports: [first], aliases }) => [protocol, first, aliases]),
        [
          ['tcp', 8000, [{ port: 9005, address: null, canonical: 8005 }]],
          ['udp', 9006, []],
          ['tcp', 9011, []],
        ],
      )
    }
  },
)

t.test('SCTP, which no set of ports knows, is matched by address, port by port', async t => {
  t.match(unitsOf(service('8000-8001:8000-8001/sctp', '9:9/sctp')), [
    { ports: [8000], targetPort: 8000, byAddress: true },
    { ports: [8001], targetPort: 8001, byAddress: true },
    { ports: [9], targetPort: 9, byAddress: true },
  ])
})

t.test('with persistence a port that is translated is matched by its address', async t => {
  const units = unitsOf(serviceWith(persistent, '8888:80', '9999:90'))
  t.match(units, [
    { byAddress: true, targetPort: 80 },
    { byAddress: true, targetPort: 90 },
  ])
  t.strictSame(matchOf(units[0]!, '10.254.0.1', 'inet'), { protocol: 6, address: '10.254.0.1', port: 8888 })
  t.strictSame(matchOf(unitsOf(service('8888:80'))[0]!, '10.254.0.1', 'inet6'), byFwmark(0x122b8, 'inet6'))
})

t.test('with persistence ports that are not translated stay together', async t => {
  const specs = ['80:80', '443:443', '8000-8001:8000-8001', '53:53/udp', '8888:80', '10.0.0.1:81:81']
  const units = unitsOf(serviceWith(persistent, ...specs))
  t.strictSame(
    units.map(({ fwmark, ports, targetPort, byAddress }) => [fwmark, ports, targetPort, byAddress]),
    [
      [0x10050, [80, 443, 8000, 8001], 0, false],
      [0x20035, [53], 0, false],
      [0x10051, [81], 0, false],
    ],
  )
  t.strictSame(units[0]?.aliases, [{ port: 8888, address: null, canonical: 80 }])
  const endpoints = [{ address: '10.1.2.3', port: 9000 }]
  t.match(unitsOf(serviceWith({ ...persistent, endpoints }, '80:80', '443:443')), [
    { ports: [80], byAddress: true },
    { ports: [443], byAddress: true },
  ])
})
