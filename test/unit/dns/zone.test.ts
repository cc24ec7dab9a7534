import t from 'tap'
import type { Caller } from '../../../src/dns/named.js'
import { Zone } from '../../../src/dns/zone.js'
import { named, zoneOf } from '../../helpers/dns.js'
import { Random } from '../../helpers/random.js'

const caller = '172.17.0.2'
const from = (...scopes: string[]): [string, Caller] => [caller, { scopes, project: null }]

/** What a name stands for, one text each; `-` for a name that does not exist, `forward` for one of others. */
function found(zone: Zone, name: string, type = 'A', address = caller): string[] | string {
  const finding = zone.find(name, type, address)
  if (!finding) return 'forward'
  if (!finding.exists) return '-'
  return finding.answers.map(({ data }) => {
    if (typeof data === 'string') return data
    return 'target' in data ? `${data.port} ${data.target}` : data.mname
  })
}

t.test('names of services', async t => {
  const zone = zoneOf([
    named('web', {
      vips: ['10.253.7.1', 'fd00:fe::7:1'],
      endpoints: ['10.254.0.3', '10.254.1.3'],
      ports: ['8080:80', '53:53/udp', '9000-9009:7000-7009'],
      aliases: ['www', 'Front.Shop'],
    }),
    named('db', { endpoints: ['10.254.0.4:5433', '10.254.0.5'], ports: ['5432:5432'] }),
    named('idle', {}),
    named('shop/cart', { vips: ['10.253.7.2'], endpoints: ['10.254.0.6'] }),
    named('Stack_API', { vips: ['10.253.7.3'] }),
  ])
  const cases: [string, string, string[] | string][] = [
    ['web.mesh', 'A', ['10.253.7.1']],
    ['web.mesh', 'AAAA', ['fd00:fe::7:1']],
    ['web.mesh', 'ANY', ['10.253.7.1', 'fd00:fe::7:1']],
    ['web.mesh', 'MX', []],
    ['www.mesh', 'A', ['10.253.7.1']],
    ['front.shop.mesh', 'A', ['10.253.7.1']],
    ['tasks.web.mesh', 'A', ['10.254.0.3', '10.254.1.3']],
    ['tasks.www.mesh', 'A', ['10.254.0.3', '10.254.1.3']],
    ['tasks.web.mesh', 'AAAA', []],
    ['10-254-1-3.web.mesh', 'A', ['10.254.1.3']],
    ['10-254-1-9.web.mesh', 'A', '-'],
    ['db.mesh', 'A', ['10.254.0.4', '10.254.0.5']],
    ['idle.mesh', 'A', []],
    ['tasks.idle.mesh', 'A', []],
    ['cart.shop.mesh', 'A', ['10.253.7.2']],
    ['cart.mesh', 'A', ['10.253.7.2']],
    ['tasks.cart.shop.mesh', 'A', ['10.254.0.6']],
    ['shop.mesh', 'A', []],
    ['tasks.mesh', 'A', []],
    ['stack_api.mesh', 'A', ['10.253.7.3']],
    ['nobody.mesh', 'A', '-'],
    ['a.web.mesh', 'A', '-'],
    ['web', 'A', 'forward'],
    ['web.mesh.example', 'A', 'forward'],
    ['xmesh', 'A', 'forward'],
    ['', 'NS', 'forward'],
    ['mesh', 'A', []],
    ['mesh', 'SOA', ['ns.mesh']],
    ['mesh', 'NS', ['ns.mesh']],
    ['ns.mesh', 'A', ['10.253.0.1']],
    ['_http._tcp.web.mesh', 'SRV', ['8080 web.mesh']],
    ['_80._tcp.web.mesh', 'SRV', ['8080 web.mesh']],
    ['_8080._tcp.web.mesh', 'SRV', ['8080 web.mesh']],
    ['_domain._udp.web.mesh', 'SRV', ['53 web.mesh']],
    ['_domain._tcp.web.mesh', 'SRV', '-'],
    ['_9004._tcp.web.mesh', 'SRV', ['9004 web.mesh']],
    ['_7004._tcp.web.mesh', 'SRV', ['9004 web.mesh']],
    ['_constructor._tcp.web.mesh', 'SRV', '-'],
    ['_http._tcp.web.mesh', 'A', []],
    ['_http._tcp.tasks.web.mesh', 'SRV', ['80 10-254-0-3.web.mesh', '80 10-254-1-3.web.mesh']],
    ['_postgresql._tcp.db.mesh', 'SRV', ['5433 10-254-0-4.db.mesh', '5432 10-254-0-5.db.mesh']],
    ['_tcp.web.mesh', 'SRV', []],
    ['_tcp.nobody.mesh', 'SRV', '-'],
    ['1.7.253.10.in-addr.arpa', 'PTR', ['web.mesh']],
    ['3.0.254.10.in-addr.arpa', 'PTR', ['10-254-0-3.web.mesh']],
    ['1.0.253.10.in-addr.arpa', 'PTR', ['ns.mesh']],
    ['9.9.254.10.in-addr.arpa', 'PTR', '-'],
    ['3.0.254.10.in-addr.arpa', 'A', []],
    ['0.254.10.in-addr.arpa', 'PTR', []],
    ['254.10.in-addr.arpa', 'SOA', ['ns.mesh']],
    ['10.in-addr.arpa', 'NS', 'forward'],
    ['3.0.168.192.in-addr.arpa', 'PTR', 'forward'],
    ['1.0.0.0.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.f.0.0.0.0.d.f.ip6.arpa', 'PTR', ['web.mesh']],
    ['2.0.0.0.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.f.0.0.0.0.d.f.ip6.arpa', 'PTR', '-'],
  ]
  for (const [name, type, expected] of cases)
    t.strictSame(found(zone, name, type), expected, `${name} ${type}`)
})

