/**
 * VXLAN devices of two sandboxes, whose hosts share an underlay: packets and marks
 * go across, damage is seen and repaired, and nothing stays behind.
 */
import t, { type Test } from 'tap'
import { createLinkDriver } from '../../src/drivers/links.js'
import type { Driver } from '../../src/kernel/driver.js'
import type { KernelObject, Place, VxlanObject } from '../../src/kernel/objects.js'
import { overlayLink } from '../../src/kernel/ownership.js'
import { bring, failures, freshStage, pending, reach, type Stage, told } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

loadModules('vxlan', 'iptable_mangle', 'xt_mark', 'xt_tcpudp')

interface OverlayNode extends Stage {
  readonly number: number
  readonly drivers: readonly Driver[]
  readonly wanted: readonly KernelObject[]
}

const macOf = (number: number) => `02:4d:00:00:00:0${number}`
const underlayOf = (number: number) => `192.168.70.${number}`
const insideOf = (number: number) => `10.254.${number}.1`

function deviceOf(number: number): VxlanObject {
  return {
    kind: 'vxlan',
    place: 'mesh',
    name: overlayLink,
    vni: 1090,
    port: 4790,
    local: underlayOf(number),
    mac: macOf(number),
    mtu: 1400,
  }
}

/** What node `number` has in its sandbox so that it reaches node `other`. */
function wantedOf(number: number, other: number): KernelObject[] {
  const on = { place: 'mesh', link: overlayLink } as const
  return [
    deviceOf(number),
    { kind: 'address', ...on, address: `${insideOf(number)}/32` },
    { kind: 'neighbour', ...on, address: insideOf(other), mac: macOf(other) },
    { kind: 'forwarding', ...on, mac: macOf(other), destination: underlayOf(other) },
    {
      kind: 'route',
      ...on,
      table: 254,
      destination: `10.254.${other}.0/24`,
      gateway: insideOf(other),
      source: null,
    },
    {
      kind: 'rule',
      place: 'mesh',
      priority: 1095,
      source: '0.0.0.0/0',
      fwmark: other,
      table: 2000 + other,
    },
    {
      kind: 'route',
      ...on,
      table: 2000 + other,
      destination: '0.0.0.0/0',
      gateway: insideOf(other),
      source: null,
    },
  ]
}

/** Two hosts with a sandbox each; only their underlay is up. */
function twoNodes(t: Test): [OverlayNode, OverlayNode] {
  const node = (number: number, other: number): OverlayNode => {
    const stage = freshStage(t)
    const drivers = [createLinkDriver(stage.sockets)]
    return { ...stage, number, drivers, wanted: wantedOf(number, other) }
  }
  const nodes: [OverlayNode, OverlayNode] = [node(1, 2), node(2, 1)]
  const [one, two] = nodes
  const far = two.places.get('host')!.replace('/run/netns/', '')
  one.run('host', `ip link add under type veth peer name under netns ${far}`)
  for (const { run, number } of nodes) {
    run('host', `ip addr add ${underlayOf(number)}/24 dev under`)
    run('host', 'ip link set under up')
  }
  return nodes
}

const settle = (t: Test, node: OverlayNode) => reach(t, node.drivers, node.wanted, node.places)

function ping(node: OverlayNode, address: string): string {
  try {
    return node.run('mesh', `busybox ping -c 1 -W 2 ${address}`)
  } catch (error) {
    return String(error)
  }
}

t.test('two sandboxes reach one another, and lose all of it again', async t => {
  const nodes = twoNodes(t)
  const [one] = nodes
  const look = (place: Place) =>
    [
      'ip -o link',
      'ip -4 -o addr',
      'ip -4 route show table all',
      'ip rule',
      'ip neigh show nud permanent',
      'bridge fdb',
    ].map(command => one.run(place, command))
  const empty = { host: look('host'), mesh: look('mesh') }
  for (const node of nodes) await settle(t, node)
  t.match(ping(one, insideOf(2)), / 1 packets received/)
  t.match(
    one.run('mesh', `ip -d link show ${overlayLink}`),
    /[<,]UP[,>].* mtu 1400 .*02:4d:00:00:00:01.*vxlan id 1090 local 192.168.70.1 .*dstport 4790 .*nolearning .*gbp/s,
  )
  t.match(one.run('mesh', 'bridge fdb'), /02:4d:00:00:00:02 dev mesh-vxlan dst 192.168.70.2 .*self permanent/)
  t.match(one.run('mesh', 'ip neigh'), /10.254.2.1 dev mesh-vxlan lladdr 02:4d:00:00:00:02 PERMANENT/)
  t.match(one.run('mesh', 'ip rule'), /1095:\tfrom all fwmark 0x2 lookup 2002 proto 109/)
  t.match(one.run('mesh', 'ip route get 10.9.9.9 mark 2'), /via 10.254.2.1 dev mesh-vxlan table 2002/)
  t.notMatch(one.run('host', 'ip -o link'), /mesh-vxlan/, 'never in the host')
  t.match(one.run('host', 'ss -lnu'), /:4790 /, "its socket is the host's")
  await reach(t, one.drivers, [], one.places)
  t.strictSame({ host: look('host'), mesh: look('mesh') }, empty)
})

