/**
 * `meshctl service`, as a child process: output, stderr, exit status.
 */
import t from 'tap'
import { publicationOf } from '../../../src/model/publication.js'
import { anEndpoint } from '../../helpers/agent-double.js'
import { serve } from '../../helpers/meshctl-server.js'
import { aService } from '../../helpers/services.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

const one = (port: number) => ({ first: port, last: port })

t.test('service create asks for all that was written, and says what the service has', async t => {
  const { agent, run } = await serve(t)
  const created = await run(
    ...['service', 'create', 'web', '--selector', 'tier=web,release=stable'],
    ...['--port', '8080:80/tcp', '--port', '53:53:UDP', '--ip', '10.253.1.3', '--endpoint', '10.1.2.3'],
    ...['--persist', '600s', '--weight', 'version=canary:5', '--weight', 'version=stable:95'],
    ...['--alias', 'shop', '--scope', 'team-a', '--scope', 'team-b', '--drain', '2m'],
  )
  t.same(created, {
    status: 0,
    stdout: 'web answers at 10.253.1.3 on 8080:80/tcp, 53/udp as web.mesh, shop.mesh; no endpoint yet\n',
    stderr: '',
  })
  t.same(agent.calls, [
    {
      name: 'createService',
      args: [
        publicationOf('web', {
          selector: { tier: 'web', release: 'stable' },
          endpoints: [{ address: '10.1.2.3', port: null }],
          scheduler: 'wrr',
          drain: 120,
          vip: '10.253.1.3',
          vipPorts: [
            { protocol: 'tcp', port: one(8080), target: one(80) },
            { protocol: 'udp', port: one(53), target: one(53) },
          ],
          persistence: 600,
          weights: [
            { label: 'version', value: 'canary', weight: 5 },
            { label: 'version', value: 'stable', weight: 95 },
          ],
          aliases: ['shop'],
          scopes: ['team-a', 'team-b'],
        }),
      ],
    },
  ])
})

t.test('service create finds mistakes before the agent is asked', async t => {
  const { agent, run } = await serve(t)
  const cases: [string[], RegExp][] = [
    [['web'], /^meshctl: port "": there is no port, published or of the VIP; write one/],
    [['web', '--port', '80:http'], /^meshctl: port "80:http": "http" is not a number; write PORT\[:TARGET\]/],
    [['web', '--port', '80', '--ip', '10.253'], /^meshctl: vip "10\.253": this is no VIP; write auto/],
    [
      ['web', '--port', '80', '--port', '80:81'],
      /^meshctl: port "80:81\/tcp": 80\/tcp has that port already/,
    ],
    [['web', '--port', '80', '--weight', 'a=b'], /^meshctl: weight "a=b": its weight is missing/],
    [['web', '--port', '80', '--weight', 'a=b:1', '--scheduler', 'rr'], /no account of weights/],
    [['web', '--endpoint-mode', 'dns'], /^meshctl: endpoint-mode "dns": there is no such mode/],
    [['w b', '--port', '80'], /^meshctl: service "w b": this is not a name/],
    [[], /^meshctl: /],
  ]
  for (const [args, message] of cases)
    t.match(
      await run('service', 'create', ...args),
      { status: 2, stdout: '', stderr: message },
      args.join(' '),
    )
  t.same(agent.calls, [])
})

t.test('service set asks for what was given and nothing else', async t => {
  const { agent, run } = await serve(t)
  agent.services = [aService('web', 8888, { vip: '10.253.1.3' })]
  t.same(await run('service', 'set', 'web', '--weight', 'none', '--scope', 'team-a', '--persist', '5m'), {
    status: 0,
    stdout: 'web answers at 10.253.1.3 on 80/tcp as web.mesh; published on 8888:80/tcp; no endpoint yet\n',
    stderr: '',
  })
  t.same(agent.calls, [
    { name: 'setService', args: ['web', { weights: [], scopes: ['team-a'], persistence: 300 }] },
  ])
  t.match(await run('service', 'set', 'web'), { status: 2, stderr: /there is nothing to change/ })
  t.match(await run('service', 'set', 'none', '--drain', '1s'), {
    status: 1,
    stderr: /service "none": not published/,
  })
})

