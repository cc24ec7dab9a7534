/**
 * Changes in the operator's words.
 */
import t from 'tap'
import type { Change } from '../../../src/kernel/change.js'
import { byFwmark, containerPlace, type KernelObject } from '../../../src/kernel/objects.js'
import { describe, hex, placeName, viewOf } from '../../../src/status/describe.js'

const container = containerPlace('0123456789abcdef'.repeat(4), 77)

const cases: readonly [KernelObject, Partial<Record<Change['type'], string>>][] = [
  [
    { kind: 'namespace', place: 'mesh', path: '/run/netns/mesh' },
    { add: 'ip netns add mesh', remove: 'ip netns del mesh' },
  ],
  [
    {
      kind: 'link',
      place: 'mesh',
      name: 'p0123456789ab',
      peerPlace: container,
      peerName: 'mesh0',
      mtu: 1400,
    },
    {
      add: 'ip link add p0123456789ab mtu 1400 type veth peer mesh0 netns "container 0123456789ab"',
      update: 'ip link set p0123456789ab mtu 1400 up',
      remove: 'ip link del p0123456789ab',
    },
  ],
  [
    {
      kind: 'vxlan',
      place: 'mesh',
      name: 'mesh-vxlan',
      vni: 1090,
      port: 4790,
      local: '192.168.77.1',
      mac: '02:4d:00:00:00:01',
      mtu: 1450,
    },
    {
      add: 'ip link add mesh-vxlan mtu 1450 address 02:4d:00:00:00:01 netns mesh type vxlan id 1090 dstport 4790 local 192.168.77.1 nolearning gbp',
      update: 'ip link set mesh-vxlan mtu 1450 address 02:4d:00:00:00:01 up',
      remove: 'ip link del mesh-vxlan',
    },
  ],
  [
    {
      kind: 'neighbour',
      place: 'mesh',
      link: 'mesh-vxlan',
      address: '10.254.1.1',
      mac: '02:4d:00:00:00:02',
    },
    {
      add: 'ip neighbour add 10.254.1.1 lladdr 02:4d:00:00:00:02 dev mesh-vxlan nud permanent',
      update: 'ip neighbour replace 10.254.1.1 lladdr 02:4d:00:00:00:02 dev mesh-vxlan nud permanent',
      remove: 'ip neighbour del 10.254.1.1 dev mesh-vxlan',
    },
  ],
  [
    {
      kind: 'forwarding',
      place: 'mesh',
      link: 'mesh-vxlan',
      mac: '02:4d:00:00:00:02',
      destination: '192.168.77.2',
    },
    {
      add: 'bridge fdb add 02:4d:00:00:00:02 dev mesh-vxlan dst 192.168.77.2 self permanent',
      update: 'bridge fdb replace 02:4d:00:00:00:02 dev mesh-vxlan dst 192.168.77.2 self permanent',
      remove: 'bridge fdb del 02:4d:00:00:00:02 dev mesh-vxlan self',
    },
  ],
  [
    { kind: 'rule', place: 'mesh', priority: 1095, source: '0.0.0.0/0', fwmark: 18, table: 2018 },
    {
      add: 'ip rule add from 0.0.0.0/0 fwmark 0x12 lookup 2018 priority 1095',
      remove: 'ip rule del from 0.0.0.0/0 fwmark 0x12 lookup 2018 priority 1095',
    },
  ],
  [
    { kind: 'rule', place: 'mesh', priority: 9, source: '0.0.0.0/0', fwmark: 0, table: 0, goto: 12 },
    {
      add: 'ip rule add from 0.0.0.0/0 fwmark 0x0 goto 12 priority 9',
      remove: 'ip rule del from 0.0.0.0/0 fwmark 0x0 goto 12 priority 9',
    },
  ],
  [
    { kind: 'rule', place: 'mesh', priority: 9, source: '0.0.0.0/0', fwmark: 2, fwmask: 255, table: 7 },
    { remove: 'ip rule del from 0.0.0.0/0 fwmark 0x2/0xff lookup 7 priority 9' },
  ],
  [
    { kind: 'address', place: 'host', link: 'mesh0', address: '10.254.0.2/32' },
    { add: 'ip address add 10.254.0.2/32 dev mesh0', remove: 'ip address del 10.254.0.2/32 dev mesh0' },
  ],
  [
    {
      kind: 'route',
      place: 'host',
      table: 254,
      destination: '10.254.0.0/16',
      link: 'mesh0',
      gateway: '10.254.0.1',
      source: '10.254.0.2',
    },
    {
      add: 'ip route add 10.254.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.2',
      update: 'ip route replace 10.254.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.2',
      remove: 'ip route del 10.254.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.2',
    },
  ],
  [
    {
      kind: 'route',
      place: container,
      table: 1090,
      destination: '0.0.0.0/0',
      link: 'mesh0',
      gateway: null,
      source: null,
    },
    { add: 'ip route add default dev mesh0 table 1090' },
  ],
  [
    {
      kind: 'route',
      place: 'mesh',
      table: 254,
      destination: '::/0',
      link: 'eth0',
      gateway: 'fd4d::2',
      source: null,
    },
    { add: 'ip -6 route add default via fd4d::2 dev eth0' },
  ],
  [
    { kind: 'address', place: 'host', link: 'mesh0', address: 'fd4d::2/128' },
    { add: 'ip address add fd4d::2/128 dev mesh0 nodad', remove: 'ip address del fd4d::2/128 dev mesh0' },
  ],
  [
    { kind: 'rule', place: 'host', priority: 1090, source: 'fd4d::2/128', table: 1090 },
    { add: 'ip -6 rule add from fd4d::2/128 lookup 1090 priority 1090' },
  ],
  [
    {
      kind: 'set',
      place: 'mesh',
      name: 'mesh6-hairpin',
      type: 'hash:net,net',
      family: 'inet6',
      skbinfo: false,
    },
    { add: 'ipset create mesh6-hairpin hash:net,net family inet6' },
  ],
  [
    { kind: 'chain', place: 'host', family: 'inet6', table: 'nat', name: 'MESH-DNAT', rules: ['-j ACCEPT'] },
    { add: 'ip6tables -t nat -N MESH-DNAT (then its 1 rule)' },
  ],
  [
    { kind: 'rule', place: 'host', priority: 1090, source: '10.254.0.2/32', table: 1090 },
    {
      add: 'ip rule add from 10.254.0.2/32 lookup 1090 priority 1090',
      remove: 'ip rule del from 10.254.0.2/32 lookup 1090 priority 1090',
    },
  ],
  [
    {
      kind: 'rule',
      place: 'host',
      priority: 1089,
      source: '0.0.0.0/0',
      table: 254,
      udpPorts: '53-54',
      exceptDefault: true,
    },
    {
      add: 'ip rule add from 0.0.0.0/0 ipproto udp sport 53-54 lookup 254 suppress_prefixlength 0 priority 1089',
    },
  ],
  [
    { kind: 'sysctl', place: 'mesh', name: 'net.ipv4.vs.conntrack', value: '1' },
    { add: 'sysctl -w net.ipv4.vs.conntrack=1', update: 'sysctl -w net.ipv4.vs.conntrack=1' },
  ],
  [
    { kind: 'set', place: 'mesh', name: 'mesh-tcp', type: 'bitmap:port', family: 'inet', skbinfo: true },
    { add: 'ipset create mesh-tcp bitmap:port range 0-65535 skbinfo', remove: 'ipset destroy mesh-tcp' },
  ],
  [
    {
      kind: 'set',
      place: 'mesh',
      name: 'mesh-hairpin',
      type: 'hash:net,net',
      family: 'inet',
      skbinfo: false,
    },
    { add: 'ipset create mesh-hairpin hash:net,net' },
  ],
  [
    { kind: 'entry', place: 'mesh', set: 'mesh-tcp', element: '8888', mark: 0x122b8 },
    {
      add: 'ipset add mesh-tcp 8888 skbmark 0x122b8',
      update: 'ipset add mesh-tcp 8888 skbmark 0x122b8 -exist',
      remove: 'ipset del mesh-tcp 8888',
    },
  ],
  [
    { kind: 'entry', place: 'host', set: 'mesh-tcp', element: '8888', mark: null },
    { add: 'ipset add mesh-tcp 8888' },
  ],
  [
    {
      kind: 'chain',
      place: 'host',
      family: 'inet',
      table: 'nat',
      name: 'MESH-DNAT',
      rules: ['-j ACCEPT', '-j DROP'],
    },
    {
      add: 'iptables -t nat -N MESH-DNAT (then its 2 rules)',
      update: 'iptables -t nat -F MESH-DNAT (then its 2 rules)',
      remove: 'iptables -t nat -F MESH-DNAT && iptables -t nat -X MESH-DNAT',
    },
  ],
  [
    {
      kind: 'jump',
      place: 'host',
      family: 'inet',
      table: 'nat',
      from: 'OUTPUT',
      to: 'MESH-DNAT',
      match: '-m addrtype --dst-type LOCAL',
    },
    {
      add: 'iptables -t nat -I OUTPUT -m addrtype --dst-type LOCAL -j MESH-DNAT',
      remove: 'iptables -t nat -D OUTPUT -m addrtype --dst-type LOCAL -j MESH-DNAT',
    },
  ],
  [
    { kind: 'virtualService', match: byFwmark(0x122b8), scheduler: 'rr', persistence: 0 },
    {
      add: 'ipvsadm -A -f 74424 -s rr',
      update: 'ipvsadm -E -f 74424 -s rr',
      remove: 'ipvsadm -D -f 74424',
    },
  ],
  [
    { kind: 'virtualService', match: byFwmark(1), scheduler: 'sh', persistence: 60 },
    { add: 'ipvsadm -A -f 1 -s sh -p 60' },
  ],
  [
    {
      kind: 'virtualService',
      match: { protocol: 17, address: '10.253.0.5', port: 53 },
      scheduler: 'rr',
      persistence: 0,
    },
    { add: 'ipvsadm -A -u 10.253.0.5:53 -s rr', remove: 'ipvsadm -D -u 10.253.0.5:53' },
  ],
  [
    {
      kind: 'destination',
      service: { protocol: 6, address: 'fd4d::5', port: 80 },
      address: 'fd4d::103',
      port: 8080,
      weight: 1,
      drainingSince: 0,
    },
    { add: 'ipvsadm -a -t [fd4d::5]:80 -r [fd4d::103]:8080 -m -w 1' },
  ],
  [
    { kind: 'virtualService', match: byFwmark(7, 'inet6'), scheduler: 'rr', persistence: 0 },
    { add: 'ipvsadm -A -f 7 -6 -s rr', remove: 'ipvsadm -D -f 7 -6' },
  ],
  [
    {
      kind: 'route',
      place: 'mesh',
      table: 255,
      destination: '10.253.0.0/16',
      type: 'local',
      link: 'lo',
      gateway: null,
      source: null,
    },
    { add: 'ip route add local 10.253.0.0/16 dev lo table 255' },
  ],
  [
    {
      kind: 'destination',
      service: byFwmark(0x122b8),
      address: '10.254.0.5',
      port: 80,
      weight: 1,
      drainingSince: 0,
    },
    {
      add: 'ipvsadm -a -f 74424 -r 10.254.0.5:80 -m -w 1',
      update: 'ipvsadm -e -f 74424 -r 10.254.0.5:80 -m -w 1',
      remove: 'ipvsadm -d -f 74424 -r 10.254.0.5:80',
    },
  ],
  [
    {
      kind: 'destination',
      service: byFwmark(1),
      address: '10.254.0.5',
      port: 80,
      weight: 0,
      drainingSince: 1700000000,
    },
    { update: 'ipvsadm -e -f 1 -r 10.254.0.5:80 -m -w 0 -x 1700000000' },
  ],
  [{ kind: 'timeouts', tcp: 7500, tcpFin: 120, udp: 300 }, { update: 'ipvsadm --set 7500 120 300' }],
]

