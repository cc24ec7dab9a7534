/**
 * Commands that show something, as a child process: output, stderr, exit status.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createParser } from '../../../src/cli/parser.js'
import { anEndpoint, aStatus } from '../../helpers/agent-double.js'
import { serve } from '../../helpers/meshctl-server.js'
import { runProgram } from '../../helpers/run-program.js'
import { aService } from '../../helpers/services.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

t.test('ls is a table for people and JSON for programs', async t => {
  const { agent, run } = await serve(t)
  t.match(await run('ls'), { status: 0, stdout: /^nothing is published; try: meshctl publish/ })
  t.equal((await run('ls', '-o', 'json')).stdout, '[]\n')
  agent.services = [aService('a', 80), aService('shop/web', 8888, { scheduler: 'wlc', vip: '10.253.1.3' })]
  agent.endpoints = [
    anEndpoint(),
    anEndpoint({ published: '53/udp' }),
    anEndpoint({ id: 'f', state: 'paused' }),
  ]
  t.equal(
    (await run('ls')).stdout,
    [
      'SERVICE   PORTS        VIP         READY  SCHEDULER  CONNECTIONS  FROM',
      'a         80:80/tcp    -           1/2    rr         6            meshctl',
      'shop/web  8888:80/tcp  10.253.1.3  1/2    wlc        9            meshctl',
      '',
    ].join('\n'),
  )
  t.match(JSON.parse((await run('ls', '--output=json')).stdout), [{ name: 'a' }, { name: 'shop/web' }])
})

t.test('ls counts connections once where ports share a virtual service', async t => {
  const { agent, run } = await serve(t)
  const [port] = aService('', 8889).ports
  agent.services = [aService('web', 8888, { ports: [...aService('', 8888).ports, port!] })]
  agent.endpoints = [anEndpoint(), anEndpoint({ published: '8889/tcp' })]
  t.match((await run('ls')).stdout, /web .* 1\/1 +rr +2 +meshctl/)
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
vips      3 of 65533 in 10.253.0.0/16
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
    'adopt',
    'release',
    'service',
    'node',
    'dns',
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
