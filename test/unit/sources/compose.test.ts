import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatPort } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import { projectName, servicesFromCompose } from '../../../src/sources/compose.js'

const read = (text: string, environment = {}) =>
  servicesFromCompose(text, '/srv/shop/docker-compose.yml', environment)
/** The port specs of a service whose `ports:` are this YAML list. */
const portsOf = (list: string, environment = {}) =>
  read(`services: {web: {image: web, ports: [${list}]}}`, environment).flatMap(each =>
    each.ports.map(formatPort),
  )
const refusal = (text: string) => (t.throws(() => read(text), InputError) as InputError).message

t.test('each service with ports is a publication of its compose service', async t => {
  const text = `
services:
  web:
    image: web:1
    ports:
      - "8888:80"
    depends_on: [db]
  db:
    image: db:1
    expose: ["5432"]
volumes:
  data:
`
  t.strictSame(read(text), [
    publicationOf('shop/web', {
      ports: [
        {
          protocol: 'tcp',
          published: { first: 8888, last: 8888 },
          target: { first: 80, last: 80 },
          address: null,
        },
      ],
      selector: { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' },
    }),
  ])
})

t.test('ports are read in the short syntax', async t => {
  const cases: Record<string, string[]> = {
    '"8888:80"': ['8888:80/tcp'],
    '8888:80': ['8888:80/tcp'],
    '22:22': ['22:22/tcp'], // no sexagesimal number
    '"127.0.0.1:8001:8001"': ['127.0.0.1:8001:8001/tcp'],
    '"127.0.0.1::8001"': ['127.0.0.1::8001/tcp'],
    '"3000"': ['3000/tcp'],
    '3000': ['3000/tcp'],
    '"3000-3002"': ['3000/tcp', '3001/tcp', '3002/tcp'],
    '"3000-3001/udp"': ['3000/udp', '3001/udp'],
    '"9090-9091:8080-8081"': ['9090-9091:8080-8081/tcp'],
    '"6060:6060/udp"': ['6060:6060/udp'],
  }
  for (const [list, wanted] of Object.entries(cases)) t.strictSame(portsOf(list), wanted, list)
})

t.test('ports are read in the long syntax', async t => {
  const cases: Record<string, string[]> = {
    '{target: 80, published: "8080"}': ['8080:80/tcp'],
    '{target: 80, published: 8080, protocol: udp}': ['8080:80/udp'],
    '{target: 80, published: "8080", host_ip: 127.0.0.1, mode: host}': ['127.0.0.1:8080:80/tcp'],
    '{target: 80, host_ip: 127.0.0.1}': ['127.0.0.1::80/tcp'],
    '{target: 80, name: http, app_protocol: http, mode: ingress}': ['80/tcp'],
    '{target: "8000-8001", published: "9000-9001"}': ['9000-9001:8000-8001/tcp'],
  }
  for (const [list, wanted] of Object.entries(cases)) t.strictSame(portsOf(list), wanted, list)
})

t.test('variables are filled in from the environment', async t => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a compose variable
  t.strictSame(portsOf('"${PORT:-8888}:80"'), ['8888:80/tcp'])
  t.strictSame(portsOf('{target: 80, published: $PORT}', { PORT: '90' }), ['90:80/tcp'])
  t.match(refusal('services: {web: {ports: ["$PORT:80"]}}'), /ports\[0\] "\$PORT:80": PORT has no value/)
})

t.test('merge keys and anchors are honoured', async t => {
  const text = 'x-base: &base\n  ports: ["8888:80"]\nservices:\n  web:\n    <<: *base\n    image: web\n'
  t.strictSame(read(text)[0]?.ports.map(formatPort), ['8888:80/tcp'])
})

t.test('labels say scheduler and drain time, as a mapping or a list', async t => {
  for (const labels of ['{mesh.scheduler: lc, mesh.drain: 2m}', '[mesh.scheduler=lc, mesh.drain=2m, other]'])
    t.match(read(`services: {web: {ports: ["8888:80"], labels: ${labels}}}`), [
      { scheduler: 'lc', drain: 120 },
    ])
  t.match(
    refusal('services:\n  web:\n    ports: ["8888:80"]\n    labels:\n      mesh.drain: soon\n'),
    /^docker-compose.yml:5 services.web.labels.mesh.drain "soon": this is not a length of time/,
  )
  t.match(refusal('services: {web: {ports: ["1:1"], labels: {mesh.scheduler: best}}}'), /no such scheduler/)
})

