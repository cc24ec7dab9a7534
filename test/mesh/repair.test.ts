import t from 'tap'
import { fwmarkOf } from '../../src/kernel/ownership.js'
import { describe } from '../../src/status/describe.js'
import { type Damage, DamagedNode } from '../helpers/damage.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { hostAddress } from '../helpers/topology.js'

t.test('IPVS, sets and parameters changed by hand', async t => {
  const node = await DamagedNode.create(t)
  const { mesh, one, two } = node
  const first = mesh.reconciler.addressOf(one.id)!
  const second = mesh.reconciler.addressOf(two.id)!
  const mark = fwmarkOf('tcp', 8888)
  const damages: Damage[] = [
    {
      title: 'a destination deleted',
      commands: [['mesh', `ipvsadm -d -f ${mark} -r ${first}:80`]],
      repairs: [`ipvsadm -a -f ${mark} -r ${first}:80 -m -w 1`],
    },
    {
      title: 'a destination set to weight 0',
      commands: [['mesh', `ipvsadm -e -f ${mark} -r ${first}:80 -m -w 0`]],
      repairs: [`ipvsadm -e -f ${mark} -r ${first}:80 -m -w 1`],
    },
    {
      title: 'a destination with another forwarding method',
      commands: [['mesh', `ipvsadm -e -f ${mark} -r ${first}:80 -g -w 1`]],
      repairs: [`ipvsadm -e -f ${mark} -r ${first}:80 -m -w 1`],
    },
    {
      title: 'a destination added on a mesh address nobody has',
      commands: [['mesh', `ipvsadm -a -f ${mark} -r 10.254.0.99:80 -m -w 5`]],
      repairs: [`ipvsadm -d -f ${mark} -r 10.254.0.99:80`],
    },
    {
      title: 'a virtual service deleted',
      commands: [['mesh', `ipvsadm -D -f ${mark}`]],
      repairs: [
        `ipvsadm -A -f ${mark} -s rr`,
        `ipvsadm -a -f ${mark} -r ${first}:80 -m -w 1`,
        `ipvsadm -a -f ${mark} -r ${second}:80 -m -w 1`,
      ],
    },
    {
      title: 'all of IPVS cleared',
      commands: [['mesh', 'ipvsadm -C']],
      repairs: [`ipvsadm -A -f ${mark} -s rr`, `ipvsadm -A -f ${fwmarkOf('udp', 5353)} -s rr`],
      more: true,
    },
    {
      title: 'a scheduler changed',
      commands: [['mesh', `ipvsadm -E -f ${mark} -s wlc`]],
      repairs: [`ipvsadm -E -f ${mark} -s rr`],
    },
    {
      title: 'a virtual service made persistent',
      commands: [['mesh', `ipvsadm -E -f ${mark} -s rr -p 300`]],
      repairs: [`ipvsadm -E -f ${mark} -s rr`],
    },
    {
      title: 'a virtual service added by address, and one by fwmark',
      commands: [
        ['mesh', 'ipvsadm -A -t 10.254.0.1:8888 -s rr'],
        ['mesh', 'ipvsadm -A -f 99 -s rr'],
      ],
      repairs: ['ipvsadm -D -t 10.254.0.1:8888', 'ipvsadm -D -f 99'],
    },
    {
      title: 'timeouts of IPVS changed',
      commands: [['mesh', 'ipvsadm --set 10 11 12']],
      repairs: ['ipvsadm --set 7500 120 300'],
    },
    {
      title: 'a published port deleted from the host’s set',
      commands: [['host', 'ipset del mesh-tcp 8888']],
      repairs: ['ipset add mesh-tcp 8888'],
    },
    {
      title: 'a foreign port in a set of ours',
      commands: [['host', 'ipset add mesh-tcp 2222']],
      repairs: ['ipset del mesh-tcp 2222'],
    },
    {
      title: 'the sandbox’s map flushed',
      commands: [['mesh', 'ipset flush mesh-tcp']],
      repairs: ['ipset add mesh-tcp 8888 skbmark 0x122b8', 'ipset add mesh-tcp 8084 skbmark 0x11f94'],
    },
    {
      title: 'the mark of a map’s element changed',
      commands: [['mesh', 'ipset add mesh-tcp 8888 skbmark 0x7 -exist']],
      repairs: ['ipset add mesh-tcp 8888 skbmark 0x122b8 -exist'],
    },
    {
      title: 'all sets of the host flushed, ours by name',
      commands: [
        ['host', 'ipset flush mesh-tcp'],
        ['host', 'ipset flush mesh-udp'],
        ['host', 'ipset flush mesh-bound'],
      ],
      repairs: [
        'ipset add mesh-tcp 8888',
        'ipset add mesh-udp 5353',
        `ipset add mesh-bound ${hostAddress},tcp:8084`,
      ],
    },
    {
      title: 'a set destroyed and made anew as another type',
      commands: [
        ['host', 'iptables -t nat -F MESH-DNAT'],
        ['host', 'iptables -F MESH-INPUT'],
        ['host', 'ipset destroy mesh-tcp'],
        ['host', 'ipset create mesh-tcp hash:ip'],
      ],
      repairs: [
        'ipset create mesh-tcp bitmap:port range 0-65535',
        'ipset add mesh-tcp 8888',
        'iptables -t nat -F MESH-DNAT (then its 3 rules)',
        'iptables -t filter -F MESH-INPUT (then its 4 rules)',
      ],
    },
    {
      title: 'sysctls changed',
      commands: [
        ['host', 'sysctl -qw net.ipv4.ip_forward=0'],
        ['host', 'sysctl -qw net.ipv4.conf.mesh0.route_localnet=0'],
        ['mesh', 'sysctl -qw net.ipv4.ip_forward=0'],
        ['mesh', 'sysctl -qw net.ipv4.vs.conntrack=0'],
        ['mesh', 'sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0'],
      ],
      repairs: [
        'sysctl -w net.ipv4.ip_forward=1',
        'sysctl -w net.ipv4.conf.mesh0.route_localnet=1',
        // The kernel writes ip_forward over what each link has, and new ones are to begin with.
        'sysctl -w net.ipv4.conf.mesh0.forwarding=1',
        'sysctl -w net.ipv4.ip_forward=1',
        'sysctl -w net.ipv4.conf.default.forwarding=1',
        'sysctl -w net.ipv4.vs.conntrack=1',
        'sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1',
      ],
    },
  ]
  for (const damage of damages) await t.test(damage.title, t => node.repairs(t, damage))

  await t.test('a destination added outside of the mesh gets no connections, then goes', async t => {
    const stray = `-f ${mark} -r 192.168.77.254:9`
    mesh.run('mesh', `ipvsadm -a ${stray} -m`)
    const repaired = await mesh.pass()
    t.strictSame(
      repaired.repairs.map(({ change }) => describe(change)),
      [`ipvsadm -e ${stray} -m -w 0 -x ${mesh.now}`],
    )
    await node.isServed(t, 'all')
    mesh.now += 2
    const gone = await mesh.pass()
    t.strictSame(MeshNode.text(gone), [`ipvsadm -d ${stray}`])
    t.strictSame(gone.repairs, [], 'what ends by itself is no repair')
  })
})
