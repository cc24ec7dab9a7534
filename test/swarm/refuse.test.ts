/**
 * What cannot be published is refused with its reason, and neither kernel nor agent
 * has anything of it afterwards.
 */
import t, { type Test } from 'tap'
import { run as meshctlHere } from '../../src/cli/parser.js'
import type { ErrorCode } from '../../src/errors.js'
import { ask } from '../helpers/clients.js'
import { type Running, rareLooks, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { managers: 1 })
if (!node) throw new Error('no node')
const { docker } = node
const mesh = new NodeMesh(node)
/** The agent's socket, from outside the node. */
const here = ['--socket', `/proc/${node.pid}/root/run/mesh/mesh.sock`]
const port = (number: number) => ({
  Protocol: 'tcp',
  TargetPort: 80,
  PublishedPort: number,
  PublishMode: 'ingress',
})

// Everything that holds a port before the mesh asks for it.
const listener: Running = node.start('.lab/web', '7001')
t.teardown(() => listener.kill('SIGKILL'))
await docker.runContainer({ name: 'solo' })
await docker.runContainer({
  name: 'exposed',
  more: { ExposedPorts: { '80/tcp': {}, '53/udp': {} } },
  host: { PortBindings: { '80/tcp': [{ HostPort: '7101' }], '53/udp': [{ HostPort: '7101' }] } },
})
await docker.createService({
  name: 'ingressed',
  replicas: 0,
  more: { EndpointSpec: { Ports: [port(7102)] } },
})
const agent = await node.startAgent(
  ...rareLooks,
  ...['--metrics', '127.0.0.1:9378', '--reserved-ports', '7300-7309/udp'],
  ...['--vip-pool', '10.253.0.0/28'], // 13 VIPs
)
t.teardown(() => agent.kill('SIGTERM'))
await node.meshctl('publish', '8888:80', '8000-8009:8000-8009', 'solo')

