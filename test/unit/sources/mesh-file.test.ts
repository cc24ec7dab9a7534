import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatPort } from '../../../src/model/ports.js'
import { formatVipPort } from '../../../src/model/vip-ports.js'
import { kindOfFile, servicesFromFile, servicesFromMeshFile } from '../../../src/sources/mesh-file.js'

const read = (text: string) => servicesFromMeshFile(text, '/etc/mesh/mesh.yaml')
const refusal = (text: string) => (t.throws(() => read(text), InputError, text) as InputError).message

t.test('a mesh file names services with all that can be said of them', async t => {
  const text = `
# what this site publishes
services:
  web:
    ports: ["8888:80", 9000, "8000:8001/udp"]
    selector: {app: web, version: 2, canary: false}
    endpoints: ["10.1.2.3:5432", "node:9000"]
    scheduler: wlc
    drain: 2m
  shop/api:
    ports: ["8889:80"]
`
  const [web, api] = read(text)
  t.strictSame(web?.ports.map(formatPort), ['8888:80/tcp', '9000/tcp', '8000:8001/udp'])
  t.match(web, {
    name: 'web',
    selector: { app: 'web', version: '2', canary: 'false' },
    endpoints: [
      { address: '10.1.2.3', port: 5432 },
      { address: '127.0.0.1', port: 9000 },
    ],
    scheduler: 'wlc',
    drain: 120,
  })
  t.match(api, { name: 'shop/api', selector: null, endpoints: [], scheduler: 'rr', drain: 30 })
})

t.test('a service of a mesh file may have a VIP, names and scopes, and no published port', async t => {
  const text = `
services:
  web:
    vip: 10.253.1.3
    vip-ports: ["8080:80", 53]
    persist: 600s
    weights: ["version=canary:5"]
    aliases: [shop]
    scopes: [team-a]
  tasks:
    endpoint-mode: dnsrr
`
  const [web, tasks] = read(text)
  t.match(web, {
    ports: [],
    vip: '10.253.1.3',
    scheduler: 'wrr',
    persistence: 600,
    weights: [{ label: 'version', value: 'canary', weight: 5 }],
    aliases: ['shop'],
    scopes: ['team-a'],
  })
  t.strictSame(web?.vipPorts.map(formatVipPort), ['8080:80/tcp', '53/tcp'])
  t.match(tasks, { endpointMode: 'dnsrr', ports: [], vip: 'auto' })
})

t.test('a file without services publishes nothing', async t => {
  t.strictSame(read('services: {}'), [])
})

t.test('what does not belong in it is refused with line, field, value and remedy', async t => {
  const web = (field: string) => `services:\n  web:\n    ports: ["8888:80"]\n    ${field}\n`
  const cases: [string, string][] = [
    [
      web('schedular: rr'),
      'mesh.yaml:4 services.web.schedular "rr": there is no such field; a service has the fields ports, selector, endpoints, scheduler, drain',
    ],
    [
      web('scheduler: best'),
      'mesh.yaml:4 services.web.scheduler "best": the kernel has no such scheduler; use rr, wrr',
    ],
    [web('drain: soon'), 'mesh.yaml:4 services.web.drain "soon": this is not a length of time'],
    [web('drain: 25h'), 'mesh.yaml:4 services.web.drain "25h": 25h is outside 0s–24h'],
    [web('selector: app=web'), 'mesh.yaml:4 services.web.selector "app=web": a string does not belong here'],
    [web('selector: {}'), 'mesh.yaml:4 services.web.selector "{}": an empty selector matches nothing'],
    [web('selector: {v: 1.10}'), 'mesh.yaml:4 services.web.selector.v "1.1": a number does not belong here'],
    [web('endpoints: ["db"]'), 'mesh.yaml:4 services.web.endpoints[0] "db": "db" is not an IPv4 address'],
    [web('endpoints: 10.1.2.3'), 'mesh.yaml:4 services.web.endpoints "10.1.2.3": a string'],
    [
      'services:\n  web:\n    drain: 1s\n',
      'mesh.yaml:2 services.web "": there is no port, published or of the VIP',
    ],
    [
      'services:\n  web:\n    ports: []\n',
      'mesh.yaml:2 services.web "": there is no port, published or of the VIP',
    ],
    [web('vip: 10.253.1'), 'mesh.yaml:4 services.web.vip "10.253.1": this is no VIP'],
    [web('vip-ports: ["80:x"]'), 'mesh.yaml:4 services.web.vip-ports[0] "80:x": "x" is not a number'],
    [web('persist: 1ms'), 'mesh.yaml:4 services.web.persist "1ms": the kernel counts whole seconds'],
    [web('endpoint-mode: dns'), 'mesh.yaml:4 services.web.endpoint-mode "dns": there is no such mode'],
    [web('scopes: team-a'), 'mesh.yaml:4 services.web.scopes "team-a": a string does not belong here'],
    [
      'services:\n  web:\n    ports:\n      - 1:1\n      - 0:1\n',
      'mesh.yaml:5 services.web.ports[1] "0:1": 0 is outside',
    ],
    ['services:\n  web:\n', 'mesh.yaml:2 services.web "": a value is missing here; a service has the fields'],
    ['services:\n  we b:\n    ports: [1]\n', 'mesh.yaml:2 services.we b "we b": this is not a name'],
    [
      'services: {}\nother: 1\n',
      'mesh.yaml:2 other "1": there is no such field; a mesh file holds services:',
    ],
    [
      'services:\n  a: {ports: [1]}\n  a: {ports: [2]}\n',
      'mesh.yaml:3 "a: {ports: [2]}": Map keys must be unique',
    ],
    ['services: [\n', 'mesh.yaml:'],
    ['', 'mesh.yaml "": a value is missing here'],
    ['services: {}\n---\nservices: {}\n', 'mesh.yaml:'],
  ]
  for (const [text, wanted] of cases) {
    const message = refusal(text)
    t.ok(message.startsWith(wanted), `${message}\n  should begin with\n${wanted}`)
  }
})

t.test('which kind a file is, its name says, or else what is in it', async t => {
  const mesh = 'services: {web: {ports: ["8888:80"]}}'
  for (const name of [
    'docker-compose.yml',
    'compose.yaml',
    'docker-compose.prod.yml',
    'compose.override.yaml',
  ])
    t.equal(kindOfFile(mesh, `/srv/${name}`), 'compose', name)
  for (const name of ['mesh.yaml', 'mesh.prod.yml', 'web.yaml', '-'])
    t.equal(kindOfFile(mesh, name), 'mesh', name)
  for (const text of [
    'services: {web: {image: web, ports: ["8888:80"]}}',
    'services: {web: {build: ., ports: ["8888:80"]}}',
    'version: "3"\nservices: {}',
    'services: {}\nvolumes: {data: {}}',
    'x-base: {}\nservices: {}',
  ])
    t.equal(kindOfFile(text, 'stack.yml'), 'compose', text)
  for (const text of ['services: {web: {port: 80}}', '', '[', 'services: [1]'])
    t.equal(kindOfFile(text, 'stack.yml'), 'mesh', 'what is neither is told off as a mesh file')
})

t.test('either kind is read by what it is', async t => {
  t.equal(servicesFromFile('services: {web: {ports: [80]}}', '/srv/shop/web.yaml')[0]?.name, 'web')
  t.equal(servicesFromFile('services: {web: {ports: [80]}}', '/srv/shop/compose.yaml')[0]?.name, 'shop/web')
})
