/**
 * meshctl as a child process when something is wrong: what it says, and its exit status.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { run as runHere } from '../../../src/cli/parser.js'
import { MeshError } from '../../../src/errors.js'
import { serve } from '../../helpers/meshctl-server.js'
import { runProgram } from '../../helpers/run-program.js'
import { shortDirectory } from '../../helpers/short-directory.js'

t.setTimeout(120_000)

t.test('errors of the agent are one line and exit status 1', async t => {
  const { agent, run } = await serve(t)
  agent.failure = new MeshError('MESH_PORT_TAKEN', 'publish 8888/tcp: nginx (pid 7) listens on 0.0.0.0:8888')
  t.same(await run('publish', '8888:80', 'web'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: publish 8888/tcp: nginx (pid 7) listens on 0.0.0.0:8888\n',
  })
  agent.failure = new Error('oops')
  t.same(await run('plan'), { status: 1, stdout: '', stderr: 'meshctl: oops\n' })
})

t.test('bad input is exit status 2, one line with field, value and remedy, and asks no agent', async t => {
  const { agent, socket, run } = await serve(t)
  const cases: [string[], RegExp][] = [
    [
      ['publish', '99999:80', 'web'],
      /port "99999:80": 99999 is outside 1–65535; choose a port from 1 to 65535/,
    ],
    [['publish', '8888:80'], /SPEC or SERVICE is missing; write for example: meshctl publish 8888:80 web/],
    [['publish'], /SPEC or SERVICE is missing/],
    [['publish', '8888:80', 'we b'], /service "we b"/],
    [['publish', '8888:80', 'web', '--scheduler', 'xx'], /scheduler "xx": .*; use rr, wrr/],
    [['publish', '8888:80', 'web', '--drain', 'soon'], /drain "soon": .*; write a number and a unit/],
    [['publish', '8888:80', 'web', '--drain', '1s', '--drain', '2s'], /--drain "1s 2s": it is given twice/],
    [['publish', '8888:80', 'web', '--selector', 'x'], /selector "x": .*; write label=value/],
    [['publish', '8888:80', 'web', '--endpoint', 'x:1'], /endpoint "x:1": .*; write ADDRESS:PORT/],
    [['publish', '8888:80', 'web', '--timeout', 'x', '--wait'], /--timeout "x"/],
    [['publish', '8888:80', 'web', '--drain'], /option "--drain": its value is missing/],
    [['unpublish', '8888'], /arguments "8888[^"]*": there are too few; see meshctl unpublish --help/],
    [['unpublish', 'x', 'web'], /port "x"/],
    [['publish', '8888:80', 'web', '--wait=maybe'], /--wait "maybe": it takes no value; write --wait/],
    [['node', 'drain', 'node2', '--undo=yes'], /--undo "yes"/],
    [['inspect'], /see meshctl inspect --help/],
    [['ls', '--colour'], /option "--colour": there is no such option; see meshctl ls --help/],
    [['ls', 'all'], /argument "all": ls takes no such argument/],
    [['ls', '-o', 'xml'], /--output "xml": .*; use table or json/],
    [['lss'], /command "lss": there is no such command; did you mean ls\?/],
    [['frobnicate'], /command "frobnicate": there is no such command; see meshctl --help/],
    [[], /command "": it is missing; see meshctl --help/],
    [['apply'], /option "--file": it is missing/],
    [['completion', 'fish'], /shell "fish": .*; use bash or zsh/],
  ]
  for (const [args, message] of cases)
    await t.rejects(runHere([...args, '--socket', socket]), {
      code: 'MESH_BAD_INPUT',
      message,
    })
  for (const args of [['publish', '99999:80', 'web'], ['lss']]) {
    const ended = await run(...args)
    t.match(ended, { status: 2, stdout: '' }, args.join(' '))
    t.match(ended.stderr, /^meshctl: [^\n]+\n$/, 'one line')
  }
  t.same(agent.calls, [])
})

t.test('without an agent every command fails with exit status 3 and says how to start one', async t => {
  const directory = shortDirectory(t)
  const absent = join(directory, 'absent.sock')
  for (const args of [
    ['ls'],
    ['inspect', 'web'],
    ['status'],
    ['plan'],
    ['publish', '80', 'web'],
    ['unpublish', '80', 'web'],
  ]) {
    await t.rejects(runHere(['--socket', absent, ...args]), {
      code: 'MESH_UNREACHABLE',
      message: `no agent answers on ${absent}; start it (systemctl start meshd, or meshd)`,
    })
  }
  t.match(await runProgram('meshctl', ['ls', '--socket', absent]), { status: 3, stdout: '' })
  await t.rejects(runHere(['ls', '--socket', '']), { message: /^--socket "": it is empty; leave it out for/ })
})

t.test('something else behind the socket is told apart, and so is a hung or dying agent', async t => {
  const path = join(shortDirectory(t), 'x.sock')
  const server = createServer(connection => connection.destroy())
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.teardown(() => server.close())
  t.match(await runProgram('meshctl', ['ls', '--socket', path]), { status: 3, stderr: /ended in the middle/ })
  server.removeAllListeners('connection')
  server.on('connection', connection => connection.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'))
  t.match(await runProgram('meshctl', ['ls', '--socket', path]), { status: 3, stderr: /is not meshd/ })
})

t.test('a socket that is not open to the caller names the group', async t => {
  if (process.getuid?.() !== 0) return t.plan(0, 'needs root, to become somebody else')
  const { socket } = await serve(t)
  const directory = join(socket, '..')
  chmodSync(directory, 0o755)
  const script = join(directory, 'client.mjs')
  // The build may lie where nobody else can read it; the client's code path is the same.
  const client = new URL('../../../src/cli/client.js', import.meta.url).href
  writeFileSync(
    script,
    `const { createClient } = await import(${JSON.stringify(client)})
process.setgroups([65534])
process.setgid(65534)
process.setuid(65534)
await createClient(${JSON.stringify(socket)}).list().catch(error => console.log(error.code, error.message))`,
  )
  const { stdout } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  t.match(stdout, /MESH_UNREACHABLE .*mesh\.sock is not open to you; be root or a member of the group mesh/)
})