t.test('a name that several have', async t => {
  const zone = zoneOf(
    [
      named('shop/web', { vips: ['10.253.0.10'] }),
      named('blog/web', { vips: ['10.253.0.11'] }),
      named('one', { vips: ['10.253.0.12'], aliases: ['both', 'two'] }),
      named('two', { vips: ['10.253.0.13'], aliases: ['both'] }),
    ],
    [['172.18.0.2', { scopes: [], project: 'blog' }]],
  )
  t.strictSame(found(zone, 'web.mesh'), [], 'nobody can tell which; but the name exists')
  t.strictSame(
    found(zone, 'web.mesh', 'A', '172.18.0.2'),
    ['10.253.0.11'],
    'a caller of a project means its own',
  )
  t.strictSame(found(zone, 'both.mesh'), ['10.253.0.12', '10.253.0.13'], 'an alias of two leads to both')
  t.strictSame(found(zone, 'two.mesh'), ['10.253.0.13'], 'a name goes before an alias')
})

t.test('scopes', async t => {
  const secret = named('secret', {
    vips: ['10.253.0.20'],
    endpoints: ['10.254.0.20'],
    ports: ['80:80'],
    aliases: ['hidden'],
    scopes: ['team-a', 'team-b'],
  })
  const other = named('other/secret', { vips: ['10.253.0.21'], scopes: ['team-c'] })
  const names: [string, string][] = [
    ['secret.mesh', 'A'],
    ['hidden.mesh', 'A'],
    ['tasks.secret.mesh', 'A'],
    ['10-254-0-20.secret.mesh', 'A'],
    ['_http._tcp.secret.mesh', 'SRV'],
    ['20.0.253.10.in-addr.arpa', 'PTR'],
    ['20.0.254.10.in-addr.arpa', 'PTR'],
  ]
  for (const [name, type] of names) {
    t.equal(found(zoneOf([secret]), name, type), '-', `${name} from nowhere`)
    t.equal(found(zoneOf([secret], [from()]), name, type), '-', `${name} without a scope`)
    t.equal(found(zoneOf([secret], [from('team-c')]), name, type), '-', `${name} of another scope`)
    t.not(
      found(zoneOf([secret], [from('x', 'team-b')]), name, type),
      '-',
      `${name} of a scope that is shared`,
    )
  }
  const zone = zoneOf([secret, other], [from('team-c')])
  t.strictSame(found(zone, 'secret.mesh'), ['10.253.0.21'], 'whom it cannot see is in nobody’s way')
  t.equal(found(zoneOf([other]), 'other.mesh'), '-', 'nor is there the name of its project')
  zone.apply({ services: [], gone: [], callers: [[caller, null]] })
  t.equal(found(zone, 'secret.mesh'), '-', 'an address is forgotten with its container')
})

