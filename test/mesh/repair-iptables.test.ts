import t from 'tap'
import { type Damage, DamagedNode } from '../helpers/damage.js'

t.test('iptables changed by hand', async t => {
  const node = await DamagedNode.create(t)
  const damages: Damage[] = [
    {
      title: 'iptables -F',
      commands: [['host', 'iptables -F']],
      repairs: [
        'iptables -t filter -F MESH-FORWARD (then its 6 rules)',
        'iptables -t filter -F MESH-INPUT (then its 4 rules)',
        'iptables -t filter -I FORWARD -j MESH-FORWARD',
        'iptables -t filter -I INPUT -j MESH-INPUT',
      ],
    },
    {
      title: 'iptables -t nat -F',
      commands: [['host', 'iptables -t nat -F']],
      repairs: [
        'iptables -t nat -F MESH-DNAT (then its 3 rules)',
        'iptables -t nat -F MESH-SNAT (then its 3 rules)',
        'iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j MESH-DNAT',
        'iptables -t nat -I OUTPUT -m addrtype --dst-type LOCAL -j MESH-DNAT',
        'iptables -t nat -I POSTROUTING -j MESH-SNAT',
      ],
    },
    {
      title: 'iptables -F and -X, in all tables of the host',
      commands: [
        ['host', 'iptables -F'],
        ['host', 'iptables -X'],
        ['host', 'iptables -t nat -F'],
        ['host', 'iptables -t nat -X'],
      ],
      repairs: [
        'iptables -t nat -N MESH-DNAT (then its 3 rules)',
        'iptables -t nat -N MESH-SNAT (then its 3 rules)',
        'iptables -t filter -N MESH-FORWARD (then its 6 rules)',
        'iptables -t filter -N MESH-INPUT (then its 4 rules)',
      ],
      more: true,
    },
    {
      title: 'all rules of the sandbox flushed',
      commands: [
        ['mesh', 'iptables -t mangle -F'],
        ['mesh', 'iptables -t nat -F'],
        ['mesh', 'iptables -F'],
      ],
      repairs: [
        'iptables -t mangle -F MESH-MARK (then its 2 rules)',
        'iptables -t mangle -I PREROUTING -j MESH-MARK',
      ],
      more: true,
    },
    {
      title: 'a rule inserted before our jump',
      commands: [['host', 'iptables -I FORWARD -j DROP']],
      repairs: ['iptables -t filter -I FORWARD -j MESH-FORWARD'],
    },
    {
      title: 'our jump duplicated',
      commands: [['host', 'iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j MESH-DNAT']],
      repairs: ['iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j MESH-DNAT'],
    },
    {
      title: 'our jump deleted',
      commands: [['host', 'iptables -t nat -D POSTROUTING -j MESH-SNAT']],
      repairs: ['iptables -t nat -I POSTROUTING -j MESH-SNAT'],
    },
    {
      title: 'a rule of our chain altered, another added',
      commands: [
        ['host', 'iptables -t nat -R MESH-DNAT 2 -p tcp -j RETURN'],
        ['host', 'iptables -A MESH-FORWARD -j DROP'],
      ],
      repairs: [
        'iptables -t nat -F MESH-DNAT (then its 3 rules)',
        'iptables -t filter -F MESH-FORWARD (then its 6 rules)',
      ],
    },
    {
      title: 'a chain that bears our prefix',
      commands: [
        ['host', 'iptables -N MESH-OLD'],
        ['host', 'iptables -A MESH-OLD -j DROP'],
        ['host', 'iptables -A INPUT -j MESH-OLD'],
      ],
      repairs: [
        'iptables -t filter -D INPUT -j MESH-OLD',
        'iptables -t filter -F MESH-OLD && iptables -t filter -X MESH-OLD',
      ],
    },
  ]
  for (const damage of damages) await t.test(damage.title, t => node.repairs(t, damage))
})
