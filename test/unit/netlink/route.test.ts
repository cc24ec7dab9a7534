import t from 'tap'
import {
  addAddress,
  addRoute,
  addRule,
  addVeth,
  decodeAddress,
  decodeLink,
  decodeRoute,
  decodeRule,
  deleteRoute,
  getNamespaceId,
  listAddresses,
  listRoutes,
  listRules,
  parsePrefix,
  setLink,
} from '../../../src/netlink/route.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

t.test('a veth pair is one message, its peer in another namespace', async t => {
  const request = addVeth({ name: 'a', peerName: 'b', peerNamespace: 9, mtu: 1400 })
  t.equal(request.type, 16, 'RTM_NEWLINK')
  t.equal(request.flags, 0x600)
  t.same(
    request.payload,
    hex(`00 00 0000 00000000 01000000 01000000
         0600 0300 6100 0000
         0800 0400 78050000
         4000 1280
           0900 0100 7665746800 000000
           3000 0200
             2c00 0100
               00 00 0000 00000000 00000000 00000000
               0600 0300 6200 0000
               0800 0400 78050000
               0800 1c00 09000000`),
  )
})

t.test('a link is changed by index, and only in what is said', async t => {
  t.same(setLink(5, { up: true }).payload, hex('00 00 0000 05000000 01000000 01000000'))
  t.same(setLink(5, { up: false }).payload, hex('00 00 0000 05000000 00000000 01000000'))
  t.same(setLink(5, { mtu: 1400 }).payload, hex('00 00 0000 05000000 00000000 00000000 0800 0400 78050000'))
})

t.test('a link is read through attributes that nobody here knows', async t => {
  const payload = hex(`00 00 0100 05000000 43100100 00000000
    0700 0300 6d6573 00
    0800 0400 78050000
    0a00 0100 02420a000001 0000
    0800 0500 07000000
    0800 2500 02000000
    1000 1200 0900 0100 7665746800 000000
    0700 1a80 ffffff 00
    0500 ff3f 01 000000`)
  t.same(decodeLink(payload), {
    index: 5,
    name: 'mes',
    kind: 'veth',
    up: true,
    mtu: 1400,
    hardwareAddress: '02:42:0a:00:00:01',
    peerIndex: 7,
    peerNamespaceId: 2,
    master: null,
    alias: null,
    vxlan: null,
  })
  t.equal(decodeLink(hex('00 00 0000')), null)
})

t.test('a default route in a table above 255 names it in an attribute', async t => {
  const request = addRoute({
    table: 1090,
    destination: '0.0.0.0/0',
    linkIndex: 3,
    gateway: '10.254.0.1',
    source: null,
    protocol: 109,
    onlink: true,
  })
  t.equal(request.subject, '0.0.0.0/0 in table 1090')
  t.same(
    request.payload,
    hex(`02 00 00 00  00 6d 00 01  04000000
         0800 0400 03000000
         0800 0500 0afe0001
         0800 0f00 42040000`),
  )
})

t.test('a route without gateway is of link scope, a local one of host scope', async t => {
  const route = {
    table: 254,
    destination: '10.254.0.5/32',
    linkIndex: 3,
    gateway: null,
    source: null,
    protocol: 1,
  }
  t.same(addRoute(route).payload.subarray(0, 12), hex('02 20 00 00 fe 01 fd 01 00000000'))
  t.same(
    addRoute({ ...route, type: 'local' }).payload.subarray(0, 12),
    hex('02 20 00 00 fe 01 fe 02 00000000'),
  )
  t.same(deleteRoute(route).payload.subarray(0, 12), hex('02 20 00 00 fe 01 ff 01 00000000'), 'any scope')
})

t.test('cached routes and other families are no routes', async t => {
  t.equal(decodeRoute(hex('02 20 00 00 fe 02 00 01 00020000')), null)
  t.equal(decodeRoute(hex('07 20 00 00 fe 02 00 01 00000000')), null, 'AF_BRIDGE')
  t.match(decodeRoute(hex('02 00 00 00 fe 04 00 06 00000000')), {
    destination: '0.0.0.0/0',
    type: 'blackhole',
    protocol: 4,
    linkIndex: null,
  })
})

t.test('IPv6 has its family, addresses of 16 bytes and a usual metric', async t => {
  const route = {
    table: 254,
    destination: 'fd4d::5/128',
    linkIndex: 3,
    gateway: 'fd4d::1',
    source: null,
    protocol: 109,
    onlink: true,
  }
  const bytes = hex(`0a 80 00 00  fe 6d 00 01  04000000
         1400 0100 fd4d0000 00000000 00000000 00000005
         0800 0400 03000000
         1400 0500 fd4d0000 00000000 00000000 00000001
         0800 0f00 fe000000`)
  t.same(addRoute(route).payload, bytes)
  const usual = Buffer.concat([bytes, hex('0800 0600 00040000')])
  t.same(decodeRoute(usual), { ...route, type: 'unicast', metric: 0 }, '1024 is the choice of the kernel')
  t.match(decodeRoute(hex('0a 00 00 00 fe 6d 00 01 00000000')), { destination: '::/0' })
  t.match(decodeRule(hex('0a 00 00 00 fe 00 00 01 00000000')), { source: '::/0', table: 254 })
})