/** Kernel and agent, as far as a published port shows in them. */
async function everything(): Promise<object> {
  const look = (command: string) => command.replaceAll(/\[\d+:\d+\]|^#.*$/gm, '')
  return {
    host: look(mesh.inHost('iptables-save') + mesh.inHost('ipset save')),
    sandbox: look(mesh.inSandbox('iptables-save') + mesh.inSandbox('ipset save')),
    ipvs: mesh.inSandbox('ipvsadm -Sn'),
    listed: await mesh.client.list(),
    stored: await node!.must('cat', '/var/lib/mesh/mesh.json'),
    planned: await mesh.client.plan(),
  }
}
const before = await everything()

/** Arguments of `publish`, and the reason that meshctl must give, after its own name. */
type Refusal = readonly [args: string, reason: RegExp | string]

/**
 * Has meshctl refuse them all: the first by the program as a person runs it, the others by
 * its parser in this process, for a program takes a second to start here.
 */
async function refuses(t: Test, code: ErrorCode, refusals: readonly Refusal[]): Promise<void> {
  const [[asTyped, because]] = refusals as [Refusal]
  const { status, stdout, stderr } = await node!.meshctl('publish', ...asTyped.split(' '))
  t.same({ status, stdout }, { status: code === 'MESH_BAD_INPUT' ? 2 : 1, stdout: '' }, asTyped)
  t.match(stderr, because, asTyped)
  t.match(stderr, /^meshctl: [^\n]+\n$/, 'in one line')
  for (const [args, message] of refusals.slice(1))
    await t.rejects(meshctlHere(['publish', ...args.split(' '), ...here]), { code, message })
  t.same(await everything(), before, 'nothing of it is left anywhere')
}

t.test('a port that a process of the node listens on', async t => {
  await refuses(t, 'MESH_PORT_TAKEN', [
    [
      '7001:80 solo',
      /publish 7001\/tcp: it is in use on this node: web \(pid \d+\) listens on 0\.0\.0\.0:7001/,
    ],
    ['7001:80/udp solo', /publish 7001\/udp: it is in use on this node: web \(pid \d+\) listens on/],
    ['8889:80 7000-7002:7000-7002 solo', /publish 7000-7002\/tcp: 7001 is in use on this node: web/],
    ['9378:80 solo', /publish 9378\/tcp: it is reserved for the agent's own metrics/],
  ])
})

t.test('a port that Docker publishes', async t => {
  await refuses(t, 'MESH_PORT_TAKEN', [
    [
      '7101:80 solo',
      /7101\/tcp: it is published by Docker for container exposed; run it without that port first/,
    ],
    ['7101:80/udp solo', /7101\/udp: it is published by Docker for container exposed/],
    [
      '7102:80 solo',
      /7102\/tcp: it is published by Docker for Swarm service ingressed; remove it there first/,
    ],
  ])
})

t.test('a port that is published already', async t => {
  await refuses(t, 'MESH_PORT_TAKEN', [
    ['8888:81 other', 'publish 8888/tcp: service solo publishes it'],
    ['8009-8010:8009-8010 other', 'publish 8009-8010/tcp: service solo publishes it'],
    ['127.0.0.1:8888:80 other', /service solo publishes it \(on every address; a port may be published once/],
    ['8889:80 8889:81 other', 'publish 8889/tcp: other itself publishes 8889/tcp too'],
  ])
})

t.test('a port that is reserved', async t => {
  await refuses(t, 'MESH_PORT_TAKEN', [
    ['2377:80 solo', "publish 2377/tcp: it is reserved for Swarm's managers"],
    ['7946:80 solo', "publish 7946/tcp: it is reserved for Swarm's gossip"],
    ['7946:80/udp solo', "publish 7946/udp: it is reserved for Swarm's gossip"],
    ['4789:80/udp solo', 'publish 4789/udp: it is reserved for VXLAN'],
    ['7305:80/udp solo', /publish 7305\/udp: it is reserved for other uses \(setting reserved-ports\)/],
  ])
})

t.test('a SPEC that is none', async t => {
  await refuses(t, 'MESH_BAD_INPUT', [
    ['0:80 solo', 'port "0:80": 0 is outside 1–65535'],
    ['8889:65536 solo', 'port "8889:65536": 65536 is outside 1–65535'],
    ['8010-8000:8010-8000 solo', 'port "8010-8000:8010-8000": the range 8010-8000 runs backwards'],
    ['8100-8109:80-88 solo', 'the published range has 10 ports and the target 9'],
    ['8889:80/quic solo', 'port "8889:80/quic": "quic" is not a protocol; use tcp, udp or sctp'],
    ['8889:80:90:100 solo', 'this is not a port specification'],
  ])
})

t.test('options that make no sense', async t => {
  await refuses(t, 'MESH_BAD_INPUT', [
    [
      '8889:80 solo --scheduler fastest',
      'scheduler "fastest": the kernel has no such scheduler; use rr, wrr',
    ],
    ['8889:80 solo --selector app', 'selector "app": "app" has no value; write label=value'],
    ['8889:80 solo --endpoint 1.2.3:80', 'endpoint "1.2.3:80": "1.2.3" is not an IPv4 address'],
    ['8889:80 solo --drain soon', 'drain "soon": '],
    ['8889:80 so:lo', 'service "so:lo": this is not a name'],
    ['8889:80', 'SPEC or SERVICE is missing'],
    ['8889:80 solo --selektor a=b', 'option "--selektor": there is no such option'],
  ])
})

t.test('a scheduler that this kernel lacks', async t => {
  await refuses(t, 'MESH_UNSUPPORTED', [
    [
      '8889:80 solo --scheduler twos',
      /the kernel's IPVS has no scheduler twos; modprobe ip_vs_twos, or choose another/,
    ],
  ])
})

t.test('a VIP that nobody may have', async t => {
  await refuses(t, 'MESH_BAD_INPUT', [
    ['8889:80 other --vip 10.253.0.16', 'vip "10.253.0.16": it is outside the VIP pool 10.253.0.0/28'],
    ['8889:80 other --vip 10.253.0.1', `vip "10.253.0.1": it is the resolver's own`],
  ])
})

t.test('a VIP when none is left; ports are published all the same', async t => {
  const { client } = mesh
  const asking = { selector: 'app=none', vipPorts: ['80'] }
  const vips = new Set([(await client.inspect('solo')).vip])
  for (let i = 1; i < 13; i++) vips.add((await client.createService(`s${i}`, asking)).service.vip)
  t.equal(vips.size, 13, 'all of the pool, each once')
  const counts = /all 13 addresses of the VIP pool 10\.253\.0\.0\/28 are taken; .*--vip-pool/
  await t.rejects(client.createService('s13', asking), { code: 'MESH_VIP_TAKEN', message: counts })
  const published = await client.publish({ service: 'outer', ports: ['8890:80'], selector: 'app=none' }, 60)
  t.match(published, { service: { vip: null, ports: [{ spec: '8890:80/tcp' }] }, warnings: [counts] })
  t.match(await client.status(), { vips: { size: 13, used: 13 }, notes: [counts] })
  t.match(await node.must('curl', '-s', 'http://127.0.0.1:9378/metrics'), /^mesh_vips 13$/m)
  const { vip } = await client.removeService('s1', {})
  t.match(
    await client.setService('outer', { vip: 'auto' }),
    { service: { vip }, warnings: [] },
    'it is free again',
  )
  for (let i = 2; i < 13; i++) await client.removeService(`s${i}`, {})
  t.match(await client.removeService('outer', { force: true }), { vip, removed: ['8890:80/tcp'] })
})

t.test('without an agent meshctl ends with status 3 and says how to start one', async t => {
  const socket = ['--socket', '/run/nobody.sock']
  const message = /^no agent answers on \/run\/nobody\.sock; start it \(/
  const { status, stdout, stderr } = await node.meshctl('ls', ...socket)
  t.same({ status, stdout }, { status: 3, stdout: '' })
  t.match(stderr.replace('meshctl: ', ''), message)
  for (const args of [['publish', '8889:80', 'solo'], ['status']])
    await t.rejects(meshctlHere([...args, ...socket]), { code: 'MESH_UNREACHABLE', message })
})

t.test('what was refused can be had as soon as its reason is gone', async t => {
  listener.kill('SIGKILL')
  await listener.ended
  t.equal((await node.meshctl('publish', '7001:80', 'solo')).status, 0)
  t.match(await waitFor(() => ask(`http://${node.address}:7001/`), 'an answer', 5), { port: 80 })
  t.match(await node.meshctlJson('status'), { healthy: true, troubles: [] })
})