t.test('the mark of a packet arrives with it', async t => {
  const nodes = twoNodes(t)
  const [one, two] = nodes
  for (const node of nodes) await settle(t, node)
  const mangle = 'xtables-legacy-multi iptables -t mangle'
  one.run('mesh', `${mangle} -A POSTROUTING -o ${overlayLink} -j MARK --set-mark 7`)
  two.run('mesh', `${mangle} -A PREROUTING -i ${overlayLink} -m mark --mark 7`)
  two.run('mesh', `${mangle} -A PREROUTING -i ${overlayLink} -m mark ! --mark 7`)
  t.match(ping(one, insideOf(2)), / 1 packets received/)
  const counts = two.run('mesh', `${mangle} -nvxL PREROUTING`).match(/^ *\d+(?= +\d+ .*mark match)/gm)
  t.strictSame(counts?.map(Number), [1, 0])
})

t.test('what a hand damages is seen and repaired', async t => {
  const nodes = twoNodes(t)
  const [one] = nodes
  for (const node of nodes) await settle(t, node)
  const device = `vxlan mesh ${overlayLink}`
  const neighbour = `neighbour mesh ${overlayLink} 10.254.2.1`
  const entry = `forwarding mesh ${overlayLink} 02:4d:00:00:00:02`
  const stranger = '02:00:00:00:00:99'
  const damages: [Place, string, string[]][] = [
    ['mesh', `ip link set ${overlayLink} mtu 1300`, [`update ${device}`]],
    [
      'mesh',
      `ip link set ${overlayLink} address 02:4d:00:00:00:77`,
      [`add ${neighbour}`, `update ${device}`],
    ],
    ['mesh', `ip neigh del 10.254.2.1 dev ${overlayLink}`, [`add ${neighbour}`]],
    [
      'mesh',
      `ip neigh replace 10.254.2.1 lladdr ${stranger} dev ${overlayLink} nud permanent`,
      [`update ${neighbour}`],
    ],
    [
      'mesh',
      `ip neigh replace 10.254.2.1 lladdr ${stranger} dev ${overlayLink} nud stale`,
      [`add ${neighbour}`],
    ],
    [
      'mesh',
      `ip neigh add 10.254.9.1 lladdr ${stranger} dev ${overlayLink} nud permanent`,
      [`remove neighbour mesh ${overlayLink} 10.254.9.1`],
    ],
    ['mesh', `bridge fdb del ${macOf(2)} dev ${overlayLink} self`, [`add ${entry}`]],
    ['mesh', `bridge fdb replace ${macOf(2)} dev ${overlayLink} dst 192.168.70.9 self`, [`update ${entry}`]],
    [
      'mesh',
      `bridge fdb append 00:00:00:00:00:00 dev ${overlayLink} dst 192.168.70.8 self`,
      [`remove forwarding mesh ${overlayLink} 00:00:00:00:00:00`],
    ],
    [
      'mesh',
      `bridge fdb replace ${macOf(2)} dev ${overlayLink} dst 192.168.70.2 port 99 vni 7 self`,
      [`update ${entry}`],
    ],
    [
      'mesh',
      `bridge fdb replace ${macOf(2)} dev ${overlayLink} dst 192.168.70.9 self dynamic`,
      [`add ${entry}`],
    ],
    [
      'mesh',
      `bridge fdb add ${stranger} dev ${overlayLink} dst 192.168.70.9 self`,
      [`remove forwarding mesh ${overlayLink} ${stranger}`],
    ],
    ['mesh', 'ip rule del priority 1095', ['add rule mesh 1095 0.0.0.0/0 2002  fwmark 2']],
    [
      'mesh',
      'ip rule add fwmark 2/0xff lookup 2002 priority 1095 protocol 109',
      ['remove rule mesh 1095 0.0.0.0/0 2002  fwmark 2/255'],
    ],
    [
      'mesh',
      'ip rule add fwmark 0/0xff lookup 2002 priority 1095 protocol 109',
      ['remove rule mesh 1095 0.0.0.0/0 2002  fwmark 0/255'],
    ],
    [
      'mesh',
      'ip rule add fwmark 9 lookup 2009 priority 1095 protocol 109',
      ['remove rule mesh 1095 0.0.0.0/0 2009  fwmark 9'],
    ],
    [
      'mesh',
      `ip addr add 10.99.0.1/32 dev ${overlayLink}`,
      [`remove address mesh ${overlayLink} 10.99.0.1/32`],
    ],
    ['mesh', 'ip link add other type vxlan id 7 dstport 4799', ['remove vxlan mesh other']],
    ['host', `ip link add ${overlayLink} type vxlan id 8 dstport 4799`, [`remove vxlan host ${overlayLink}`]],
  ]
  for (const [place, command, changes] of damages) {
    one.run(place, command)
    t.strictSame(told(await pending(one.drivers, one.wanted, one.places)).sort(), changes, command)
    await settle(t, one)
  }
  t.match(ping(one, insideOf(2)), / 1 packets received/)
})

