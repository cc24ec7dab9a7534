import t from 'tap'
import { attachmentLink } from '../../src/kernel/ownership.js'
import { type Damage, DamagedNode } from '../helpers/damage.js'

t.test('links, routes and rules changed by hand', async t => {
  const node = await DamagedNode.create(t)
  const { mesh, one, topology } = node
  const first = mesh.reconciler.addressOf(one.id)!
  const link = attachmentLink(one.id)
  const sandbox = topology.sandboxPath.replace('/run/netns/', '')
  const damages: Damage[] = [
    {
      title: 'the host’s route to the pool deleted',
      commands: [['host', 'ip route del 10.254.0.0/16']],
      repairs: ['ip route add 10.254.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.2'],
    },
    {
      title: 'the host’s rule and reply route deleted',
      commands: [
        ['host', 'ip rule del priority 1090 from 10.254.0.2'],
        ['host', 'ip route flush table 1090'],
      ],
      repairs: [
        'ip rule add from 10.254.0.2/32 lookup 1090 priority 1090',
        'ip route add default via 10.254.0.1 dev mesh0 src 10.254.0.2 table 1090',
      ],
    },
    {
      title: 'the host’s mesh address deleted, and its routes with it',
      commands: [['host', 'ip address del 10.254.0.2/32 dev mesh0']],
      repairs: ['ip address add 10.254.0.2/32 dev mesh0'],
      more: true,
    },
    {
      title: 'the sandbox’s route to a container deleted',
      commands: [['mesh', `ip route del ${first}`]],
      repairs: [`ip route add ${first}/32 dev ${link}`],
    },
    {
      title: 'the sandbox’s default route changed',
      commands: [
        ['mesh', 'ip route del default'],
        ['mesh', `ip route add blackhole default proto 109`],
      ],
      repairs: ['ip route add default via 10.254.0.2 dev eth0', 'ip route del blackhole 0.0.0.0/0 dev '],
    },
    {
      title: 'the sandbox’s address deleted',
      commands: [['mesh', 'ip address del 10.254.0.1/32 dev eth0']],
      repairs: ['ip address add 10.254.0.1/32 dev eth0'],
      more: true,
    },
    {
      title: 'a foreign address on a link of the mesh',
      commands: [['host', 'ip address add 10.9.9.9/32 dev mesh0']],
      repairs: ['ip address del 10.9.9.9/32 dev mesh0'],
    },
    {
      title: 'a container’s rule, route and address deleted',
      commands: [
        ['one', 'ip rule del priority 1090'],
        ['one', 'ip route flush table 1090'],
        ['one', `ip address flush dev mesh0`],
      ],
      repairs: [
        `ip address add ${first}/32 dev mesh0`,
        `ip rule add from ${first}/32 lookup 1090 priority 1090`,
        `ip route add default via 10.254.0.1 dev mesh0 src ${first} table 1090`,
      ],
    },
    {
      title: 'mesh0 deleted in the host',
      commands: [['host', 'ip link del mesh0']],
      repairs: [
        'ip link add mesh0 mtu 1500 type veth peer eth0 netns "mesh"',
        'ip address add 10.254.0.2/32 dev mesh0',
        'ip address add 10.254.0.1/32 dev eth0',
        'sysctl -w net.ipv4.conf.mesh0.route_localnet=1',
      ],
      more: true,
    },
    {
      title: 'mesh0 set down, and made smaller',
      commands: [['host', 'ip link set mesh0 down mtu 1200']],
      repairs: ['ip link set mesh0 mtu 1500 up'],
      more: true,
    },
    {
      title: 'a container’s veth deleted in the sandbox',
      commands: [['mesh', `ip link del ${link}`]],
      repairs: [
        `ip link add ${link} mtu 1500 type veth peer mesh0 netns "container ${one.id.slice(0, 12)}"`,
        `ip address add ${first}/32 dev mesh0`,
        `ip route add ${first}/32 dev ${link}`,
        `ip route add default via 10.254.0.1 dev mesh0 src ${first} table 1090`,
      ],
    },
    {
      title: 'a container’s veth deleted inside the container',
      commands: [['one', 'ip link del mesh0']],
      repairs: [
        `ip link add ${link} mtu 1500 type veth peer mesh0 netns "container ${one.id.slice(0, 12)}"`,
        `ip address add ${first}/32 dev mesh0`,
      ],
      more: true,
    },
    {
      title: 'a container’s veth set down at either end',
      commands: [
        ['mesh', `ip link set ${link} down`],
        ['one', 'ip link set mesh0 down'],
      ],
      repairs: [`ip link set ${link} mtu 1500 up`],
      more: true,
    },
    {
      title: 'a container’s veth renamed in the sandbox',
      commands: [
        ['mesh', `ip link set ${link} down`],
        ['mesh', `ip link set ${link} name elsewhere`],
      ],
      repairs: [`ip link add ${link} mtu 1500 type veth peer mesh0 netns "container ${one.id.slice(0, 12)}"`],
      more: true,
    },
    {
      title: 'the sandbox’s end of its own veth renamed',
      commands: [
        ['mesh', 'ip link set eth0 down'],
        ['mesh', 'ip link set eth0 name elsewhere'],
      ],
      repairs: [
        'ip link set mesh0 mtu 1500 up',
        'ip address add 10.254.0.2/32 dev mesh0',
        'ip address add 10.254.0.1/32 dev eth0',
        'sysctl -w net.ipv4.conf.mesh0.route_localnet=1',
      ],
      more: true,
    },
    {
      title: 'a foreign link in the sandbox',
      commands: [['mesh', 'ip link add stray type veth peer name stray1']],
      repairs: ['ip link del stray', 'ip link del stray1'],
    },
    {
      title: 'the sandbox deleted',
      commands: [['host', `ip netns del ${sandbox}`]],
      repairs: [`ip netns add ${sandbox}`],
      more: true,
    },
  ]
  for (const damage of damages) await t.test(damage.title, t => node.repairs(t, damage))
})
