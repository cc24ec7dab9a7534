import t from 'tap'
import type { NodeRecord } from '../../../src/model/cluster.js'
import { passageOf } from '../../../src/planner/passage.js'
import {
  formerNumber,
  planPeer,
  planTunnel,
  stacksOfPeer,
  subnetsWithoutIpv6,
  tunnelMac,
} from '../../../src/planner/peers.js'
import { createPlanner } from '../../../src/planner/plan.js'
import { changedSlices } from '../../../src/planner/slices.js'
import { ipv4, type Stack, stacksOf } from '../../../src/planner/stack.js'
import { describe } from '../../../src/status/describe.js'
import { planSettings } from '../../helpers/plan-settings.js'

const pool6 = 'fd4d:6573:68::/96'
const pool = '10.254.0.0/16'
const passages = (stacks: readonly Stack[]) =>
  new Map(stacks.map(stack => [stack, passageOf(1, pool, stack)]))
const peer = { name: 'node3', number: 3, subnet: '10.254.2.0/24', address: '192.0.2.3', ipv6: null }

t.test('a peer is a way there and a way back', async t => {
  t.strictSame(
    planPeer(peer, [ipv4], passages([ipv4])).map(object => describe({ type: 'add', object })),
    [
      'bridge fdb add 02:6d:65:00:00:03 dev mesh-vxlan dst 192.0.2.3 self permanent',
      'ip neighbour add 10.254.2.1 lladdr 02:6d:65:00:00:03 dev mesh-vxlan nud permanent',
      'ip route add 10.254.2.0/24 via 10.254.2.1 dev mesh-vxlan',
      'ip route add 240.1.2.0/24 via 10.254.2.1 dev mesh-vxlan',
      'ip route add default via 10.254.2.1 dev mesh-vxlan table 65539',
      'ip rule add from 0.0.0.0/0 fwmark 0x3 lookup 65539 priority 1097',
    ],
  )
})

t.test('in IPv6 a peer has its ways inside the same tunnel', async t => {
  const four = planPeer(peer, [ipv4], passages([ipv4]))
  const stacks = stacksOf(pool, pool6)
  const both = planPeer(peer, stacks, passages(stacks))
  t.strictSame(both.slice(0, four.length), four)
  t.strictSame(
    both.slice(four.length).map(object => describe({ type: 'add', object })),
    [
      'ip neighbour add fd4d:6573:68::201 lladdr 02:6d:65:00:00:03 dev mesh-vxlan nud permanent',
      'ip -6 route add fd4d:6573:68::200/120 via fd4d:6573:68::201 dev mesh-vxlan',
      'ip -6 route add fd4d:6573:68:ffff:1::200/120 via fd4d:6573:68::201 dev mesh-vxlan',
      'ip -6 route add default via fd4d:6573:68::201 dev mesh-vxlan table 65539',
      'ip -6 rule add from ::/0 fwmark 0x3 lookup 65539 priority 1097',
    ],
  )
})

t.test('a peer is reached in IPv6 where it has it at the same place as this node', async t => {
  const stacks = stacksOf('10.254.0.0/16', pool6)
  const at = (pool: string) => ({ ...peer, ipv6: { pool, vipPool: null } })
  const families = (other: NodeRecord, own: string | null) =>
    stacksOfPeer(other, own === null ? [ipv4] : stacks, own === null ? null : { pool: own }).map(
      ({ family }) => family,
    )
  t.strictSame(families(at(pool6), pool6), ['inet', 'inet6'])
  for (const other of [peer, at('fd4d:6573:99::/96')]) t.strictSame(families(other, pool6), ['inet'])
  for (const other of [peer, at(pool6)]) t.strictSame(families(other, null), ['inet'])
  t.strictSame(subnetsWithoutIpv6([at(pool6), peer], { pool: pool6 }), ['10.254.2.0/24'])
  t.strictSame(subnetsWithoutIpv6([at(pool6), peer], null), [])
})

t.test('the number of a node is in its MAC, and is read back from it', async t => {
  t.equal(tunnelMac(1), '02:6d:65:00:00:01')
  t.equal(tunnelMac(65_535), '02:6d:65:00:ff:ff')
  for (const number of [1, 255, 256, 65_535]) {
    const member = {
      number,
      address: '192.0.2.1',
      vni: 4097,
      port: 8473,
      mtu: 1450,
      peers: [],
      privateNetworks: [],
    }
    t.equal(formerNumber(planTunnel(member, [ipv4])), number)
  }
  t.equal(formerNumber([]), null)
})

t.test('a record that is left over takes nothing along from the node that has its address now', async t => {
  const planner = createPlanner(planSettings)
  const planOf = (peers: readonly NodeRecord[]) => {
    const membership = { number: 1, address: '192.0.2.1', vni: 4097, port: 8473, mtu: 1450, peers }
    const node = { name: 'node1', subnet: '10.254.0.0/24', pool, addresses: [] }
    return planner(
      { services: [], attachments: [] },
      { ...node, membership: { ...membership, privateNetworks: [] } },
      () => null,
    )
  }
  const former = { ...peer, name: 'former', number: 70, subnet: '10.254.69.0/24' }
  const both = planOf([peer, former])
  const one = planOf([peer])
  const words = (slices: ReturnType<typeof changedSlices>['gone']) =>
    slices.flat().map(object => describe({ type: 'add', object }))
  const { gone, come } = changedSlices(both, one)
  t.strictSame(words(come), [])
  t.notOk(words(gone).includes('ipset add mesh-nodes 192.0.2.3'))
  t.ok(words(changedSlices(one, planOf([])).gone).includes('ipset add mesh-nodes 192.0.2.3'))
})
