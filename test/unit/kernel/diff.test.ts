import t, { type Test } from 'tap'
import { diff, sameObject } from '../../../src/kernel/diff.js'
import { byFwmark, type KernelObject, keyOf, stateOf } from '../../../src/kernel/objects.js'

const service: KernelObject = {
  kind: 'virtualService',
  match: byFwmark(0x122b8),
  scheduler: 'rr',
  persistence: 0,
}
const destination: KernelObject = {
  kind: 'destination',
  service: byFwmark(0x122b8),
  address: '10.254.0.3',
  port: 80,
  weight: 1,
  drainingSince: 0,
}
const mark: KernelObject = { kind: 'entry', place: 'mesh', set: 'mesh-tcp', element: '8888', mark: 0x122b8 }
const door: KernelObject = { kind: 'entry', place: 'host', set: 'mesh-tcp', element: '8888', mark: null }
const link: KernelObject = {
  kind: 'link',
  place: 'mesh',
  name: 'p0123456789ab',
  peerPlace: 'container:0123456789ab@7',
  peerName: 'mesh0',
  mtu: 1500,
}

function steps(wanted: KernelObject[], observed: KernelObject[]): string[] {
  return diff(stateOf(wanted), stateOf(observed)).map(change => `${change.type} ${keyOf(change.object)}`)
}

t.test('equal states need nothing', async t => {
  t.strictSame(steps([service, destination, mark], [mark, { ...destination }, { ...service }]), [])
})

/** The objects are made in this order, however they are given, and unmade in the opposite one. */
function insideOut(t: Test, objects: readonly KernelObject[]): void {
  const keys = objects.map(keyOf)
  const all = [...objects].reverse()
  t.strictSame(
    steps(all, []),
    keys.map(key => `add ${key}`),
  )
  t.strictSame(
    steps([], all),
    keys.reverse().map(key => `remove ${key}`),
  )
}

t.test('a port is made from the inside out and unmade from the outside in', async t => {
  insideOut(t, [link, service, destination, mark, door])
})

t.test('what is for some callers only is closed before it is there, and open after it is gone', async t => {
  const element = (set: string, element: string): KernelObject => {
    return { kind: 'entry', place: 'mesh', set, element, mark: null }
  }
  const jump = (place: 'mesh' | 'host'): KernelObject => {
    return {
      kind: 'jump',
      place,
      family: 'inet',
      table: 'filter',
      from: 'INPUT',
      to: 'MESH-INPUT',
      match: '',
    }
  }
  const chain: KernelObject = {
    kind: 'chain',
    place: 'mesh',
    family: 'inet',
    table: 'filter',
    name: 'MESH-INPUT',
    rules: [],
  }
  for (const suffix of ['', '6']) {
    const allowed = element(`mesh-allowed${suffix}`, '10.254.0.3,10.253.0.5')
    const scoped = element(`mesh-scoped${suffix}`, '10.253.0.5')
    const direct = element(`mesh-direct${suffix}`, '10.254.0.3,tcp:80')
    insideOut(t, [allowed, scoped, chain, jump('mesh'), service, destination, direct, jump('host')])
  }
})

t.test(
  'what the host had is remembered before it is changed; what links begin with is set before there are any',
  async t => {
    const parameter = (place: 'mesh' | 'host'): KernelObject => {
      return { kind: 'sysctl', place, name: 'net.ipv6.conf.default.accept_ra', value: '2' }
    }
    const rules: KernelObject = {
      kind: 'chain',
      place: 'host',
      family: 'inet6',
      table: 'filter',
      name: 'MESH-FORWARD',
      rules: [],
    }
    const inside = [parameter('mesh'), link, rules, parameter('host')]
    t.strictSame(
      steps([...inside].reverse(), []),
      inside.map(object => `add ${keyOf(object)}`),
    )
  },
)

t.test('what comes is added before what goes is removed', async t => {
  const next = { ...destination, address: '10.254.0.4' } as KernelObject
  t.strictSame(steps([service, next], [service, destination]), [
    `add ${keyOf(next)}`,
    `remove ${keyOf(destination)}`,
  ])
})

t.test('an update tells what was there', async t => {
  const zero = { ...destination, weight: 0 } as KernelObject
  t.strictSame(diff(stateOf([destination]), stateOf([zero])), [
    { type: 'update', object: destination, from: zero },
  ])
})

t.test('rules are compared one by one', async t => {
  const chain = (rules: string[]): KernelObject => ({
    kind: 'chain',
    place: 'host',
    family: 'inet',
    table: 'nat',
    name: 'MESH-DNAT',
    rules,
  })
  t.ok(sameObject(chain(['a', 'b']), chain(['a', 'b'])))
  t.notOk(sameObject(chain(['a', 'b']), chain(['b', 'a'])))
  t.notOk(sameObject(chain(['a', 'b']), chain(['a'])))
})

