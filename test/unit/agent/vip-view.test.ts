/**
 * A service's VIP, names and endpoints as the API tells of them.
 */
import t from 'tap'
import { serviceView } from '../../../src/agent/service-view.js'
import type { DestinationReading } from '../../../src/kernel/objects.js'
import { keyOf } from '../../../src/kernel/objects.js'
import type { Endpoint } from '../../../src/model/mesh.js'
import type { Service } from '../../../src/model/service.js'
import { stacksOf } from '../../../src/planner/stack.js'
import { matchOf, type Unit, unitsOf } from '../../../src/planner/units.js'
import { vipRangesOf } from '../../../src/planner/vips.js'
import { countedOnce } from '../../../src/status/counted-once.js'
import { aService, service as serviceOf } from '../../helpers/services.js'

const endpoint: Endpoint = {
  id: '0123456789abcdef',
  name: 'web-1',
  kind: 'container',
  attachment: '0123456789abcdef',
  address: null,
  port: null,
  state: 'ready',
  weight: 5,
}

function reading(
  port: number,
  target: number,
  active: number,
  vip = '10.253.1.3',
  address = '10.254.0.3',
): [string, DestinationReading] {
  const service = { protocol: 6, address: vip, port }
  const object = {
    kind: 'destination' as const,
    service,
    address,
    port: target,
    weight: 5,
    drainingSince: 0,
  }
  return [keyOf(object), { ...object, active, inactive: 1 } as DestinationReading]
}

const stacks = stacksOf('10.254.0.0/16', 'fd4d:6573:68::/96')

const vipReadings = new Map([
  reading(80, 80, 1),
  reading(80, 80, 1, 'fd4d:6573:68:1::103', 'fd4d:6573:68::3'),
  reading(8080, 90, 3),
  reading(81, 81, 7),
])

function view(
  service: Service,
  domain: string | null = 'mesh',
  readings: ReadonlyMap<string, DestinationReading> = vipReadings,
) {
  return serviceView({
    service: { service, endpoints: [endpoint], callers: [] },
    origin: 'meshctl',
    domain,
    addressOf: () => '10.254.0.3',
    sandbox: '10.254.0.1',
    stacks,
    passages: new Map(),
    vips: vipRangesOf({ vipPool: '10.253.0.0/16', vipPool6: 'fd4d:6573:68:1::/96' }, stacks),
    readings,
    failureOf: () => null,
  })
}
const range = (first: number, last = first) => ({ first, last })

t.test(
  'a VIP answers at its own ports and at targets of published ports, counted together in both families',
  async t => {
    const vipPorts = [{ protocol: 'tcp' as const, port: range(8080, 8081), target: range(90, 91) }]
    const shown = view(
      aService('shop/web', 8888, { vip: '10.253.1.3', vipPorts, aliases: ['www', 'www.local'] }),
    )
    t.match(shown, {
      vip: '10.253.1.3',
      vipPorts: [
        { spec: '8080-8081:90-91/tcp', protocol: 'tcp', port: '8080-8081', target: '90-91' },
        { spec: '80/tcp', protocol: 'tcp', port: '80', target: '80' },
      ],
      vipEndpoints: [
        {
          container: 'web-1',
          id: '0123456789ab',
          address: '10.254.0.3',
          port: 0,
          state: 'ready',
          weight: 5,
          active: 5,
          inactive: 3,
        },
      ],
      names: ['web.shop.mesh', 'www.mesh', 'www.local'],
    })
    t.equal(shown.endpoints.length, 1, 'published ports are told of as before')
  },
)

t.test('a range whose target is another one counts the connections to all of its ports', async t => {
  const ports = [
    { protocol: 'tcp' as const, published: range(8000, 8001), target: range(90, 91), address: null },
  ]
  const [first, second] = unitsOf(aService('web', 1, { ports }))
  const of = (unit: Unit, active: number) => {
    const service = matchOf(unit, '10.254.0.1', 'inet')
    const object = { kind: 'destination' as const, service, address: '10.254.0.3', port: unit.targetPort }
    const full = { ...object, weight: 5, drainingSince: 0 }
    return [keyOf(full), { ...full, active, inactive: 1 } as DestinationReading] as const
  }
  const shown = view(aService('web', 1, { ports }), 'mesh', new Map([of(first!, 2), of(second!, 3)]))
  t.match(shown.endpoints, [{ published: '8000-8001/tcp', port: 0, active: 5, inactive: 2 }])
})

t.test('a service without VIP shows its endpoints by its ports, or by its name', async t => {
  t.match(view(aService('web', 8888)), { vip: null, vipPorts: [], vipEndpoints: [], names: ['web.mesh'] })
  const named = view(aService('web', 1, { ports: [], endpointMode: 'dnsrr' }))
  t.match(named, { vip: null, endpoints: [], vipEndpoints: [{ container: 'web-1', active: 0 }] })
  t.same(view(aService('web', 8888), null).names, [], 'no names are answered')
})

t.test('a name that DNS cannot carry is told of, unless there is another one', async t => {
  const long = 'w'.repeat(64)
  const fields = { vip: '10.253.1.3' }
  for (const name of [long, 'web..one', 'web.']) {
    const nameless = view(aService(name, 8888, fields))
    t.strictSame(nameless.names, [])
    t.match(nameless.problems, [/^nobody finds it by its name: .* --alias NAME$/])
    t.strictSame(view(aService(name, 8888, { ...fields, aliases: ['web'] })), {
      ...nameless,
      names: ['web.mesh'],
      aliases: ['web'],
      problems: [],
    })
    t.strictSame(view(aService(name, 8888, fields), null).problems, [], 'where there are no names at all')
  }
  t.strictSame(view(aService(`${long}/web`, 8888, fields)).problems, [], 'web.mesh is left')
  const alias = ['a', 'b', 'c', 'd']
    .map(each => each.repeat(62))
    .join('.')
    .slice(0, 200)
  t.match(view(aService('web', 8888, { aliases: [alias] }), 'd'.repeat(60)).problems, [/its alias a+\.b+/])
})

t.test('a port whose target lies in a range is answered at that target', async t => {
  const { endpoints } = view(serviceOf('web', ['8000-8010:8000-8010', '9005:8005']))
  t.strictSame(
    endpoints.map(({ published, port }) => [published, port]),
    [
      ['8000-8010/tcp', 0],
      ['9005/tcp', 8005],
    ],
  )
})

t.test('connections of a range are counted once, whatever other ports lead into it', async t => {
  const active = (ports: readonly string[], connections: readonly number[]) => {
    const service = serviceOf('web', ports)
    const readings = unitsOf(service).map((unit, i) => {
      const match = matchOf(unit, '10.254.0.1', 'inet')
      const object = {
        kind: 'destination' as const,
        service: match,
        address: '10.254.0.3',
        port: unit.targetPort,
      }
      const full = { ...object, weight: 5, drainingSince: 0, active: connections[i]!, inactive: 0 }
      return [keyOf(full), full] as const
    })
    const shown = countedOnce(view(service, 'mesh', new Map(readings)))
    return shown.reduce((sum, each) => sum + each.active, 0)
  }
  t.equal(active(['8000-8010:8000-8010', '9005:8005'], [7]), 7)
  t.equal(active(['9005:8005', '8000-8010:8000-8010', '9006:8006'], [7]), 7)
  t.equal(active(['8080:80', '8081-8082:80-81'], [2, 3]), 5, 'a shifted range, whose first port is shared')
  t.equal(active(['8080:80', '8081:80', '9090:90'], [2, 3]), 5)
})
