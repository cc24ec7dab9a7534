import t from 'tap'
import { createMerge } from '../../../src/model/merge.js'
import type { Node } from '../../../src/model/snapshot.js'
import { passageOf, passagesOf } from '../../../src/planner/passage.js'
import { createPlanner } from '../../../src/planner/plan.js'
import { planOf } from '../../../src/planner/slices.js'
import { ipv4, ipv4Of, stacksOf } from '../../../src/planner/stack.js'
import { containerSnapshot } from '../../helpers/containers.js'
import { planSettings } from '../../helpers/plan-settings.js'
import { aService } from '../../helpers/services.js'

const pool = '10.254.0.0/16'
const pool6 = 'fd4d:6573:68::/96'
const stacks = stacksOf(pool, pool6)
const [, six] = stacks as [typeof ipv4, typeof ipv4]

t.test('every node has an address of its own for one endpoint', async t => {
  const table: [number: number, pool: string, endpoint: string, four: string][] = [
    [1, pool, '10.254.1.3', '240.1.1.3'],
    [3, pool, '10.254.1.5', '240.3.1.5'],
    [300, pool, '10.254.1.5', '241.44.1.5'],
    [4095, pool, '10.254.255.254', '255.255.255.254'],
    [4097, pool, '10.254.1.5', '240.1.1.5'],
    [3, '10.64.0.0/12', '10.65.1.5', '240.49.1.5'],
    [3, '172.31.0.0/20', '172.31.1.5', '240.0.49.5'],
  ]
  for (const [number, of, endpoint, four] of table) {
    const passage = passageOf(number, of, ipv4)
    t.equal(passage.address(endpoint), four)
    t.equal(passage.ipv4(four), endpoint)
  }
  t.equal(passageOf(3, pool, ipv4).subnet('10.254.1.0/24'), '240.3.1.0/24')
})

t.test('so it has in IPv6', async t => {
  const passage = passageOf(300, pool, six)
  t.equal(passage.address('10.254.1.5'), 'fd4d:6573:68:ffff:12c::105')
  t.equal(passage.subnet('10.254.1.0/24'), 'fd4d:6573:68:ffff:12c::100/120')
  t.equal(passage.ipv4('fd4d:6573:68:ffff:12c::105'), '10.254.1.5')
})

t.test('addresses of other nodes are none of its own', async t => {
  t.equal(passageOf(3, pool, ipv4).ipv4('240.4.1.5'), null)
  t.equal(passageOf(3, pool, ipv4).ipv4('10.254.1.5'), null)
  t.equal(passageOf(3, pool, six).ipv4('fd4d:6573:68:ffff:4::105'), null)
})

const remote = { node: 'node2', id: 'a1', name: 'web.1', labels: { app: 'web' }, address: '10.254.1.3' }
const node: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool,
  addresses: ['192.0.2.1'],
  membership: {
    number: 1,
    address: '192.0.2.1',
    vni: 4097,
    port: 8473,
    mtu: 1450,
    peers: [
      {
        name: 'node2',
        number: 2,
        subnet: '10.254.1.0/24',
        address: '192.0.2.2',
        ipv6: { pool: pool6, vipPool: null },
      },
    ],
    privateNetworks: [],
  },
}

t.test('by it, and not by its own address, an endpoint of another node is a destination', async t => {
  const planner = createPlanner({ ...planSettings, ipv6: { pool: pool6, formers: [] } })
  const mesh = createMerge()(
    [aService('web', 8888, { selector: { app: 'web' } })],
    containerSnapshot([]),
    node,
    [{ ...remote, state: 'ready' }],
  )
  const destinations = (own: Node) =>
    planOf(planner(mesh, own, () => null)).flatMap(each =>
      each.kind === 'destination' ? [each.address] : [],
    )
  t.strictSame(destinations(node), ['240.1.1.3', 'fd4d:6573:68:ffff:1::103'])
  const other = { ...node, membership: { ...node.membership!, number: 7 } }
  t.strictSame(destinations(other), ['240.7.1.3', 'fd4d:6573:68:ffff:7::103'], 'a node given another number')
  const routes = planOf(planner(mesh, other, () => null)).flatMap(each =>
    each.kind === 'route' && each.link === 'mesh-vxlan' ? [each.destination] : [],
  )
  t.ok(routes.includes('240.7.1.0/24') && routes.includes('fd4d:6573:68:ffff:7::100/120'))
  t.notOk(routes.includes('240.1.1.0/24'))
})

t.test('what a destination stands for is found in passages first', async t => {
  const ways = [...passagesOf(node, stacks).values(), ...stacks]
  for (const address of ['240.1.1.3', 'fd4d:6573:68:ffff:1::103', '10.254.1.3', 'fd4d:6573:68::103'])
    t.equal(ipv4Of(address, ways), '10.254.1.3')
  t.equal(ipv4Of('192.0.2.7', ways), '192.0.2.7')
  t.strictSame([...passagesOf({ ...node, membership: null }, stacks)], [])
})