t.test('service ls and inspect show address, names, scopes and endpoints', async t => {
  const { agent, run } = await serve(t)
  t.match(await run('service', 'ls'), {
    status: 0,
    stdout: /^there is no service; try: meshctl service create/,
  })
  agent.services = [
    aService('cache', 1, { ports: [], endpointMode: 'dnsrr' }),
    aService('web', 1, {
      ports: [],
      vip: '10.253.1.3',
      vipPorts: [{ protocol: 'tcp', port: one(8080), target: one(80) }],
      aliases: ['shop'],
      scopes: ['team-a'],
      persistence: 600,
      scheduler: 'wrr',
      weights: [{ label: 'version', value: 'canary', weight: 5 }],
    }),
  ]
  agent.endpoints = [anEndpoint()]
  t.equal(
    (await run('service', 'ls')).stdout,
    [
      'SERVICE  VIP         PORTS        NAMES                SCOPES  READY  FROM',
      'cache    dnsrr       -            cache.mesh           all     1/1    meshctl',
      'web      10.253.1.3  8080:80/tcp  web.mesh, shop.mesh  team-a  1/1    meshctl',
      '',
    ].join('\n'),
  )
  const expected = `service    web
vip        10.253.1.3 on 8080:80/tcp
names      web.mesh, shop.mesh
scopes     team-a
persist    10m
weights    version=canary:5
scheduler  wrr
drain      30s
selector   by name
from       meshctl

ENDPOINT  ID            ADDRESS     FOR  STATE  WEIGHT  ACTIVE  INACTIVE  REASON
web.1     0123456789ab  10.254.0.3  vip  ready  1       1       1
`
  for (const command of [['service', 'inspect'], ['inspect']])
    t.equal((await run(...command, 'web')).stdout, expected)
  t.match((await run('service', 'inspect', 'cache')).stdout, /^mode +dnsrr$/m)
  t.match(JSON.parse((await run('service', 'inspect', 'web', '-o', 'json')).stdout), {
    vip: '10.253.1.3',
    vipPorts: [{ spec: '8080:80/tcp', protocol: 'tcp', port: '8080', target: '80' }],
    names: ['web.mesh', 'shop.mesh'],
    weights: ['version=canary:5'],
    persistence: 600,
  })
})

t.test('service rm says what is gone', async t => {
  const { agent, run } = await serve(t)
  agent.services = [aService('web', 8888, { vip: '10.253.1.3' }), aService('db', 1, { ports: [] })]
  t.match(await run('service', 'rm', 'web', '--force'), {
    status: 0,
    stdout: 'web is removed; 10.253.1.3 is free again; it no longer answers on 8888:80/tcp\n',
  })
  t.match(await run('service', 'rm', 'db'), { status: 0, stdout: 'db is removed\n' })
  t.same(
    agent.calls.map(({ args }) => args),
    [
      ['web', { force: true }],
      ['db', { force: false }],
    ],
  )
  t.match(await run('service', 'rm', 'db'), { status: 1 })
  t.match(await run('service'), { status: 2, stderr: /command "": it is missing/ })
})

t.test('publish takes VIP, names, scopes and weights too', async t => {
  const { agent, run } = await serve(t)
  const asked = [
    '--vip',
    'none',
    '--alias',
    'shop',
    '--scope',
    'team-a',
    '--persist',
    '1m',
    '--weight',
    'v=2:5',
  ]
  t.equal((await run('publish', '8888:80', 'web', ...asked)).status, 0)
  t.match(agent.calls[0]?.args, [
    { vip: 'none', aliases: ['shop'], scopes: ['team-a'], persistence: 60, scheduler: 'wrr' },
    { given: new Set(['vip', 'aliases', 'scopes', 'persistence', 'weights']) },
  ])
})