t.test('labels ask for published ports and VIPs too, on the service or under deploy', async t => {
  const labels = '{mesh.publish: "8888:80,9000:9000/udp", mesh.vip: 10.253.1.3, mesh.scope: team-a}'
  for (const place of [`labels: ${labels}`, `deploy: {replicas: 2, labels: ${labels}}`]) {
    const [web, ...others] = read(
      `services: {web: {image: web, ${place}}, db: {labels: {mesh.scope: team-a}}}`,
    )
    t.strictSame(others, [], 'a scope alone asks for nothing')
    t.strictSame(web?.ports.map(formatPort), ['8888:80/tcp', '9000:9000/udp'])
    t.match(web, { name: 'shop/web', vip: '10.253.1.3', scopes: ['team-a'] })
  }
  const both =
    'services: {web: {labels: {mesh.port: "80"}, deploy: {labels: {mesh.port: "81", mesh.alias: www}}}}'
  t.match(read(both), [{ vipPorts: [{ port: { first: 80 } }], aliases: ['www'], ports: [], vip: 'auto' }])
  t.match(
    refusal('services:\n  web:\n    deploy:\n      labels:\n        mesh.port: "0"\n'),
    /^docker-compose.yml:5 services.web.deploy.labels.mesh.port "0": 0 is outside/,
  )
  t.match(
    refusal('services:\n  web:\n    labels: {mesh.vip: auto}\n'),
    /^docker-compose.yml:2 services.web "": there is no port, published or of the VIP; write one/,
  )
})

t.test('the project’s name is the file’s, or that of its directory', async t => {
  const service = 'services: {web: {ports: ["8888:80"]}}'
  t.equal(read(`name: blog\n${service}`)[0]?.name, 'blog/web')
  t.equal(read(service)[0]?.name, 'shop/web')
  t.equal(read(`name: blog\n${service}`, { COMPOSE_PROJECT_NAME: 'other' })[0]?.name, 'other/web')
  t.equal(servicesFromCompose(service, '/srv/My Shop.d/compose.yaml')[0]?.name, 'myshopd/web')
  t.match(
    refusal(`name: Blog\n${service}`),
    /docker-compose.yml:1 name "Blog": this is no name for a project/,
  )
  t.throws(() => servicesFromCompose(service, '/docker-compose.yml'), {
    message: /gives the project no name; set name:/,
  })
  t.equal(projectName('_-My.Pro ject-1_'), 'myproject-1_')
})

t.test('what cannot be read is refused with file, line and field', async t => {
  const cases: [string, RegExp][] = [
    [
      'services:\n  web:\n    ports:\n      - "99999:80"\n',
      /^docker-compose.yml:4 services.web.ports\[0\] "99999:80": 99999 is outside/,
    ],
    [
      'services:\n  web:\n    ports: "8888:80"\n',
      /^docker-compose.yml:3 services.web.ports "8888:80": a string does not belong here/,
    ],
    ['services: {web: {ports: ["::1:80:80"]}}', /not a port specification/],
    ['services: {web: {ports: [{target: 80, host_ip: "::g"}]}}', /not an IP address/],
    ['services: {web: {ports: [{published: 80}]}}', /ports\[0\].*write ports as in/],
    ['services: {web: {ports: ["8000-8002:80"]}}', /published range has 3 ports and the target 1/],
    ['version: "3"', /services "": a value is missing here/],
    ['services: [web]', /services/],
    ['services:\n  web: {ports: [\n', /docker-compose.yml:\d+ /],
    ['services: {web: {ports: [*none]}}', /docker-compose.yml/],
    ['', /docker-compose.yml/],
  ]
  for (const [text, message] of cases) t.match(refusal(text), message, text)
})
