/**
 * Commands that change something, as a child process: output, stderr, exit status.
 */
import { join } from 'node:path'
import t from 'tap'
import { anEndpoint } from '../../helpers/agent-double.js'
import { serve } from '../../helpers/meshctl-server.js'
import { runProgram } from '../../helpers/run-program.js'
import { aService } from '../../helpers/services.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

t.test('publish tells where the service answers, and warns when nothing does yet', async t => {
  const { agent, run } = await serve(t)
  t.same(await run('publish', '8888:80', 'web'), {
    status: 0,
    stdout: 'web is published on 8888:80/tcp; no endpoint yet\n',
    stderr: 'meshctl: warning: nothing on this node answers for web yet\n',
  })
  agent.endpoints = [anEndpoint(), anEndpoint({ id: 'ffffffffffff', state: 'starting', weight: 0 })]
  t.same(
    await run('publish', '80', '53:53/udp', 'shop/api', '--scheduler', 'wlc', '--drain', '2m', '--wait'),
    {
      status: 0,
      stdout: 'shop/api is published on 30000:80/tcp, 53:53/udp; 1 of 2 endpoints ready\n',
      stderr: '',
    },
  )
  t.match(agent.calls.at(-1)?.args, [
    { name: 'shop/api', scheduler: 'wlc', drain: 120, endpoints: [], selector: null },
    { wait: true, given: new Set(['scheduler', 'drain']) },
  ])
  const json = await run(
    'publish',
    '9000:80',
    'x',
    '--selector',
    'a=b',
    '--endpoint',
    '10.1.2.3',
    '--endpoint',
    'node:5',
    '-o',
    'json',
  )
  t.match(JSON.parse(json.stdout), { created: true, warnings: [], service: { selector: { a: 'b' } } })
  t.match(agent.calls.at(-1)?.args, [
    {
      endpoints: [
        { address: '10.1.2.3', port: null },
        { address: '127.0.0.1', port: 5 },
      ],
    },
  ])
})

t.test('publish --wait gives up after its timeout and says what is so', async t => {
  const { agent, run } = await serve(t)
  agent.ready = new Promise(() => {})
  t.same(await run('publish', '8888:80', 'web', '--wait', '--timeout', '1s'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: web is published, but no endpoint was ready within 1s; see meshctl inspect web\n',
  })
})

t.test('publish --wait does not say that something is published that may not be', async t => {
  const { agent, run } = await serve(t)
  agent.publish = () => new Promise(() => {})
  t.match(await run('publish', '8888:80', 'web', '--wait', '--timeout', '1s'), {
    status: 3,
    stderr: /gave no answer within 1 s; see its log/,
  })
})

t.test('unpublish takes the published port, with protocol or as the whole SPEC', async t => {
  const { agent, run } = await serve(t)
  agent.services = [
    { ...aService('web', 8888), ports: [...aService('', 8888).ports, ...aService('', 9999).ports] },
  ]
  t.same(await run('unpublish', '8888', 'web'), {
    status: 0,
    stdout: 'web no longer answers on 8888:80/tcp; still published on 9999:80/tcp\n',
    stderr: '',
  })
  t.match(await run('unpublish', '9999/udp', 'web'), { status: 1, stderr: /does not publish that port/ })
  t.match(await run('unpublish', '9999:80/tcp', 'web', '-o', 'json'), {
    status: 0,
    stdout: /"service": null/,
  })
  const range = { first: 8000, last: 8009 }
  for (const text of ['8000-8009/udp', '8000-8009:8000-8009/udp']) {
    agent.services = [
      aService('game', 1, { ports: [{ protocol: 'udp', published: range, target: range, address: null }] }),
    ]
    t.match(await run('unpublish', text, 'game'), {
      status: 0,
      stdout: 'game no longer answers on 8000-8009:8000-8009/udp; nothing of it is published any more\n',
    })
  }
})

t.test('apply sends the file as it is, from a path or standard input', async t => {
  const { agent, socket, run } = await serve(t)
  const file = join(t.testdir({ 'mesh.yaml': 'a\nb\n' }), 'mesh.yaml')
  t.same(await run('apply', '-f', file), {
    status: 0,
    stdout: [
      'SERVICE  RESULT   PORTS         VIP',
      'a        created  30000:80/tcp  10.253.0.9',
      'b        created  30000:80/tcp  10.253.0.9',
      '',
    ].join('\n'),
    stderr: '',
  })
  t.same(agent.calls.at(-1)?.args, [{ name: file, text: 'a\nb\n', environment: {} }])
  const piped = await runProgram('meshctl', ['apply', '--file', '-'], { MESH_SOCKET: socket }, 'c\n')
  t.match(piped, { status: 0, stdout: /c +created/ })
  t.match(agent.calls.at(-1)?.args, [{ name: 'standard input', text: 'c\n' }])
  const directory = t.testdir({ '.env': 'TARGET=80\nPORT=1\nSECRET=x\n', 'compose.yaml': '$PORT:$TARGET\n' })
  const compose = join(directory, 'compose.yaml')
  await runProgram('meshctl', ['apply', '-f', compose], { MESH_SOCKET: socket, PORT: '8080' })
  t.match(agent.calls.at(-1)?.args, [{ environment: { PORT: '8080', TARGET: '80' } }])
  t.match(await run('apply', '-f', '/nope.yaml'), {
    status: 2,
    stderr: /^meshctl: --file "\/nope\.yaml": ENOENT/,
  })
})

t.test('clean prints what was removed', async t => {
  const { agent, run } = await serve(t)
  t.same(await run('clean'), {
    status: 0,
    stdout:
      'ipvsadm -D -f 0x122b8\nip netns del mesh\n\n2 things removed; the node is as it was before the mesh\n',
    stderr: '',
  })
  t.equal(agent.cleaned, 1)
  t.same(JSON.parse((await run('clean', '--yes', '-o', 'json')).stdout), {
    removed: ['ipvsadm -D -f 0x122b8', 'ip netns del mesh'],
  })
})