t.test('an IPv6 address is used at once, and brings no route along', async t => {
  t.same(
    addAddress({ linkIndex: 3, address: 'fd4d::5/128' }).payload,
    hex(`0a 80 00 00  03000000
         1400 0100 fd4d0000 00000000 00000000 00000005
         1400 0200 fd4d0000 00000000 00000000 00000005
         0800 0800 02020000`),
  )
  const address = hex('0a 40 80 fd 03000000 1400 0100 fe800000 00000000 00000000 00000005')
  t.same(decodeAddress(address), { linkIndex: 3, address: 'fe80::5/64' }, 'without IFA_LOCAL')
})

t.test('both families come in one answer', async t => {
  t.equal(listRoutes().payload[0], 0, 'AF_UNSPEC')
  t.equal(listAddresses().payload[0], 0)
  t.equal(listRules().payload[0], 0)
})

t.test('routes are filtered by protocol and table', async t => {
  const route = (protocol: number, table: number) =>
    addRoute({ table, destination: '10.0.0.0/8', linkIndex: 1, gateway: null, source: null, protocol })
      .payload as Buffer
  const query = listRoutes({ protocol: 109, table: 1090 })
  t.match(query.decode(route(109, 1090), 24), { destination: '10.0.0.0/8' })
  t.equal(query.decode(route(109, 254), 24), null)
  t.equal(query.decode(route(2, 1090), 24), null)
})

t.test('a rule carries the protocol it is recognised by', async t => {
  t.same(
    addRule({ priority: 1090, source: '10.254.0.5/32', table: 1090, protocol: 109 }).payload,
    hex(`02 00 20 00  00 00 00 01  00000000
         0800 0200 0afe0005
         0800 0600 42040000
         0800 0f00 42040000
         0500 1500 6d 000000`),
  )
})

t.test('what is sent can be read back', async t => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed * 16807)
    const ip = random.pick([() => random.ipv4(), () => random.ipv6()])
    const [bits, everywhere] = ip().includes(':') ? [128, '::/0'] : [32, '0.0.0.0/0']
    const route = {
      table: random.pick([1, 100, 254, 255, 256, 1090, 70000]),
      destination: random.pick([`${ip()}/${bits}`, `${ip()}/${random.between(1, bits - 1)}`, everywhere]),
      type: random.pick(['unicast', 'local', 'blackhole', 'unreachable'] as const),
      linkIndex: random.pick([null, random.between(1, 5000)]),
      gateway: random.pick([null, ip()]),
      source: random.pick([null, ip()]),
      protocol: random.between(0, 255),
      onlink: random.pick([true, false]),
      metric: random.between(0, 9),
    }
    t.same(decodeRoute(addRoute(route).payload as Buffer), route, `route, seed ${seed}`)
    const rule = {
      priority: random.u32(),
      source: random.pick([everywhere, `${ip()}/${random.between(1, bits)}`]),
      table: route.table,
      protocol: random.between(0, 255),
      fwmark: random.pick([null, random.u32()]),
      inputLink: random.pick([null, 'mesh0']),
      goto: random.pick([null, random.u32()]),
    }
    t.match(
      decodeRule(addRule(rule).payload as Buffer),
      { ...rule, lookup: rule.goto === null },
      `rule, seed ${seed}`,
    )
    const address = {
      linkIndex: random.between(1, 5000),
      address: `${ip()}/${random.between(0, bits)}`,
    }
    t.same(decodeAddress(addAddress(address).payload as Buffer), address, `address, seed ${seed}`)
  }
})

t.test('prefixes are read strictly', async t => {
  t.same(parsePrefix('10.0.0.0/8'), { family: 2, address: '10.0.0.0', length: 8 })
  t.same(parsePrefix('10.0.0.1'), { family: 2, address: '10.0.0.1', length: 32 })
  t.same(parsePrefix('fd4d::1'), { family: 10, address: 'fd4d::1', length: 128 })
  t.same(parsePrefix('::/0'), { family: 10, address: '::', length: 0 })
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/x', 'fd4d::/129'])
    t.throws(() => parsePrefix(bad), RangeError, bad)
})

t.test('a namespace is numbered by its descriptor', async t => {
  const query = getNamespaceId(7)
  t.same(query.payload, hex('00000000 0800 0300 07000000'))
  t.equal(query.decode(hex('00000000 0800 0100 ffffffff'), 88), -1)
})
