import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import { discoverPlaces } from '../../src/drivers/discover.js'
import { createLinkDriver } from '../../src/drivers/links.js'
import { createNamespaceDriver } from '../../src/drivers/namespaces.js'
import { createSysctlDriver } from '../../src/drivers/sysctls.js'
import {
  containerPlace,
  type KernelObject,
  keyOf,
  type Place,
  type RouteObject,
} from '../../src/kernel/objects.js'
import { removeNamespace, runInNamespace } from '../../src/netlink/addon.js'
import { bring, failures, freshStage, pending, reach, told } from '../helpers/drivers.js'

const id = (digit: string) => digit.repeat(64)
const one = containerPlace(id('1'), 1)
const two = containerPlace(id('2'), 2)

function uplinkObjects(): KernelObject[] {
  return [
    { kind: 'link', place: 'host', name: 'mesh0', peerPlace: 'mesh', peerName: 'eth0', mtu: 1400 },
    { kind: 'address', place: 'host', link: 'mesh0', address: '10.254.0.2/32' },
    { kind: 'address', place: 'mesh', link: 'eth0', address: '10.254.0.1/32' },
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
      kind: 'route',
      place: 'mesh',
      table: 254,
      destination: '0.0.0.0/0',
      link: 'eth0',
      gateway: '10.254.0.2',
      source: null,
    },
  ]
}

function ruleOf(place: Place, address: string): KernelObject {
  return { kind: 'rule', place, priority: 1090, source: `${address}/32`, table: 1090 }
}

/** The same for IPv6, whose objects are other ones on the same links. */
function uplink6(): KernelObject[] {
  return [
    { kind: 'address', place: 'host', link: 'mesh0', address: 'fd4d::2/128' },
    { kind: 'address', place: 'mesh', link: 'eth0', address: 'fd4d::1/128' },
    route6('host', 254, 'fd4d::/96', 'mesh0', { gateway: 'fd4d::1', source: 'fd4d::2' }),
    route6('mesh', 254, '::/0', 'eth0', { gateway: 'fd4d::2' }),
  ]
}

function route6(
  place: Place,
  table: number,
  destination: string,
  link: string,
  more: Partial<RouteObject> = {},
): RouteObject {
  return { kind: 'route', place, table, destination, link, gateway: null, source: null, ...more }
}

function attachment6(place: Place, digit: string, address: string): KernelObject[] {
  return [
    { kind: 'sysctl', place, name: 'net.ipv6.conf.mesh0.disable_ipv6', value: '0' },
    { kind: 'address', place, link: 'mesh0', address: `${address}/128` },
    route6('mesh', 254, `${address}/128`, `p${digit.repeat(12)}`),
    route6(place, 1090, '::/0', 'mesh0', { gateway: 'fd4d::1', source: address }),
    { kind: 'rule', place, priority: 1090, source: `${address}/128`, table: 1090 },
    { kind: 'rule', place, priority: 1091, source: '::/0', udpPorts: '53', table: 254, exceptDefault: true },
  ]
}

function attachment(place: Place, digit: string, address: string): KernelObject[] {
  const name = `p${digit.repeat(12)}`
  return [
    { kind: 'link', place: 'mesh', name, peerPlace: place, peerName: 'mesh0', mtu: 1400 },
    { kind: 'address', place, link: 'mesh0', address: `${address}/32` },
    {
      kind: 'route',
      place: 'mesh',
      table: 254,
      destination: `${address}/32`,
      link: name,
      gateway: null,
      source: null,
    },
    {
      kind: 'route',
      place,
      table: 1090,
      destination: '0.0.0.0/0',
      link: 'mesh0',
      gateway: '10.254.0.1',
      source: null,
    },
    ruleOf(place, address),
  ]
}

const wanted = [
  ...uplinkObjects(),
  ...attachment(one, '1', '10.254.0.3'),
  ...attachment(two, '2', '10.254.0.4'),
]

t.test('links, addresses, routes and rules come, stay as they are, and go without a trace', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  const empty = [...places.keys()].map(place => run(place, 'ip -o addr') + run(place, 'ip rule'))
  await reach(t, drivers, wanted, places)
  t.match(run('mesh', 'ip -o link show p111111111111'), /[<,]UP[,>].* mtu 1400 /)
  t.match(run(one, 'ip -o link show mesh0'), /[<,]UP[,>].* mtu 1400 /)
  t.match(run('host', 'ip route'), /10.254.0.0\/16 via 10.254.0.1 dev mesh0 proto 109 src 10.254.0.2 onlink/)
  t.match(run(one, 'ip rule'), /1090:\tfrom 10.254.0.3 lookup 1090 proto 109/)
  t.match(run(one, 'ip route get 1.2.3.4 from 10.254.0.3'), /via 10.254.0.1 dev mesh0 table 1090/)
  await reach(t, drivers, [], places)
  t.strictSame(
    [...places.keys()].map(place => run(place, 'ip -o addr') + run(place, 'ip rule')),
    empty,
  )
})

