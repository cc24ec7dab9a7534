import t from 'tap'
import { differencesOfIpv6, type NodeIpv6, subnetOfNode } from '../../../src/model/cluster.js'

const usual: NodeIpv6 = { pool: 'fd4d:6573:68::/96', vipPool: 'fd4d:6573:68:1::/96' }

function differences(own: NodeIpv6 | null, theirs: NodeIpv6 | null): string[] {
  const node = { name: 'node2', number: 2, subnet: '10.254.1.0/24', address: '192.0.2.2', ipv6: theirs }
  return differencesOfIpv6(own, node)
}

t.test('nodes whose IPv6 is the same have nothing to tell', async t => {
  t.strictSame(differences(null, null), [])
  t.strictSame(differences(usual, { ...usual }), [])
})

t.test('a difference names the node, the setting, both values and what to do', async t => {
  const unreached = 'connections of IPv6 that come in at one of them do not reach endpoints on the other'
  t.strictSame(differences(usual, null), [
    `node node2 has --ipv6 off, this one on: ${unreached}; start every meshd with the same --ipv6`,
  ])
  t.strictSame(differences(null, usual), [
    `node node2 has --ipv6 on, this one off: ${unreached}; start every meshd with the same --ipv6`,
  ])
  t.strictSame(differences(usual, { pool: 'fd99::/96', vipPool: 'fd99:1::/96' }), [
    `node node2 has --pool6 fd99::/96, this one fd4d:6573:68::/96: ${unreached}; start every meshd with the same --pool6`,
    'node node2 has --vip-pool6 fd99:1::/96, this one fd4d:6573:68:1::/96: VIPs have other addresses of IPv6 there than here; start every meshd with the same --vip-pool6',
  ])
})

t.test('nodes get consecutive shares of the pool until it ends', async t => {
  t.equal(subnetOfNode('10.254.0.0/16', 24, 1), '10.254.0.0/24')
  t.equal(subnetOfNode('10.254.0.0/16', 24, 256), '10.254.255.0/24')
  t.equal(subnetOfNode('10.254.0.0/16', 26, 6), '10.254.1.64/26')
  t.equal(subnetOfNode('10.254.0.0/16', 16, 1), '10.254.0.0/16')
  t.equal(subnetOfNode('10.254.0.0/16', 24, 257), null)
  t.equal(subnetOfNode('10.254.0.0/16', 24, 0), null)
})
