import t from 'tap'
import { createSetDriver } from '../../src/drivers/sets.js'
import type { EntryObject, Family, KernelObject, Place, SetObject } from '../../src/kernel/objects.js'
import { bring, failures, freshStage, pending, reach, told } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

loadModules('ip_set_bitmap_port', 'ip_set_hash_ip', 'ip_set_hash_ipport', 'ip_set_hash_net', 'xt_set')

const set = (
  place: Place,
  name: string,
  type: SetObject['type'],
  skbinfo = false,
  family: Family = 'inet',
): SetObject => ({
  kind: 'set',
  place,
  name: `mesh-${name}`,
  type,
  family,
  skbinfo,
})
const entry = (place: Place, name: string, element: string, mark: number | null = null): EntryObject => ({
  kind: 'entry',
  place,
  set: `mesh-${name}`,
  element,
  mark,
})

const wanted: KernelObject[] = [
  set('host', 'tcp', 'bitmap:port'),
  set('host', 'bound', 'hash:ip,port'),
  set('mesh', 'tcp', 'bitmap:port', true),
  set('mesh', 'external', 'hash:ip'),
  entry('host', 'tcp', '8888'),
  entry('host', 'tcp', '53'),
  entry('host', 'bound', '10.0.0.1,tcp:80'),
  entry('host', 'bound', '10.0.0.1,udp:53'),
  entry('mesh', 'tcp', '8888', 0x122b8),
  entry('mesh', 'external', '192.0.2.7'),
  set('mesh', 'external6', 'hash:ip', false, 'inet6'),
  entry('mesh', 'external6', '2001:db8::7'),
  set('host', 'bound6', 'hash:ip,port', false, 'inet6'),
  entry('host', 'bound6', '2001:db8::1,udp:53'),
  set('mesh', 'pairs6', 'hash:net,net', false, 'inet6'),
  entry('mesh', 'pairs6', '8000::/1,fd4d::3'),
]

t.test('sets and elements come, stay as they are, and go without a trace', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  run('host', 'ipset create other hash:ip')
  run('host', 'ipset add other 10.0.0.9')
  const before = run('host', 'ipset save')
  await reach(t, drivers, wanted, places)
  t.match(run('mesh', 'ipset list mesh-tcp'), /8888 skbmark 0x122b8/)
  t.match(run('host', 'ipset list mesh-bound'), /10.0.0.1,udp:53/)
  await reach(t, drivers, [], places)
  t.equal(run('host', 'ipset save'), before, "somebody else's set is untouched")
  t.equal(run('mesh', 'ipset save'), '')
})

t.test('what a hand damages is seen and repaired', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  await reach(t, drivers, wanted, places)
  const damages: [Place, string, string[]][] = [
    ['host', 'ipset del mesh-tcp 8888', ['add entry host mesh-tcp 8888']],
    ['host', 'ipset add mesh-tcp 99', ['remove entry host mesh-tcp 99']],
    ['mesh', 'ipset flush mesh-tcp', ['add entry mesh mesh-tcp 8888']],
    ['mesh', 'ipset -exist add mesh-tcp 8888 skbmark 0x5', ['update entry mesh mesh-tcp 8888']],
    ['mesh', 'ipset create mesh-mine hash:ip', ['remove set mesh mesh-mine']],
    [
      'host',
      'ipset destroy mesh-bound',
      [
        'add set host mesh-bound',
        'add entry host mesh-bound 10.0.0.1,tcp:80',
        'add entry host mesh-bound 10.0.0.1,udp:53',
      ],
    ],
  ]
  for (const [place, command, changes] of damages) {
    run(place, command)
    t.strictSame(told(await pending(drivers, wanted, places)), changes, command)
    await reach(t, drivers, wanted, places)
  }
})

t.test('a set of another form is replaced in one pass, also while a rule uses it', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  run('mesh', 'ipset create mesh-tcp bitmap:port range 0-65535')
  run('mesh', 'ipset add mesh-tcp 8888')
  run('mesh', 'iptables-legacy -A INPUT -p tcp -m set --match-set mesh-tcp dst')
  run('host', 'ipset create mesh-tcp hash:ip')
  run('host', 'ipset add mesh-tcp 10.0.0.1')
  t.strictSame(failures(await bring(drivers, wanted, places)), [])
  t.match(run('mesh', 'ipset list mesh-tcp'), /8888 skbmark 0x122b8/)
  t.match(run('mesh', 'ipset list -n'), /^(mesh-(tcp|external|external6|pairs6)\n)+$/, 'no spare set is left')
  t.match(run('host', 'ipset list mesh-tcp'), /bitmap:port/)
})

t.test('a set of another kind that a rule uses stays, and the outcome says why', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  run('host', 'ipset create mesh-tcp hash:ip')
  run('host', 'iptables-legacy -A INPUT -m set --match-set mesh-tcp src')
  const failed = failures(await bring(drivers, wanted, places))
  t.match(failed[0], /set host mesh-tcp: .*IPSET_ERR_BUSY/)
  t.strictSame(
    failed.filter(line => !line.includes('host mesh-tcp')),
    [],
    'the others are made',
  )
  run('host', 'iptables-legacy -F')
})

t.test('thousands of elements go in and out in one pass', async t => {
  const { places, sockets } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  const many = Array.from({ length: 5000 }, (_, i) => entry('mesh', 'tcp', String(20000 + i), 0x10000 + i))
  await reach(t, drivers, [set('mesh', 'tcp', 'bitmap:port', true), ...many], places)
  await reach(t, drivers, [set('mesh', 'tcp', 'bitmap:port', true)], places)
})

t.test('an element that is none fails alone', async t => {
  const { places, sockets } = freshStage(t)
  const drivers = [createSetDriver(sockets)]
  const failed = failures(await bring(drivers, [...wanted, entry('host', 'tcp', '70000')], places))
  t.match(failed, [/entry host mesh-tcp 70000: .*70000/])
  t.equal(failed.length, 1)
})

t.test(
  'a set type that the kernel has is loaded; one that it lacks is told of, and the others are made',
  async t => {
    const { places, sockets } = freshStage(t)
    const drivers = [createSetDriver(sockets)]
    const pair = [set('mesh', 'hairpin', 'hash:net,net'), entry('mesh', 'hairpin', '172.17.0.2,10.254.0.3')]
    const failed = failures(await bring(drivers, [...wanted, ...pair], places))
    if (failed.length > 0)
      t.match(failed, [
        /set mesh mesh-hairpin: .*the kernel has no set type hash:net,net; modprobe ip_set_hash_netnet/,
        /entry mesh mesh-hairpin 172.17.0.2,10.254.0.3: .*ENOENT/,
      ])
    const left = told(await pending(drivers, [...wanted, ...pair], places))
    t.strictSame(
      left.filter(line => !line.includes('hairpin')),
      [],
    )
    t.equal(left.length, failed.length)
  },
)