t.test('each change is the command that would make it', async t => {
  for (const [object, texts] of cases)
    for (const [type, text] of Object.entries(texts))
      t.equal(describe({ type, object, from: object } as Change), text)
})

t.test('a view tells where the change is made', async t => {
  const [, [link]] = cases as [unknown, [KernelObject, unknown]]
  t.match(viewOf({ type: 'add', object: link }), {
    type: 'add',
    kind: 'link',
    place: 'mesh',
    text: /^ip link add/,
  })
  const [destination] = cases.find(([{ kind }]) => kind === 'destination') ?? []
  t.match(viewOf({ type: 'remove', object: destination! }), { place: 'mesh' })
  t.equal(placeName(container), 'container 0123456789ab')
  t.equal(placeName('host'), 'host')
  t.equal(hex(0x122b8), '0x122b8')
})

t.test('a VXLAN device whose identity changes is told as another one', async t => {
  const object = {
    kind: 'vxlan',
    place: 'mesh',
    name: 'v',
    vni: 1,
    port: 2,
    local: '10.0.0.1',
    mac: '02:4d:00:00:00:01',
    mtu: 1450,
  } as const
  t.equal(
    describe({ type: 'update', object, from: { ...object, vni: 3 } }),
    'ip link del v && ip link add v mtu 1450 address 02:4d:00:00:00:01 netns mesh type vxlan id 1 dstport 2 local 10.0.0.1 nolearning gbp',
  )
})