t.test('what a hand damages is seen and repaired', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  await reach(t, drivers, wanted, places)
  const damages: [Place, string, string[]][] = [
    ['mesh', 'ip link set p111111111111 mtu 1300', ['update link mesh p111111111111']],
    [one, 'ip link set mesh0 mtu 1300', ['update link mesh p111111111111']],
    [
      one,
      'ip addr del 10.254.0.3/32 dev mesh0',
      [`add address ${one} mesh0 10.254.0.3/32`, `add route ${one} 1090 0.0.0.0/0`],
    ],
    [one, 'ip rule del priority 1090', [`add ${keyOf(ruleOf(one, '10.254.0.3'))}`]],
    ['mesh', 'ip route del 10.254.0.4/32', ['add route mesh 254 10.254.0.4/32']],
    ['mesh', 'ip route replace 10.254.0.4/32 dev lo', ['add route mesh 254 10.254.0.4/32']],
    ['host', 'ip addr add 10.99.0.1/32 dev mesh0', ['remove address host mesh0 10.99.0.1/32']],
    [
      'mesh',
      'ip route add 10.98.0.0/16 dev eth0 proto 109 metric 7',
      ['remove route mesh 254 10.98.0.0/16 metric 7'],
    ],
    [
      'mesh',
      'ip route add blackhole 10.97.0.0/16 proto 109',
      ['remove route mesh 254 blackhole 10.97.0.0/16'],
    ],
    [
      'mesh',
      'ip link add p999 type veth peer name mesh9',
      ['remove link mesh mesh9', 'remove link mesh p999'],
    ],
  ]
  for (const [place, command, changes] of damages) {
    run(place, command)
    t.strictSame(told(await pending(drivers, wanted, places)).sort(), changes, command)
    await reach(t, drivers, wanted, places)
  }
})

t.test('IPv6 comes, is repaired and goes like IPv4, where a container has it off too', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  run(one, 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1')
  const drivers = [createLinkDriver(stage.sockets), createSysctlDriver()]
  const both = [
    ...wanted,
    { kind: 'sysctl', place: 'mesh', name: 'net.ipv6.conf.default.accept_dad', value: '0' } as const,
    ...uplink6(),
    ...attachment6(one, '1', 'fd4d::3'),
    ...attachment6(two, '2', 'fd4d::4'),
  ]
  await reach(t, drivers, both, places)
  t.match(run(one, 'ip -6 -o addr show dev mesh0'), /inet6 fd4d::3\/128 scope global nodad/)
  t.match(
    run('host', 'ip -6 route'),
    /fd4d::\/96 via fd4d::1 dev mesh0 proto 109 src fd4d::2 metric 1024 onlink/,
  )
  t.match(run(one, 'ip -6 rule'), /1090:\tfrom fd4d::3 lookup 1090 proto 109/)
  t.match(run(one, 'ip -6 route get 2001:db8::1 from fd4d::3'), /via fd4d::1 dev mesh0 table 1090/)
  t.equal(run(one, 'sysctl -n net.ipv6.conf.lo.disable_ipv6').trim(), '1', 'on its other links it stays off')
  const damages: [Place, string, string[]][] = [
    [one, 'ip -6 rule del priority 1090', ['add rule container']],
    ['mesh', 'ip -6 route del fd4d::4/128', ['add route mesh 254 fd4d::4/128']],
    ['mesh', 'ip -6 route replace fd4d::4/128 dev lo', ['add route mesh 254 fd4d::4/128']],
    ['host', 'ip -6 addr add fd99::1/128 dev mesh0', ['remove address host mesh0 fd99::1/128']],
    ['mesh', 'ip -6 route add blackhole fd97::/64 proto 109', ['remove route mesh 254 blackhole fd97::/64']],
  ]
  for (const [place, command, changes] of damages) {
    run(place, command)
    t.match(
      told(await pending(drivers, both, places)),
      changes.map(text => new RegExp(text)),
      command,
    )
    await reach(t, drivers, both, places)
  }
  run(one, 'sysctl -qw net.ipv6.conf.mesh0.disable_ipv6=1')
  await reach(t, drivers, both, places)
  run('mesh', 'ip link set p222222222222 down')
  await reach(t, drivers, both, places)
  run('mesh', 'ip link del p111111111111')
  await reach(t, drivers, both, places)
  await reach(t, drivers, wanted, places)
  for (const place of places.keys())
    t.notMatch(run(place, 'ip -6 addr') + run(place, 'ip -6 rule'), /fd4d|109$/m)
})

