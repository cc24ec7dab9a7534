/**
 * What the labels of a Swarm service declare, and what is said of wrong ones.
 */
import t from 'tap'
import { formatPort } from '../../../src/model/ports.js'
import { formatVipPort } from '../../../src/model/vip-ports.js'
import { parseLabels } from '../../../src/sources/swarm-labels.js'

t.test('labels have the grammar of the command line', async t => {
  const declared = parseLabels('shop_web', {
    'mesh.publish': '8888:80/tcp, 9000-9010:9000-9010,10.0.0.5:53:53/udp,:81,82',
    'mesh.scheduler': 'lc',
    'mesh.drain': '2m',
    'mesh.endpoint': '10.1.2.3,node',
    'com.docker.stack.namespace': 'shop',
  })
  t.same(declared?.problems, [])
  t.match(declared?.publication, {
    name: 'shop_web',
    selector: { 'com.docker.swarm.service.name': 'shop_web' },
    scheduler: 'lc',
    drain: 120,
    endpoints: [
      { address: '10.1.2.3', port: null },
      { address: '127.0.0.1', port: null },
    ],
  })
  t.same(declared?.publication?.ports.map(formatPort), [
    '8888:80/tcp',
    '9000-9010:9000-9010/tcp',
    '10.0.0.5:53:53/udp',
    '81/tcp',
    '82/tcp',
  ])
})

t.test('a VIP is declared with or without published ports, and all that is said of it', async t => {
  const declared = parseLabels('shop_web', {
    'mesh.vip': '10.253.1.3',
    'mesh.port': '8080:80, 53:53:UDP',
    'mesh.persist': '10m',
    'mesh.weight': 'version=canary:5, version=stable:95',
    'mesh.alias': 'shop,shop.local',
    'mesh.scope': 'team-a, team-b',
  })
  t.same(declared?.problems, [])
  t.match(declared?.publication, {
    ports: [],
    vip: '10.253.1.3',
    scheduler: 'wrr',
    persistence: 600,
    weights: [
      { label: 'version', value: 'canary', weight: 5 },
      { label: 'version', value: 'stable', weight: 95 },
    ],
    aliases: ['shop', 'shop.local'],
    scopes: ['team-a', 'team-b'],
    endpointMode: 'vip',
  })
  t.same(declared?.publication?.vipPorts.map(formatVipPort), ['8080:80/tcp', '53/udp'])
  t.match(parseLabels('web', { 'mesh.publish': '8888:80' })?.publication, { vip: 'auto', vipPorts: [] })
  t.match(parseLabels('web', { 'mesh.port': '80' })?.publication, { vip: 'auto', ports: [] })
  t.match(parseLabels('web', { 'mesh.endpoint-mode': 'dnsrr' })?.publication, { endpointMode: 'dnsrr' })
})

t.test('without any of mesh.publish, mesh.vip, mesh.port and dnsrr nothing is declared', async t => {
  for (const [label, value] of [
    ['vip', 'none'],
    ['endpoint-mode', 'vip'],
  ])
    t.equal(parseLabels('web', { [`mesh.${label}`]: value ?? '' }), null)
  t.equal(parseLabels('web', {}), null)
  t.equal(parseLabels('web', { app: 'web', 'mesh.drain': 'soon' }), null)
  t.equal(parseLabels('web', { meshed: 'yes', 'com.mesh.publish': '1:1' }), null)
})

t.test('a scope alone is that of its containers, to which nothing leads', async t => {
  t.match(parseLabels('web', { 'mesh.scope': 'a,b', 'mesh.drain': '2m' }), {
    problems: [],
    publication: {
      ports: [],
      vip: 'none',
      vipPorts: [],
      drain: 30,
      scopes: ['a', 'b'],
      selector: { 'com.docker.swarm.service.name': 'web' },
    },
  })
  t.match(parseLabels('web', { 'mesh.scope': '', 'mesh.vip': 'none' }), {
    publication: null,
    problems: [/^label mesh\.scope: "": this is no name of a scope/],
  })
})

t.test('every wrong label is told with its name and what to write instead', async t => {
  const wrong = (labels: Record<string, string>) => parseLabels('web', labels)
  const cases: [Record<string, string>, RegExp[]][] = [
    [{ 'mesh.pubish': '8888:80' }, [/^label mesh\.pubish: .*did you mean mesh\.publish\?$/]],
    [{ 'mesh.publish': '8888:80', 'mesh.colour': 'red' }, [/mesh\.colour: .*it knows mesh\.publish, /]],
    [{ 'mesh.attach': 'true' }, [/^label mesh\.attach: it is one of containers; write it under labels:/]],
    [{ 'mesh.publish': '' }, [/^label mesh\.publish: "": this is not a port specification; write/]],
    [{ 'mesh.publish': '8888:80,99999:80' }, [/^label mesh\.publish: "99999:80": 99999 is outside/]],
    [
      { 'mesh.publish': '8888:eighty', 'mesh.drain': '25h', 'mesh.scheduler': 'robin', 'mesh.endpoint': 'x' },
      [
        /label mesh\.publish: "8888:eighty"/,
        /mesh\.endpoint: "x"/,
        /mesh\.scheduler: "robin"/,
        /mesh\.drain: "25h"/,
      ],
    ],
    [
      { 'mesh.publish': '8000-8001:8000-8001', 'mesh.endpoint': '10.1.2.3:80' },
      [/label mesh\.endpoint: "10\.1\.2\.3:80": one port cannot answer/],
    ],
    [{ 'mesh.vip': 'auto' }, [/^label mesh\.port: "": there is no port, published or of the VIP; write one/]],
    [{ 'mesh.vip': 'none', 'mesh.port': '80' }, [/^label mesh\.vip: "none": nothing of the service would/]],
    [
      { 'mesh.publish': '1:1', 'mesh.weight': 'a=b:1', 'mesh.scheduler': 'rr' },
      [/^label mesh\.scheduler: "rr": it takes no account of weights/],
    ],
    [
      { 'mesh.vip': 'yes', 'mesh.port': '80:http', 'mesh.weight': 'a:1,b', 'mesh.scope': '' },
      [
        /^label mesh\.vip: "yes": this is no VIP/,
        /^label mesh\.port: "80:http": "http" is not a number/,
        /^label mesh\.weight: "a:1": "a" has no value/,
        /^label mesh\.weight: "b": its weight is missing/,
        /^label mesh\.scope: "": this is no name of a scope/,
      ],
    ],
  ]
  for (const [labels, reasons] of cases) {
    const declared = wrong(labels)
    t.equal(declared?.publication, null)
    t.equal(declared?.problems.length, reasons.length, declared?.problems.join('\n') ?? '')
    for (const [i, reason] of reasons.entries()) t.match(declared?.problems[i], reason)
  }
})