t.test('a device that is down or gone comes back with all that was on it', async t => {
  const nodes = twoNodes(t)
  const [one] = nodes
  for (const node of nodes) await settle(t, node)
  for (const command of [`ip link set ${overlayLink} down`, `ip link del ${overlayLink}`]) {
    one.run('mesh', command)
    await settle(t, one)
    t.match(ping(one, insideOf(2)), / 1 packets received/, command)
  }
})

t.test('a device with other options is made anew in one pass, with all that was on it', async t => {
  const nodes = twoNodes(t)
  const [one, two] = nodes
  for (const node of nodes) await settle(t, node)
  for (const change of [{ vni: 1091 }, { port: 4791 }, { vni: 1092, port: 4792 }]) {
    for (const node of nodes) {
      const wanted = node.wanted.map(object => (object.kind === 'vxlan' ? { ...object, ...change } : object))
      await reach(t, node.drivers, wanted, node.places)
    }
    t.match(ping(one, insideOf(2)), / 1 packets received/, JSON.stringify(change))
  }
  one.run('host', 'ip addr add 192.168.70.11/24 dev under')
  const moved = one.wanted.map(object =>
    object.kind === 'vxlan' ? { ...object, local: '192.168.70.11' } : object,
  )
  await reach(t, one.drivers, moved, one.places)
  t.match(one.run('mesh', `ip -d link show ${overlayLink}`), /local 192.168.70.11/)
  await settle(t, two)
})

const byHand = 'vxlan id 1090 dstport 4790 local 192.168.70.1'

t.test('a device that others made in its place gives way, in one pass', async t => {
  const nodes = twoNodes(t)
  const [one, two] = nodes
  await settle(t, two)
  const sandbox = one.places.get('mesh')!.replace('/run/netns/', '')
  const others: [Place, string][] = [
    ['host', `ip link add ${overlayLink} type ${byHand} nolearning gbp`],
    ['host', `ip link add ${overlayLink} netns ${sandbox} type ${byHand} gbp`],
    ['host', `ip link add ${overlayLink} netns ${sandbox} up type ${byHand} nolearning`],
    ['host', `ip link add ${overlayLink} netns ${sandbox} type ${byHand} nolearning gbp remote 192.168.70.2`],
    ['host', `ip link add elder netns ${sandbox} up type ${byHand} nolearning gbp`],
    ['mesh', `ip link add ${overlayLink} type ${byHand} nolearning gbp`],
    ['mesh', `ip link add ${overlayLink} type veth peer name other`],
  ]
  for (const [place, command] of others) {
    one.run(place, command)
    t.strictSame(failures(await bring(one.drivers, one.wanted, one.places)), [], command)
    await settle(t, one)
    t.match(ping(one, insideOf(2)), / 1 packets received/)
    await reach(t, one.drivers, [], one.places)
  }
})

t.test("somebody else's device or socket in the way stays, and is told of", async t => {
  const [one] = twoNodes(t)
  one.run('host', `ip link add others type ${byHand} nolearning gbp`)
  t.match(
    failures(await bring(one.drivers, one.wanted, one.places))[0],
    /EEXIST.*VNI 1090 with UDP port 4790/,
  )
  one.run('host', 'ip link del others')
  one.run('host', 'ip link add others up type vxlan id 9 dstport 4790')
  t.match(
    failures(await bring(one.drivers, one.wanted, one.places))[0],
    /EADDRINUSE.*UDP port 4790 of this host/,
  )
  t.match(one.run('host', 'ip -o link'), /others/)
  one.run('host', 'ip link del others')
  await settle(t, one)
})

t.test('what is there already and what is gone already are no failures', async t => {
  const [one] = twoNodes(t)
  const [driver] = one.drivers as [Driver]
  const adds = await pending([driver], one.wanted, one.places)
  t.strictSame(failures(await driver.apply(adds, one.places)), [])
  t.strictSame(failures(await driver.apply(adds, one.places)), [], 'twice')
  await settle(t, one)
  const removals = await pending([driver], [], one.places)
  t.strictSame(failures(await driver.apply(removals, one.places)), [])
  t.strictSame(failures(await driver.apply(removals, one.places)), [], 'twice')
})

t.test('a thousand nodes come and go in few messages', async t => {
  const [one] = twoNodes(t)
  const on = { place: 'mesh', link: overlayLink } as const
  const many: KernelObject[] = [deviceOf(1)]
  for (let i = 2; i < 1002; i++) {
    const low = (i & 0xff).toString(16).padStart(2, '0')
    const mac = `02:4d:00:00:0${i >> 8}:${low}`
    const address = `10.${i >> 8}.${i & 0xff}.1`
    many.push({ kind: 'neighbour', ...on, address, mac })
    many.push({ kind: 'forwarding', ...on, mac, destination: `192.168.${i >> 8}.${i & 0xff}` })
  }
  const start = Date.now()
  await reach(t, one.drivers, many, one.places)
  await reach(t, one.drivers, [], one.places)
  t.comment(`${Date.now() - start} ms`)
})