t.test('a subnet is local to the sandbox without any address, in both families', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createLinkDriver(sockets)]
  const pools = ['10.253.0.0/16', 'fd4f::/96'].map(pool => route6('mesh', 255, pool, 'lo', { type: 'local' }))
  const all = [...uplinkObjects(), ...pools]
  await reach(t, drivers, all, places)
  t.match(run('mesh', 'ip route show table local'), /local 10\.253\.0\.0\/16 dev lo proto 109 scope host/)
  t.match(run('mesh', 'ip -6 route show table local'), /local fd4f::\/96 dev lo proto 109/)
  run('mesh', 'ip route del local 10.253.0.0/16 table local')
  run('mesh', 'ip -6 route del local fd4f::/96 table local')
  t.strictSame(told(await pending(drivers, all, places)), [
    'add route mesh 255 10.253.0.0/16',
    'add route mesh 255 fd4f::/96',
  ])
  await reach(t, drivers, all, places)
  await reach(t, drivers, uplinkObjects(), places)
  t.notMatch(run('mesh', 'ip route show table local'), /10\.253/)
})

t.test('a link that is down comes up again with its routes', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  await reach(t, drivers, wanted, places)
  for (const [place, name] of [
    [one, 'mesh0'],
    ['mesh', 'eth0'],
    ['host', 'mesh0'],
    ['mesh', 'p222222222222'],
  ] as const) {
    run(place, `ip link set ${name} down`)
    await reach(t, drivers, wanted, places)
    t.match(run(place, `ip -o link show ${name}`), /[<,]UP[,>]/)
  }
})

t.test('a deleted link is made anew with all that was on it, in one pass', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  await reach(t, drivers, wanted, places)
  run('mesh', 'ip link del p111111111111')
  await reach(t, drivers, wanted, places)
  run('host', 'ip link del mesh0')
  await reach(t, drivers, wanted, places)
})

t.test('a veth of our name that belongs to nobody makes room, in one pass', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  run(one, 'ip link add mesh0 type veth peer name other')
  run(one, 'ip addr add 10.254.0.3/32 dev mesh0')
  run('host', 'ip link add mesh0 type veth peer name other')
  run('mesh', 'ip link add eth0 type veth peer name p222222222222')
  for (let pass = 1; pass <= 2; pass++) {
    const outcomes = await bring(drivers, wanted, places)
    t.strictSame(failures(outcomes), [], `pass ${pass}`)
  }
  t.strictSame(told(await pending(drivers, wanted, places)), [])
})

t.test('a rule that says more or less than wanted is changed, and leaves no second one behind', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createLinkDriver(sockets)]
  const ports = { kind: 'rule', place: 'host', priority: 1091, source: '0.0.0.0/0', udpPorts: '53' } as const
  const range = { ...ports, priority: 1092, table: 1090, udpPorts: '8000-8099' } as const
  run('host', 'ip rule add priority 1091 ipproto udp sport 53 lookup main protocol 109')
  await reach(t, drivers, [{ ...ports, table: 254, exceptDefault: true }, range], places)
  const rules = run('host', 'ip rule').match(/^109.*$/gm)
  t.match(rules, [
    /1091:\tfrom all ipproto udp sport 53 lookup main suppress_prefixlength 0 proto 109/,
    /1092:\tfrom all ipproto udp sport 8000-8099 lookup 1090 proto 109/,
  ])
  t.equal(rules?.length, 2)
  await reach(t, drivers, [], places)
  t.notMatch(run('host', 'ip rule'), /^109/m)
})

t.test('a container that is gone fails alone, and says why', async t => {
  const stage = freshStage(t, [one, two])
  const { places } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  const without = new Map(places).set(one, '/proc/999999/ns/net')
  const failed = failures(await bring(drivers, wanted, without))
  t.ok(failed.length > 0)
  for (const failure of failed) t.match(failure, /1111@1|p1111|10.254.0.3/)
  t.match(failed.join(), /its network namespace is gone/)
  t.strictSame(
    told(await pending(drivers, wanted, without)).filter(line => !/1111@1|p1111|10.254.0.3/.test(line)),
    [],
  )
})

