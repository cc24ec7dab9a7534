/**
 * The API server over a real unix socket: routes, errors, and the socket itself.
 */
import { existsSync, lstatSync, renameSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MeshError, NetlinkError } from '../../../src/errors.js'
import type { PublishOptions } from '../../../src/status/agent.js'
import { serveApi, serveMetrics } from '../../../src/status/api.js'
import { groupId, requireAlone } from '../../../src/status/socket.js'
import { AgentDouble, aNode, anEndpoint, aStatus } from '../../helpers/agent-double.js'
import { shortDirectory } from '../../helpers/short-directory.js'
import { waitFor } from '../../helpers/wait.js'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server sent is looked at by the test
  readonly json: any
}

function ask(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const sent = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  const headers = { 'Content-Length': Buffer.byteLength(sent) }
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => {
        text += part
      })
      response.on('end', () => {
        const isJson = response.headers['content-type'] === 'application/json'
        const json = isJson ? JSON.parse(text) : null
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(sent)
  })
}

async function serve(t: Test) {
  const agent = new AgentDouble()
  const socket = join(shortDirectory(t), 'run', 'mesh.sock')
  const defects: unknown[] = []
  const api = await serveApi(
    agent,
    socket,
    error => defects.push(error),
    () => defects.push('cleaned'),
  )
  t.teardown(() => api.close())
  return { agent, socket, defects, api }
}

t.test('publishes, lists, inspects by name and port, and unpublishes', async t => {
  const { agent, socket } = await serve(t)
  agent.endpoints = [anEndpoint()]
  const published = await ask(socket, 'POST', '/v1/services', {
    service: 'shop/web',
    ports: ['8888:80', '53:53/udp'],
    selector: 'app=web',
    endpoints: ['10.1.2.3:5432', 'node'],
    scheduler: 'wlc',
    drain: '1m',
    wait: true,
  })
  t.equal(published.status, 200)
  t.match(published.json, {
    created: true,
    warnings: [],
    service: { name: 'shop/web', scheduler: 'wlc', drain: 60 },
  })
  t.match(agent.calls[0]?.args, [
    {
      selector: { app: 'web' },
      endpoints: [
        { address: '10.1.2.3', port: 5432 },
        { address: '127.0.0.1', port: null },
      ],
    },
    { wait: true, given: new Set(['selector', 'endpoints', 'scheduler', 'drain']) },
  ])
  t.match((await ask(socket, 'GET', '/v1/services')).json, [{ name: 'shop/web' }])
  for (const name of ['shop%2Fweb', '8888', '8888%2Ftcp', '53%2fUDP'])
    t.equal((await ask(socket, 'GET', `/v1/services/${name}`)).json.name, 'shop/web', name)
  t.match((await ask(socket, 'DELETE', '/v1/services/shop%2Fweb/ports/8888')).json, {
    removed: ['8888:80/tcp'],
    service: { ports: [{ spec: '53:53/udp' }] },
  })
  t.match((await ask(socket, 'DELETE', '/v1/services/shop%2Fweb/ports/53:53%2Fudp')).json, { service: null })
  t.same((await ask(socket, 'GET', '/v1/services')).json, [])
})

t.test('creates services, changes what is given of them, and removes them', async t => {
  const { agent, socket } = await serve(t)
  const created = await ask(socket, 'PUT', '/v1/services/shop%2Fweb', {
    vipPorts: ['8080:80'],
    vip: '10.253.1.3',
  })
  t.match(created.json, {
    created: true,
    service: { name: 'shop/web', vip: '10.253.1.3', vipPorts: [{ spec: '8080:80/tcp' }], ports: [] },
  })
  const set = await ask(socket, 'PATCH', '/v1/services/shop%2Fweb', { weights: ['v=2:5'], persistence: 60 })
  t.match(set.json, { created: false, service: { weights: ['v=2:5'], persistence: 60, vip: '10.253.1.3' } })
  t.same(agent.calls.at(-1)?.args, [
    'shop/web',
    { weights: [{ label: 'v', value: '2', weight: 5 }], persistence: 60 },
  ])
  t.same((await ask(socket, 'DELETE', '/v1/services/shop%2Fweb')).json, {
    name: 'shop/web',
    vip: '10.253.1.3',
    removed: [],
  })
  t.same(agent.calls.at(-1)?.args, ['shop/web', { force: false }])
  t.equal((await ask(socket, 'DELETE', '/v1/services/shop%2Fweb', { force: true })).status, 404)
  for (const [method, body, field] of [
    ['PUT', undefined, 'port'],
    ['PUT', { vipPorts: '80' }, 'vipPorts'],
    ['PUT', { port: ['80'] }, 'port'],
    ['PATCH', {}, 'arguments'],
    ['PATCH', { vip: 'yes' }, 'vip'],
    ['DELETE', { force: 'yes' }, 'force'],
  ] as const) {
    const refused = await ask(socket, method, '/v1/services/web', body)
    t.match(
      refused,
      { status: 400, json: { error: { code: 'MESH_BAD_INPUT', field } } },
      `${method} ${field}`,
    )
  }
  agent.failure = new MeshError('MESH_VIP_TAKEN', 'give web the VIP 10.253.1.3: service api has it')
  t.match(await ask(socket, 'PUT', '/v1/services/web', { vipPorts: ['80'] }), {
    status: 409,
    json: { error: { code: 'MESH_VIP_TAKEN' } },
  })
})

