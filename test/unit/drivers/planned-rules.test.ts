import t from 'tap'
import { normaliseRule } from '../../../src/drivers/iptables-rule.js'
import { planBase } from '../../../src/planner/base.js'

t.test(
  'the plan writes rules in the form they are read back in, or each pass would write them again',
  async t => {
    const objects = planBase(
      { name: 'node', subnet: '10.254.0.0/24', pool: '10.254.0.0/16', addresses: ['192.0.2.1'] },
      {
        sandboxPath: '/run/netns/mesh',
        mtu: 1500,
        tcpTimeout: 900,
        tcpFinTimeout: 120,
        udpTimeout: 300,
        kernelRelease: '6.1.0',
        formerIpForward: '0',
      },
      { aliases: [], externals: ['198.51.100.7'], nodeEndpoints: true },
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
    t.ok(rules > 10)
  },
)
