import t from 'tap'
import type { Container } from '../../../src/model/container.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Service } from '../../../src/model/service.js'
import type { Node } from '../../../src/model/snapshot.js'
import { parseVipPort } from '../../../src/model/vip-ports.js'
import { AddressBook } from '../../../src/planner/addresses.js'
import type { PlanSettings } from '../../../src/planner/base.js'
import { createPlanner } from '../../../src/planner/plan.js'
import type { Plan } from '../../../src/planner/slices.js'
import { container, containerSnapshot } from '../../helpers/containers.js'
import { planSettings } from '../../helpers/plan-settings.js'
import { aService } from '../../helpers/services.js'

const node: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.254.0.0/16',
  addresses: [],
  membership: null,
}
const settings: PlanSettings = {
  ...planSettings,
  vipPool: '10.253.0.0/16',
}
const merge = createMerge()
const book = new AddressBook(node.subnet)
const planner = createPlanner(settings)
const plan = (services: Service[], containers: Container[]): Plan =>
  planner(merge(services, containerSnapshot(containers), node), node, id => book.assign(id))

const web = container('web', { labels: { app: 'web' }, addresses: ['172.17.0.2'] })
const friend = container('friend', { labels: { 'mesh.scope': 'team' }, addresses: ['172.17.0.3'] })

function service(name: string, ports: string[], fields: Partial<Service> = {}): Service {
  const vipPorts = ports.map(text => parseVipPort(text))
  return aService(name, 1, {
    ports: [],
    selector: { app: 'web' },
    vipPorts,
    endpointMode: 'dnsrr',
    ...fields,
  })
}

/** The slices of endpoints that are called directly: their elements, each with its set. */
function direct(made: Plan): Record<string, string[]> {
  const slices = [...made].filter(([name]) => name.startsWith('direct '))
  return Object.fromEntries(
    slices.map(([name, slice]) => [
      name,
      slice.map(object => (object.kind === 'entry' ? `${object.set} ${object.element}` : object.kind)),
    ]),
  )
}

t.test('an endpoint is called at the ports of all its dnsrr services, and at no other', async t => {
  const one = service('one', ['8080:80', '53/udp'])
  const two = service('two', ['80', '443'])
  const made = plan([one, two], [web])
  t.strictSame(direct(made), {
    'direct 10.254.0.3': [
      'mesh-direct 10.254.0.3,tcp:80',
      'mesh-direct 10.254.0.3,udp:53',
      'mesh-direct 10.254.0.3,tcp:443',
    ],
  })
  const again = plan([one, two], [web])
  t.equal(
    again.get('direct 10.254.0.3'),
    made.get('direct 10.254.0.3'),
    'the same as long as nothing changes',
  )
  t.strictSame(direct(plan([two], [web]))['direct 10.254.0.3'], [
    'mesh-direct 10.254.0.3,tcp:80',
    'mesh-direct 10.254.0.3,tcp:443',
  ])
})

t.test('one that is not ready, or behind a VIP, is not', async t => {
  t.strictSame(direct(plan([service('one', ['80'])], [{ ...web, health: 'starting' }])), {})
  t.strictSame(direct(plan([service('one', ['80'], { endpointMode: 'vip', vip: '10.253.0.5' })], [web])), {})
})

t.test('with a scope, by callers that share it', async t => {
  const scoped = service('one', ['80'], { scopes: ['team'] })
  t.strictSame(direct(plan([scoped], [web, friend])), {
    'direct 10.254.0.3': [
      'mesh-allowed 172.17.0.2,10.254.0.3',
      'mesh-allowed 10.254.0.3,10.254.0.3',
      'mesh-allowed 172.17.0.3,10.254.0.3',
      'mesh-scoped 10.254.0.3',
      'mesh-direct 10.254.0.3,tcp:80',
    ],
  })
})
