import t from 'tap'
import { normaliseRule } from '../../../src/drivers/iptables-rule.js'
import type { Membership } from '../../../src/model/snapshot.js'
import { planBase } from '../../../src/planner/base.js'

const member: Membership = {
  number: 3,
  address: '192.0.2.1',
  vni: 4097,
  port: 8473,
  mtu: 1450,
  peers: [],
  privateNetworks: ['172.17.0.0/16'],
}

for (const membership of [null, member])
  t.test(
    `the plan of ${membership ? 'a node of a cluster' : 'the only node'} writes rules in the form they are read back in, or each pass would write them again`,
    async t => {
      const objects = planBase(
        {
          name: 'node',
          subnet: '10.254.0.0/24',
          pool: '10.254.0.0/16',
          addresses: ['192.0.2.1'],
          membership,
        },
        {
          sandboxPath: '/run/netns/mesh',
          mtu: 1500,
          tcpTimeout: 900,
          tcpFinTimeout: 120,
          udpTimeout: 300,
          kernelRelease: '6.1.0',
          formerIpForward: '0',
          vipPool: '10.253.0.0/16',
          vipPool6: 'fd4d:6573:69::/96',
          ipv6: {
            pool: 'fd4d:6573:68::/96',
            formers: [{ name: 'net.ipv6.conf.all.forwarding', value: '0' }],
          },
        },
        { aliases: [], externals: ['198.51.100.7', '2001:db8::7'], nodeEndpoints: true, sctpPorts: [9] },
      )
      let rules = 0
      for (const object of objects) {
        if (object.kind === 'jump') t.equal(normaliseRule(object.match), object.match)
        if (object.kind !== 'chain') continue
        for (const rule of object.rules) {
          rules++
          t.equal(normaliseRule(rule), rule)
        }
      }
      t.ok(rules > 20)
    },
  )