t.test('whole names that end in .local', async t => {
  const zone = zoneOf([named('rest', { vips: ['10.253.0.30'], localNames: ['rest.local'] })], [from()])
  t.strictSame(found(zone, 'rest.local'), ['10.253.0.30'])
  t.strictSame(found(zone, 'rest.local', 'AAAA'), [])
  t.equal(found(zone, 'rest.local', 'A', '10.254.0.2'), '-', 'only containers are answered')
  t.equal(found(zone, 'printer.local'), 'forward')
})

t.test('changes', async t => {
  const zone = zoneOf([named('web', { vips: ['10.253.0.2'], aliases: ['www'] }), named('a/b', {})])
  zone.apply({
    services: [named('web', { vips: ['10.253.0.2'], aliases: ['w3'] })],
    gone: ['a/b'],
    callers: [],
  })
  t.equal(found(zone, 'www.mesh'), '-')
  t.strictSame(found(zone, 'w3.mesh'), ['10.253.0.2'])
  t.equal(found(zone, 'b.a.mesh'), '-')
  t.equal(found(zone, 'a.mesh'), '-', 'names above it go too')
  t.equal(found(zone, 'nobody.mesh'), '-')
})

t.test('names that DNS cannot carry are none, and disturb nobody', async t => {
  const long = 'x'.repeat(64)
  const zone = zoneOf([
    named(long, { vips: ['10.253.0.2'] }),
    named('a..b', { vips: ['10.253.0.3'] }),
    named('end.', { vips: ['10.253.0.4'] }),
    named('y'.repeat(63), { vips: ['10.253.0.5'] }),
  ])
  t.equal(found(zone, `${long}.mesh`), '-')
  t.equal(found(zone, 'a..b.mesh'), '-')
  t.equal(found(zone, '3.0.253.10.in-addr.arpa', 'PTR'), '-')
  t.strictSame(found(zone, `${'y'.repeat(63)}.mesh`), ['10.253.0.5'])
})

t.test('answers are shuffled: each endpoint is first about as often', async t => {
  const random = new Random(4)
  const settings = { domain: 'mesh', ttl: 5, resolver: [], pools: [] }
  const zone = new Zone(settings, () => random.u32() / 2 ** 32)
  const endpoints = ['10.254.0.3', '10.254.0.4', '10.254.0.5']
  zone.apply({ services: [named('web', { endpoints })], gone: [], callers: [] })
  const first = new Map<string, number>()
  for (let i = 0; i < 3000; i++) {
    const address = found(zone, 'web.mesh')[0]!
    first.set(address, (first.get(address) ?? 0) + 1)
  }
  for (const endpoint of endpoints)
    t.ok((first.get(endpoint) ?? 0) > 850, `${endpoint} ${first.get(endpoint)}`)
})

t.test('another domain', async t => {
  const zone = new Zone({ domain: 'mesh.example', ttl: 5, resolver: [], pools: [] })
  zone.apply({ services: [named('web', { vips: ['10.253.0.2'] })], gone: [], callers: [] })
  t.strictSame(found(zone, 'web.mesh.example'), ['10.253.0.2'])
  t.equal(found(zone, 'web.mesh'), 'forward')
  t.equal(found(zone, 'example'), 'forward')
})