t.test('a path that leads into the host is not taken for a container', async t => {
  const stage = freshStage(t, [one])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  await reach(t, drivers, uplinkObjects(), places)
  const reused = new Map(places).set(one, places.get('host')!)
  const outcomes = await bring(drivers, [...uplinkObjects(), ...attachment(one, '1', '10.254.0.3')], reused)
  t.match(failures(outcomes).join(), /its network namespace is gone \(the path leads to that of host\)/)
  t.match(run('host', 'ip -o link show mesh0'), /[<,]UP[,>]/)
})

t.test("somebody else's route in the host's main table stays, and is told of", async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  run('host', 'ip route add 10.254.0.0/16 dev lo')
  t.match(failures(await bring(drivers, wanted, places)), [
    /another route to 10.254.0.0\/16 is there \(protocol 3/,
  ])
  t.match(run('host', 'ip route'), /10.254.0.0\/16 dev lo/)
})

t.test('what is there already and what is gone already are no failures', async t => {
  const stage = freshStage(t, [one, two])
  const { places } = stage
  const [driver] = [createLinkDriver(stage.sockets)]
  const adds = await pending([driver], wanted, places)
  t.strictSame(failures(await driver.apply(adds, places)), [])
  t.strictSame(failures(await driver.apply(adds, places)), [], 'twice')
  const removals = await pending([driver], [], places)
  t.strictSame(failures(await driver.apply(removals, places)), [])
  t.strictSame(failures(await driver.apply(removals, places)), [], 'twice')
})

t.test('no socket stays behind in a container', async t => {
  const stage = freshStage(t, [one])
  const { places, run } = stage
  const drivers = [createLinkDriver(stage.sockets)]
  await reach(t, drivers, [...uplinkObjects(), ...attachment(one, '1', '10.254.0.3')], places)
  removeNamespace(places.get(one)!)
  // the namespace ends when nobody holds it, and takes the veth along
  for (let i = 0; i < 50 && run('mesh', 'ip -o link').includes('p111'); i++)
    await new Promise(resolve => setTimeout(resolve, 100))
  t.notMatch(run('mesh', 'ip -o link'), /p111/)
  closeSync(openSync(places.get(one)!, 'w'))
})

t.test('the sandbox is made with loopback up, found again, and removed', async t => {
  const stage = freshStage(t)
  const path = `${stage.places.get('mesh')}-own`
  const places = new Map([['mesh' as const, path]])
  const drivers = [createNamespaceDriver(stage.sockets)]
  const sandbox: KernelObject = { kind: 'namespace', place: 'mesh', path }
  closeSync(openSync(path, 'w'))
  t.strictSame((await drivers[0]!.observe(places)).objects, [], 'a plain file is no namespace')
  await reach(t, drivers, [sandbox], places)
  await reach(t, drivers, [sandbox], places)
  // As an agent leaves it that was killed when it had made it.
  runInNamespace(path, () => execFileSync('ip', ['link', 'set', 'lo', 'down']))
  await reach(t, drivers, [sandbox], places)
  t.match(
    runInNamespace(path, () => execFileSync('ip', ['-o', 'link', 'show', 'lo'], { encoding: 'utf8' })),
    /UP/,
  )
  await reach(t, drivers, [], places)
  t.throws(() => openSync(path, 'r'), { code: 'ENOENT' })
})

t.test('namespaces that hold something of the mesh are found by their links and rules', async t => {
  const stage = freshStage(t, [one, two])
  const { places, run } = stage
  run(one, 'ip link add mesh0 type veth peer name x')
  run(two, 'ip rule add from 10.254.0.9 lookup 1090 priority 1090 protocol 109')
  const found = await discoverPlaces(new Map([...places].filter(([place]) => !place.startsWith('container'))))
  const paths = [...found.values()]
  t.ok(paths.includes(places.get(one)!), 'by its link')
  t.ok(paths.includes(places.get(two)!), 'by its rule')
  t.notOk(paths.includes(places.get('host')!))
  const drivers = [createLinkDriver(stage.sockets)]
  const mine = new Map<Place, string>([...found].filter(([, path]) => [...places.values()].includes(path)))
  await reach(t, drivers, [], mine)
  t.notMatch(run(one, 'ip -o link'), /mesh0/)
  t.notMatch(run(two, 'ip rule'), /1090/)
})