t.test('a link made anew gets again what sat on it', async t => {
  const inside = 'container:0123456789ab@7'
  const address: KernelObject = { kind: 'address', place: inside, link: 'mesh0', address: '10.254.0.3/32' }
  const route: KernelObject = {
    kind: 'route',
    place: 'mesh',
    table: 254,
    destination: '10.254.0.3/32',
    link: 'p0123456789ab',
    gateway: null,
    source: null,
  }
  const parameter: KernelObject = {
    kind: 'sysctl',
    place: 'mesh',
    name: 'net.ipv4.conf.p0123456789ab.rp_filter',
    value: '0',
  }
  const other: KernelObject = {
    kind: 'sysctl',
    place: 'mesh',
    name: 'net.ipv4.conf.all.rp_filter',
    value: '0',
  }
  const all = [link, address, route, parameter, other]
  const sitting = [address, route, parameter].map(object => `add ${keyOf(object)}`)
  t.strictSame(
    steps(all, [address, route, parameter, other]),
    [`add ${keyOf(link)}`, ...sitting],
    'a lost one',
  )
  const elsewhere = { ...link, peerPlace: 'container:0123456789ab@6' } as KernelObject
  t.strictSame(
    steps(all, [elsewhere, address, route, parameter, other]),
    [`update ${keyOf(link)}`, ...sitting],
    'one that leads elsewhere',
  )
  const down = { ...link, mtu: 0 } as KernelObject
  t.strictSame(
    steps(all, [down, address, route, parameter, other]),
    [`update ${keyOf(link)}`],
    'not one that is down',
  )
})

t.test(
  'IPv6 is told what to begin with before there is a link, and is on before there is an address',
  async t => {
    const sysctl = (name: string): KernelObject => ({ kind: 'sysctl', place: 'mesh', name, value: '0' })
    const link = {
      kind: 'link',
      place: 'mesh',
      name: 'p1',
      peerPlace: 'host',
      peerName: 'x',
      mtu: 1500,
    } as const
    const order = [
      sysctl('net.ipv6.conf.default.accept_dad'),
      link,
      sysctl('net.ipv6.conf.p1.disable_ipv6'),
      { kind: 'address', place: 'mesh', link: 'p1', address: 'fd4d::3/128' },
      sysctl('net.ipv4.ip_forward'),
    ] as const
    t.strictSame(
      steps([...order].reverse(), []),
      order.map(object => `add ${keyOf(object)}`),
    )
  },
)

t.test('chains of both families are two', async t => {
  const chain = {
    kind: 'chain',
    place: 'host',
    family: 'inet',
    table: 'nat',
    name: 'MESH-A',
    rules: [],
  } as const
  t.equal(keyOf(chain), 'chain host nat MESH-A')
  t.equal(keyOf({ ...chain, family: 'inet6' }), 'chain host ip6 nat MESH-A')
})

t.test('a VXLAN device comes before what sits on it, and takes it along when it is another one', async t => {
  const vxlan = {
    kind: 'vxlan',
    place: 'mesh',
    name: 'v',
    vni: 1,
    port: 4790,
    local: '192.168.77.1',
    mac: '02:4d:00:00:00:01',
    mtu: 1450,
  } as const
  const mac = '02:4d:00:00:00:02'
  const onIt: KernelObject[] = [
    { kind: 'address', place: 'mesh', link: 'v', address: '10.254.0.1/32' },
    { kind: 'neighbour', place: 'mesh', link: 'v', address: '10.254.1.1', mac },
    { kind: 'forwarding', place: 'mesh', link: 'v', mac, destination: '192.168.77.2' },
    {
      kind: 'route',
      place: 'mesh',
      table: 254,
      destination: '10.254.1.0/24',
      link: 'v',
      gateway: '10.254.1.1',
      source: null,
    },
  ]
  const keys = onIt.map(keyOf)
  t.strictSame(steps([...onIt].reverse().concat(vxlan), []), [
    `add ${keyOf(vxlan)}`,
    ...keys.map(key => `add ${key}`),
  ])
  t.strictSame(steps([], [vxlan, ...onIt]), [
    ...[...keys].reverse().map(key => `remove ${key}`),
    `remove ${keyOf(vxlan)}`,
  ])
  for (const change of [{ vni: 2 }, { port: 0 }, { local: '192.168.77.9' }])
    t.strictSame(
      steps([vxlan, ...onIt], [{ ...vxlan, ...change }, ...onIt]),
      [`update ${keyOf(vxlan)}`, ...keys.map(key => `add ${key}`)],
      JSON.stringify(change),
    )
  const changed = (change: object) => steps([vxlan, ...onIt], [{ ...vxlan, ...change }, ...onIt])
  t.strictSame(changed({ mtu: 0 }), [`update ${keyOf(vxlan)}`])
  t.strictSame(
    changed({ mac: '02:4d:00:00:00:09' }),
    [`update ${keyOf(vxlan)}`, `add ${keys[1]}`],
    'another MAC costs it the neighbours',
  )
})
