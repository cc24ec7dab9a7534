/**
 * meshctl as a child process against an API server on a real socket: output, stderr
 * and exit status of each command.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createParser } from '../../../src/cli/parser.js'
import { serveApi } from '../../../src/status/api.js'
import { AgentDouble, anEndpoint, aStatus } from '../../helpers/agent-double.js'
import { runProgram } from '../../helpers/run-program.js'
import { aService } from '../../helpers/services.js'
import { shortDirectory } from '../../helpers/short-directory.js'

async function serve(t: Test) {
  const agent = new AgentDouble()
  const socket = join(shortDirectory(t), 'mesh.sock')
  const api = await serveApi(agent, socket, () => {})
  t.teardown(() => api.close())
  const run = (...args: string[]) => runProgram('meshctl', args, { MESH_SOCKET: socket })
  return { agent, socket, run }
}

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
})

t.test('ls is a table for people and JSON for programs', async t => {
  const { agent, run } = await serve(t)
  t.match(await run('ls'), { status: 0, stdout: /^nothing is published; try: meshctl publish/ })
  t.equal((await run('ls', '-o', 'json')).stdout, '[]\n')
  agent.services = [aService('a', 80), aService('shop/web', 8888, { scheduler: 'wlc' })]
  agent.endpoints = [
    anEndpoint(),
    anEndpoint({ published: '53/udp' }),
    anEndpoint({ id: 'f', state: 'paused' }),
  ]
  t.equal(
    (await run('ls')).stdout,
    [
      'SERVICE   PORTS        READY  SCHEDULER  CONNECTIONS  FROM',
      'a         80:80/tcp    1/2    rr         6            meshctl',
      'shop/web  8888:80/tcp  1/2    wlc        6            meshctl',
      '',
    ].join('\n'),
  )
  t.match(JSON.parse((await run('ls', '--output=json')).stdout), [{ name: 'a' }, { name: 'shop/web' }])
})

t.test('inspect shows a service by name or port', async t => {
  const { agent, run } = await serve(t)
  agent.services = [aService('shop/web', 8888, { selector: { app: 'web' } })]
  t.match(await run('inspect', 'shop/web'), { status: 0, stdout: /no endpoints: connections are refused/ })
  agent.endpoints = [
    anEndpoint(),
    anEndpoint({
      container: null,
      id: null,
      address: '10.1.2.3',
      port: 0,
      state: 'failed',
      weight: 0,
      reason: 'no veth',
    }),
  ]
  const expected = `service    shop/web
scheduler  rr
drain      30s
selector   app=web
from       meshctl

PORT         FWMARK   ADDRESS
8888:80/tcp  0x122b8  all

ENDPOINT  ID            ADDRESS        FOR       STATE   WEIGHT  ACTIVE  INACTIVE  REASON
web.1     0123456789ab  10.254.0.3:80  8888/tcp  ready   1       2       1
-         -             10.1.2.3       8888/tcp  failed  0       2       1         no veth
`
  for (const subject of ['shop/web', '8888', '8888/tcp'])
    t.equal((await run('inspect', subject)).stdout, expected)
  t.match(JSON.parse((await run('inspect', '8888', '-o', 'json')).stdout), { name: 'shop/web' })
  t.same(await run('inspect', '1'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: port "1": not published; `meshctl ls` lists what is\n',
  })
})

t.test('status exits with 1 when the agent is not healthy, and shows why', async t => {
  const { agent, run } = await serve(t)
  t.same(await run('status'), {
    status: 0,
    stdout: `node      node1
version   0.1.0
running   1h1m1s
health    healthy
services  1 on 1 port
endpoints 1 ready of 2, 4 connections
last pass 2025-01-02T03:04:05.000Z, full, 12.5 ms, 3 changes, 0 failures

SOURCE  STATE
docker  ready
`,
    stderr: '',
  })
  const since = '2025-01-02T03:04:05.000Z'
  agent.statusView = {
    ...aStatus,
    healthy: false,
    lastPass: null,
    troubles: [{ subject: 'docker', message: 'ENOENT', since }],
    repairs: [{ at: since, what: 'ipset add mesh-tcp 8888' }],
    notes: ['no conntrack zones'],
  }
  const sick = await run('status')
  t.equal(sick.status, 1)
  t.match(sick.stdout, /NOT healthy/)
  t.match(sick.stdout, /TROUBLE +SINCE +WHAT\ndocker +2025-01-02T03:04:05.000Z +ENOENT/)
  t.match(sick.stdout, /2025-01-02T03:04:05.000Z +ipset add mesh-tcp 8888/)
  t.match(sick.stdout, /note: no conntrack zones/)
  const json = await run('status', '-o', 'json')
  t.equal(json.status, 1)
  t.same(JSON.parse(json.stdout), agent.statusView)
})

t.test('plan shows commands, or that there is nothing to change', async t => {
  const { agent, run } = await serve(t)
  t.match(await run('plan'), {
    status: 0,
    stdout: 'nothing to change: the kernel holds what the mesh wants\n',
  })
  agent.services = [aService('web', 80)]
  t.equal((await run('plan')).stdout, 'WHERE  CHANGE\nmesh   ipvsadm -A for web\n')
  t.match(JSON.parse((await run('plan', '-o', 'json')).stdout), [{ type: 'add', kind: 'virtualService' }])
})

t.test('apply sends the file as it is, from a path or standard input', async t => {
  const { agent, socket, run } = await serve(t)
  const file = join(t.testdir({ 'mesh.yaml': 'a\nb\n' }), 'mesh.yaml')
  t.same(await run('apply', '-f', file), {
    status: 0,
    stdout: 'SERVICE  RESULT   PORTS\na        created  30000:80/tcp\nb        created  30000:80/tcp\n',
    stderr: '',
  })
  t.same(agent.calls.at(-1)?.args, [{ name: file, text: 'a\nb\n' }])
  const piped = await runProgram('meshctl', ['apply', '--file', '-'], { MESH_SOCKET: socket }, 'c\n')
  t.match(piped, { status: 0, stdout: /c +created/ })
  t.match(agent.calls.at(-1)?.args, [{ name: 'standard input', text: 'c\n' }])
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

t.test('version shows both sides, and one is enough', async t => {
  const { run } = await serve(t)
  t.match((await run('version')).stdout, /^meshctl \d+\.\d+\.\d+\nmeshd 9\.9\.9 on node1\n$/)
  const alone = await run('version', '--socket', '/nope.sock', '-o', 'json')
  t.match(alone, { status: 0 })
  t.match(JSON.parse(alone.stdout), { client: /^\d/, agent: null })
})

t.test('every command has help with an example', async t => {
  const overview = await runProgram('meshctl', ['--help'])
  t.equal(overview.status, 0)
  const commands = [...overview.stdout.matchAll(/^ {2}meshctl (\w+)/gm)].map(match => match[1] ?? '')
  t.same(commands, [
    'publish',
    'unpublish',
    'ls',
    'inspect',
    'status',
    'plan',
    'apply',
    'clean',
    'completion',
    'version',
  ])
  for (const command of commands) {
    const help = await createParser([command]).getHelp()
    t.match(help, new RegExp(`Examples:\\n +meshctl ${command}`))
  }
})

t.test('completion prints a script, and completes commands and services', async t => {
  const { agent, socket, run } = await serve(t)
  agent.services = [aService('web', 80), aService('wiki', 81)]
  t.match(await run('completion', 'zsh'), { status: 0, stdout: /^#compdef meshctl\n/ })
  const { status, stdout } = await run('completion', 'bash')
  t.equal(status, 0)
  const directory = t.testdir({ completion: stdout })
  const program = fileURLToPath(new URL('../../../src/cli/meshctl.js', import.meta.url))
  const complete = (...words: string[]) =>
    spawnSync(
      'bash',
      [
        '-c',
        `meshctl() { "${process.execPath}" "${program}" "$@"; }; . completion
         COMP_WORDS=(meshctl "$@"); COMP_CWORD=$#; _meshctl; echo "\${COMPREPLY[@]}"`,
        'bash',
        ...words,
      ],
      { encoding: 'utf8', cwd: directory, env: { ...process.env, MESH_SOCKET: socket } },
    ).stdout.trim()
  t.equal(complete('pl'), 'plan')
  t.equal(complete('inspect', '--so'), '--socket')
  // The server answers from this process, so it must not block while bash waits.
  t.match((await run('--get-yargs-completions', 'meshctl', 'inspect', 'w')).stdout, /^web\nwiki$/m)
})
