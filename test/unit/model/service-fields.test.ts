/**
 * The fields of a service as people write them, and what they mean together.
 */
import t from 'tap'
import { parsePersistence } from '../../../src/model/duration.js'
import { parsePortSpec } from '../../../src/model/ports.js'
import { checkService, publicationOf } from '../../../src/model/publication.js'
import { parseFields, type ServiceFields } from '../../../src/model/service-fields.js'
import { formatVipPort, parseVipPort } from '../../../src/model/vip-ports.js'
import { formatWeight, parseWeight } from '../../../src/model/weights.js'

const bad = (problem: RegExp) => ({ code: 'MESH_BAD_INPUT', message: problem })

t.test('a port of a VIP is written in several ways', async t => {
  for (const [text, meaning] of [
    ['8080:80/tcp', '8080:80/tcp'],
    ['8080:80', '8080:80/tcp'],
    ['8080:80:TCP', '8080:80/tcp'],
    ['53:5353:udp', '53:5353/udp'],
    ['80', '80/tcp'],
    ['53/udp', '53/udp'],
    ['5000-5009/udp', '5000-5009/udp'],
    ['5000-5009:6000-6009', '5000-5009:6000-6009/tcp'],
    [' 9899:SCTP ', '9899/sctp'],
  ] as const) {
    t.equal(formatVipPort(parseVipPort(text)), meaning, text)
    t.same(parseVipPort(meaning), parseVipPort(text))
  }
  for (const [text, problem] of [
    ['', /not a port|not a number/],
    ['10.0.0.1:80:80', /no address of its own/],
    ['80:http', /"http" is not a number/],
    ['80/icmp', /"icmp" is not a protocol/],
    ['0:80', /outside 1–65535/],
    ['80-81:80', /2 ports and the target 1/],
    ['1:2:3', /no address of its own/],
  ] as const)
    t.throws(() => parseVipPort(text, '--port'), { ...bad(problem), field: '--port', value: text }, text)
})

t.test('a weight goes by a label, whose value may hold anything but a comma', async t => {
  t.same(parseWeight('version=canary:5'), { label: 'version', value: 'canary', weight: 5 })
  t.same(parseWeight('image=shop:1.2:0'), { label: 'image', value: 'shop:1.2', weight: 0 })
  t.same(parseWeight('mesh.container=web-1:65535'), {
    label: 'mesh.container',
    value: 'web-1',
    weight: 65_535,
  })
  for (const text of ['version=canary:5', 'a=:1', 'a=b=c:7']) t.equal(formatWeight(parseWeight(text)), text)
  for (const [text, problem] of [
    ['version=canary', /its weight is missing/],
    ['version=canary:five', /its weight is missing/],
    ['version:5', /"version" has no value/],
    ['=canary:5', /a label has no name/],
    ['a=b,c=d:5', /by one label/],
    ['a=b:65536', /outside 0–65535/],
    ['a=b:-1', /its weight is missing/],
  ] as const)
    t.throws(() => parseWeight(text), bad(problem), text)
})

t.test('a percentage is the share of all together, and there are no more than a hundred', async t => {
  t.same(parseWeight('version=canary:5%'), { label: 'version', value: 'canary', weight: 5, percent: true })
  t.equal(formatWeight(parseWeight('version=canary:5%')), 'version=canary:5%')
  t.throws(() => parseWeight('version=canary:101%'), bad(/101 is outside 0–100/))
  const ports = [parsePortSpec('8888:80')]
  const weighed = (...texts: string[]) =>
    publicationOf('web', { ports, weights: texts.map(text => parseWeight(text)) })
  t.doesNotThrow(() => checkService(weighed('v=1:60%', 'v=2:40%', 'v=3:500')))
  t.throws(
    () => checkService(weighed('v=1:60%', 'v=2:41%')),
    bad(/^weight "v=1:60%,v=2:41%": percentages come to 101/),
  )
})

t.test('persistence is whole seconds up to a day, or none', async t => {
  t.same(
    ['600s', 600, '1m30s', 'none', '0', '24h'].map(text => parsePersistence(text)),
    [600, 600, 90, 0, 0, 86_400],
  )
  t.throws(() => parsePersistence('500ms'), bad(/whole seconds/))
  t.throws(() => parsePersistence('25h'), bad(/outside/))
  t.throws(() => parsePersistence('long'), bad(/not a length of time/))
})