t.test('what was not given is told apart from what was given at its default', async t => {
  const { agent, socket } = await serve(t)
  await ask(socket, 'POST', '/v1/services', { service: 'web', ports: ['80'] })
  t.match(agent.calls[0]?.args[1], { wait: false, given: new Set() })
})

t.test('status, plan, version, apply, metrics and health', async t => {
  const { agent, socket } = await serve(t)
  t.same((await ask(socket, 'GET', '/v1/status')).json, aStatus)
  t.same((await ask(socket, 'GET', '/v1/plan')).json, [])
  t.same((await ask(socket, 'GET', '/v1/version')).json, { version: '9.9.9', node: 'node1' })
  const applied = await ask(socket, 'POST', '/v1/apply', { name: '/x/mesh.yaml', text: 'a\nb\n' })
  t.match(applied.json, [{ name: 'a' }, { name: 'b' }])
  const metrics = await ask(socket, 'GET', '/metrics')
  t.match(metrics.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  t.match(metrics.text, 'mesh_healthy 1')
  t.match(await ask(socket, 'GET', '/healthz'), { status: 200, text: 'healthy\n' })
  const troubles = [{ subject: 'docker', message: 'away', since: '2025-01-01T00:00:00Z' }]
  agent.statusView = { ...aStatus, healthy: false, troubles }
  t.match(await ask(socket, 'GET', '/healthz'), { status: 503, text: 'docker: away\n' })
  const sources = [{ name: 'etcd', state: 'waiting' as const, message: null }]
  agent.statusView = { ...aStatus, healthy: false, sources }
  t.match(await ask(socket, 'GET', '/healthz'), { status: 503, text: 'etcd: not heard yet\n' })
})

t.test('clean answers before the agent goes', async t => {
  const { agent, socket, defects } = await serve(t)
  t.match((await ask(socket, 'POST', '/v1/clean')).json, { removed: ['ipvsadm -D -f 0x122b8', /./] })
  t.equal(agent.cleaned, 1)
  t.same(defects, ['cleaned'])
})

t.test('clean is followed by the end of the agent also where it failed, or nobody waits for it', async t => {
  const { agent, socket, defects } = await serve(t)
  await ask(socket, 'POST', '/v1/clean', '{')
  t.same(defects, [], 'nothing was begun')
  agent.failure = new MeshError('MESH_INTERNAL', 'some of the mesh is left on this host')
  t.match(await ask(socket, 'POST', '/v1/clean'), { status: 500, json: { error: { message: /is left/ } } })
  t.same(defects, ['cleaned'])

  let begun = () => {}
  let end = () => {}
  const asked = new Promise<void>(resolve => {
    begun = resolve
  })
  agent.clean = () => {
    begun()
    return new Promise(resolve => {
      end = () => resolve({ removed: [] })
    })
  }
  const impatient = request({ socketPath: socket, method: 'POST', path: '/v1/clean', agent: false })
  impatient.on('error', () => {})
  impatient.end()
  await asked
  const closed = new Promise(resolve => impatient.once('close', resolve))
  impatient.destroy()
  await closed
  end()
  await waitFor(() => defects.length === 2, 'the end of the agent', 5)
  t.same(defects, ['cleaned', 'cleaned'])
})

t.test('a publish that waits hears when nobody waits for it any more', async t => {
  const { agent, socket } = await serve(t)
  agent.ready = new Promise(() => {})
  const body = JSON.stringify({ service: 'web', ports: ['80'], wait: true })
  const impatient = request({ socketPath: socket, method: 'POST', path: '/v1/services', agent: false })
  impatient.on('error', () => {})
  impatient.end(body)
  await waitFor(() => agent.calls.length === 1, 'the request', 5)
  const { gone } = agent.calls[0]!.args[1] as PublishOptions
  t.notOk(gone.aborted)
  impatient.destroy()
  await waitFor(() => gone.aborted, 'the news', 5)
})

t.test('bad input is 400 with field, value and remedy, and reaches no agent', async t => {
  const { agent, socket } = await serve(t)
  const cases: [unknown, { field: string; value?: string; remedy?: RegExp }][] = [
    [
      { service: 'web', ports: ['99999:80'] },
      { field: 'port', value: '99999:80', remedy: /1 to 65535/ },
    ],
    [
      { service: 'we b', ports: ['80'] },
      { field: 'service', value: 'we b' },
    ],
    [
      { service: 'web', ports: ['80'], scheduler: 'x' },
      { field: 'scheduler', value: 'x', remedy: /rr, wrr/ },
    ],
    [
      { service: 'web', ports: ['80'], drain: '99h' },
      { field: 'drain', value: '99h' },
    ],
    [
      { service: 'web', ports: ['80'], endpoints: ['a:b'] },
      { field: 'endpoint', value: 'a:b' },
    ],
    [
      { service: 'web', ports: ['80'], selector: 'a' },
      { field: 'selector', value: 'a' },
    ],
    [
      { service: 'web', ports: [] },
      { field: 'ports', value: '[]' },
    ],
    [{ service: 'web' }, { field: 'ports', value: '' }],
    [
      { service: 'web', ports: [80] },
      { field: 'ports.0', value: '80' },
    ],
    [
      { service: 'web', ports: ['80'], colour: 'red' },
      { field: 'colour', value: '"red"', remedy: /meshctl publish --help/ },
    ],
    [
      { service: 'web', ports: ['80'], selector: '__proto__=x' },
      { field: 'selector', value: '__proto__=x' },
    ],
    ['{', { field: 'request', value: '{', remedy: /JSON/ }],
    [[1], { field: 'request' }],
    [undefined, { field: 'request' }],
  ]
  for (const [body, error] of cases) {
    const answer = await ask(socket, 'POST', '/v1/services', body)
    t.equal(answer.status, 400, JSON.stringify(body))
    t.match(answer.json.error, { code: 'MESH_BAD_INPUT', message: /./, ...error })
  }
  t.equal((await ask(socket, 'POST', '/v1/apply', { text: 'x' })).status, 400)
  t.equal((await ask(socket, 'DELETE', '/v1/services/web/ports/x')).status, 400)
  t.equal((await ask(socket, 'GET', '/v1/services/%zz')).status, 400)
  t.same(
    agent.calls.filter(({ name }) => name !== 'list'),
    [],
  )
})

t.test('every code has its HTTP status, and a defect is told to the log', async t => {
  const { agent, socket, defects } = await serve(t)
  const cases: [unknown, number, string][] = [
    [new MeshError('MESH_PORT_TAKEN', 'taken'), 409, 'MESH_PORT_TAKEN'],
    [new MeshError('MESH_NOT_FOUND', 'no'), 404, 'MESH_NOT_FOUND'],
    [new MeshError('MESH_UNSUPPORTED', 'no'), 501, 'MESH_UNSUPPORTED'],
    [new MeshError('MESH_STORE', 'no'), 503, 'MESH_STORE'],
    [new NetlinkError('add destination', 'x', 17, 'EEXIST', null), 500, 'MESH_NETLINK'],
    [new TypeError('oops'), 500, 'MESH_INTERNAL'],
    ['text', 500, 'MESH_INTERNAL'],
  ]
  for (const [failure, status, code] of cases) {
    agent.failure = failure
    const answer = await ask(socket, 'GET', '/v1/status')
    t.equal(answer.status, status)
    t.equal(answer.json.error.code, code)
  }
  t.equal(defects.length, 2)
  t.equal((await ask(socket, 'GET', '/v1/services/web')).status, 404)
})

t.test('paths and methods that are not there', async t => {
  const { socket } = await serve(t)
  t.match(await ask(socket, 'GET', '/nope'), { status: 404, json: { error: { message: /\/nope/ } } })
  t.match(await ask(socket, 'GET', '//'), {
    status: 404,
    json: { error: { message: 'there is nothing at //' } },
  })
  t.match((await ask(socket, 'GET', '/v1/services/..')).json.error, { message: /^service "\.\."/ })
  t.equal((await ask(socket, 'GET', '/v1/version?x=1')).status, 200)
  const wrong = await ask(socket, 'DELETE', '/v1/services')
  t.equal(wrong.status, 405)
  t.equal(wrong.headers.allow, 'GET, POST')
})

t.test('a body beyond 4 MiB is refused in words', async t => {
  const { socket } = await serve(t)
  const answer = await ask(socket, 'POST', '/v1/apply', { name: 'x', text: 'y'.repeat(5 * 1024 * 1024) })
  t.equal(answer.status, 400)
  t.match(answer.json.error.message, /too long/)
})

t.test('nodes are listed, drained, let in again and removed', async t => {
  const { agent, socket } = await serve(t)
  agent.nodeViews = [aNode(1), aNode(2)]
  t.match((await ask(socket, 'GET', '/v1/nodes')).json, [{ name: 'node1', own: true }, { name: 'node2' }])
  t.match((await ask(socket, 'POST', '/v1/nodes/node2/drain')).json, { name: 'node2', draining: true })
  t.match((await ask(socket, 'DELETE', '/v1/nodes/node2/drain')).json, { name: 'node2', draining: false })
  t.match((await ask(socket, 'DELETE', '/v1/nodes/node2')).json, { name: 'node2' })
  t.equal((await ask(socket, 'DELETE', '/v1/nodes/node2')).status, 404)
})

t.test('the socket is open to its group only, and gone after close', async t => {
  const { socket, api } = await serve(t)
  const { mode } = lstatSync(socket)
  t.equal(mode & 0o777, 0o660)
  await api.close()
  t.notOk(existsSync(socket))
})

t.test('closing does not wait for a publish that waits for its endpoints', async t => {
  const { agent, socket, api } = await serve(t)
  agent.ready = new Promise(() => {})
  const asked = ask(socket, 'POST', '/v1/services', { service: 'web', ports: ['80'], wait: true })
  const failed = t.rejects(asked, { code: 'ECONNRESET' })
  while (agent.calls.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  await api.close()
  await failed
})

t.test('a stale socket is replaced, a live one is not, and a file is not removed', async t => {
  const directory = shortDirectory(t)
  const path = join(directory, 'mesh.sock')
  // A socket without a process: libuv unlinks on close, so it is renamed away before.
  const dead = createServer()
  await new Promise<void>(resolve => dead.listen(join(directory, 'first.sock'), resolve))
  renameSync(join(directory, 'first.sock'), path)
  await new Promise(resolve => dead.close(resolve))
  t.ok(lstatSync(path).isSocket())

  const api = await serveApi(new AgentDouble(), path, () => {})
  t.equal((await ask(path, 'GET', '/v1/version')).status, 200)
  await t.rejects(
    serveApi(new AgentDouble(), path, () => {}),
    { code: 'MESH_UNSUPPORTED', message: /another meshd answers there/ },
  )
  await t.rejects(requireAlone(path), { code: 'MESH_UNSUPPORTED', message: /another meshd answers there/ })
  t.equal((await ask(path, 'GET', '/v1/version')).status, 200, 'the live one goes on')
  await api.close()
  await requireAlone(path)

  writeFileSync(path, 'precious')
  await t.rejects(
    serveApi(new AgentDouble(), path, () => {}),
    { message: /something else is there/ },
  )
  t.ok(existsSync(path))
})

t.test('metrics over TCP offer nothing else, and say when the port is taken', async t => {
  const probe = createServer()
  const port = await new Promise<number>(resolve =>
    probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port)),
  )
  const where = { address: '127.0.0.1', port }
  await t.rejects(
    serveMetrics(new AgentDouble(), where, () => {}),
    { code: 'MESH_UNSUPPORTED', message: /EADDRINUSE/ },
  )
  await new Promise(resolve => probe.close(resolve))
  const api = await serveMetrics(new AgentDouble(), where, () => {})
  t.teardown(() => api.close())
  t.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), 'mesh_healthy 1')
  t.equal((await fetch(`http://127.0.0.1:${port}/v1/services`)).status, 404)
})

t.test('the group is found in the text of /etc/group', async t => {
  t.equal(groupId('root:x:0:\nmesh:x:990:ann,ben\n'), 990)
  t.equal(groupId('root:x:0:\nmeshed:x:990:\n'), null)
})