t.test('only what is given is there, and what is there twice is there once', async t => {
  t.same(parseFields({}), {})
  t.same(
    parseFields({
      vip: 'auto',
      vipPorts: ['80', '80/tcp', '443'],
      endpointMode: 'dnsrr',
      persistence: '10m',
      weights: ['v=2:5'],
      aliases: ['DB', 'db.shop', 'shop.local'],
      scopes: ['team-a', 'team-a'],
    }),
    {
      vip: 'auto',
      vipPorts: [parseVipPort('80'), parseVipPort('443')],
      endpointMode: 'dnsrr',
      persistence: 600,
      weights: [{ label: 'v', value: '2', weight: 5 }],
      aliases: ['db', 'db.shop', 'shop.local'],
      scopes: ['team-a'],
    } satisfies ServiceFields,
  )
})

t.test('none takes away what there was', async t => {
  const none = {
    endpoints: ['none'],
    vipPorts: ['none'],
    weights: ['none'],
    aliases: ['none'],
    scopes: ['none'],
  }
  t.same(parseFields({ ...none, selector: 'none', persistence: 'none' }), {
    selector: null,
    endpoints: [],
    vipPorts: [],
    persistence: 0,
    weights: [],
    aliases: [],
    scopes: [],
  })
  t.throws(() => parseFields({ scopes: ['a', 'none'] }), bad(/no name of a scope/))
  t.throws(() => parseFields({ aliases: ['none', 'db'] }), bad(/no name in DNS/))
})

t.test('aliases and scopes that cannot be are refused', async t => {
  for (const alias of ['', 'a b', '-a', 'a-', 'a..b', '*.a', `${'a'.repeat(64)}`, `${'a.'.repeat(110)}a`])
    t.throws(() => parseFields({ aliases: [alias] }), bad(/^alias .*no name in DNS/), alias)
  for (const scope of ['', 'a b', 'a,b', '.a', 'a'.repeat(64)])
    t.throws(() => parseFields({ scopes: [scope] }), bad(/^scope .*no name of a scope/), scope)
  t.throws(() => parseFields({ endpointMode: 'dns' }), bad(/^endpoint-mode "dns": .*vip .* or dnsrr/))
})

t.test('weights choose a scheduler that knows them, and refuse one that does not', async t => {
  const weights = [parseWeight('version=canary:5')]
  const ports = [parsePortSpec('8888:80')]
  t.equal(publicationOf('web', { weights }).scheduler, 'wrr')
  t.equal(publicationOf('web', { weights, scheduler: 'wlc' }).scheduler, 'wlc')
  t.equal(publicationOf('web').scheduler, 'rr')
  t.doesNotThrow(() => checkService(publicationOf('web', { ports, weights })))
  for (const scheduler of ['rr', 'lc', 'dh'] as const)
    t.throws(
      () => checkService(publicationOf('web', { ports, weights, scheduler })),
      bad(/no account of weights/),
    )
})

t.test('a service answers somewhere, and each port leads to one place', async t => {
  const vipPorts = [parseVipPort('8080:80')]
  const fine: ServiceFields[] = [
    { vipPorts },
    { endpointMode: 'dnsrr' },
    { endpointMode: 'dnsrr', vip: 'none' },
  ]
  for (const fields of fine) t.doesNotThrow(() => checkService(publicationOf('web', fields)))
  t.doesNotThrow(() => checkService(publicationOf('web', { vip: 'none', ports: [parsePortSpec('8888:80')] })))
  t.throws(() => checkService(publicationOf('web')), bad(/there is no port, published or of the VIP/))
  t.throws(
    () => checkService(publicationOf('web', { vipPorts, vip: 'none' })),
    bad(/nothing of the service would answer/),
  )
  t.throws(
    () => checkService(publicationOf('web', { vipPorts: [parseVipPort('80-89'), parseVipPort('85:1')] })),
    bad(/80-89\/tcp has that port already/),
  )
  t.doesNotThrow(() =>
    checkService(publicationOf('web', { vipPorts: [parseVipPort('80'), parseVipPort('80/udp')] })),
  )
  t.throws(
    () =>
      checkService(
        publicationOf('web', {
          vipPorts: [parseVipPort('80-89')],
          endpoints: [{ address: '10.1.2.3', port: 9 }],
        }),
      ),
    bad(/^endpoint "10\.1\.2\.3:9": one port cannot answer for the range 80-89\/tcp/),
  )
})
