/**
 * What others do to a node whose mesh is in use, and how soon and in which words the
 * agent has it right again: Docker away, rules flushed, IPVS and the sandbox damaged,
 * the state file lost.
 */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import type { StatusView } from '../../src/status/views.js'
import { ask, Load } from '../helpers/clients.js'
import { type Running, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { sleep, waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { docker: '--live-restore' })
if (!node) throw new Error('no node')
const { docker, address: host } = node
const mesh = new NodeMesh(node)
const url = `http://${host}:8888/`
const stateFile = `/proc/${node.pid}/root/var/lib/mesh/mesh.json`
const mark = '0x122b8'

let agent: Running
let former = ''
function start(): void {
  agent = node!.start('node', 'dist/src/cli/meshd.js', '--log-level', 'debug')
}
async function end(signal: NodeJS.Signals): Promise<void> {
  agent.kill(signal)
  await agent.ended
  former += agent.output
}

function status(what: string, condition: (status: StatusView) => boolean, seconds = 60): Promise<StatusView> {
  return waitFor(
    async () => {
      if (agent.hasEnded) throw new Error(`meshd ended:\n${agent.output}`)
      const now = await mesh.client.status()
      return condition(now) ? now : null
    },
    what,
    seconds,
    0.05,
  )
}
const isWell = ({ healthy, lastPass }: StatusView) => healthy && lastPass !== null

/** Repairs told since `since`, an ISO time. */
async function repairs(since: string): Promise<string[]> {
  const { repairs } = await mesh.client.status()
  return repairs.filter(({ at }) => at >= since).map(({ what }) => what)
}

const both = await Promise.all([0, 1].map(() => docker.runContainer({ labels: { app: 'web' } })))
start()
await status('the agent', isWell)
await mesh.client.publish({ service: 'web', ports: ['8888:80'], selector: 'app=web' }, 60)
await mesh.settled(8888, 2)
await ask(url)
t.teardown(async () => {
  if (!t.passing()) t.comment(`${former}${agent.output}`.slice(-30_000))
  await end('SIGTERM')
})

t.test('with Docker away traffic goes on and status says so; with Docker back all is well', async t => {
  const load = new Load([url], 20)
  await node.must('pkill', '-TERM', '-x', 'dockerd')
  const { troubles } = await status('trouble', ({ healthy }) => !healthy)
  t.match(troubles, [{ subject: 'docker', message: /docker.sock|event stream/ }])
  await sleep(2)
  t.equal(mesh.destinations(8888).length, 2)
  await node.startDocker('--live-restore')
  await status('health', isWell)
  // The engine puts its own jumps first when it starts; the next full pass puts ours before them.
  await waitFor(async () => (await mesh.client.plan()).length === 0, 'nothing left to change', 20)
  const report = await load.stop()
  t.comment(`${report.ok} answered, ${report.failed} failed`)
  t.strictSame(report.failures, [])
})

t.test('what ended while Docker was away is found when it is back', async t => {
  await node.must('pkill', '-TERM', '-x', 'dockerd')
  await status('trouble', ({ healthy }) => !healthy)
  const address = await mesh.addressOf('web', both[1]!)
  await node.must('sh', '-c', `kill -KILL $(pgrep -x web | tail -1)`)
  await node.startDocker('--live-restore')
  await mesh.settled(8888, 1)
  await status('health', isWell)
  t.ok((await ask(url)).container)
  t.comment(`${address} of ${both[1]!.slice(0, 12)}: weight ${mesh.weight(8888, address)}`)
  for (const id of both) await docker.container(id, 'start')
  await mesh.settled(8888, 2)
})

const flushes: readonly [title: string, commands: readonly string[], repairs: readonly RegExp[]][] = [
  ['iptables -F', ['iptables -F'], [/FORWARD -j MESH-FORWARD/, /-F MESH-FORWARD/, /INPUT -j MESH-INPUT/]],
  ['iptables -t nat -F', ['iptables -t nat -F'], [/PREROUTING .*-j MESH-DNAT/, /-F MESH-DNAT/]],
  [
    'a firewall that drops by default, loaded anew',
    ['iptables -F', 'iptables -X', 'iptables -P INPUT DROP', 'iptables -P FORWARD DROP'],
    [/FORWARD -j MESH-FORWARD/, /-N MESH-FORWARD/],
  ],
]
for (const [title, commands, expected] of flushes)
  t.test(`after ${title} traffic is back within 5 s, and status tells what was repaired`, async t => {
    const since = new Date().toISOString()
    const begun = performance.now()
    for (const command of commands) mesh.inHost(command)
    await status('a repair', view => view.repairs.some(({ at }) => at >= since))
    await waitFor(() => ask(url, { timeout: 1 }), 'an answer', 30, 0.02)
    t.comment(`answers ${Math.round(performance.now() - begun)} ms after it`)
    t.ok(performance.now() - begun < 8000) // 5 s on a machine that has nothing else to do
    const told = await repairs(since)
    for (const line of expected)
      t.ok(
        told.some(what => line.test(what)),
        `${line} in ${told.join('; ')}`,
      )
    await status('health', isWell)
    t.strictSame(await mesh.client.plan(), [])
    for (const chain of ['INPUT', 'FORWARD']) mesh.inHost(`iptables -P ${chain} ACCEPT`)
  })

t.test('destinations deleted, added and set to weight 0 by hand are put right', async t => {
  const [first, second] = mesh.destinations(8888)
  const since = new Date().toISOString()
  const begun = performance.now()
  mesh.inSandbox(`ipvsadm -d -f ${Number(mark)} -r ${first!.address}:80`)
  mesh.inSandbox(`ipvsadm -e -f ${Number(mark)} -r ${second!.address}:80 -m -w 0`)
  mesh.inSandbox(`ipvsadm -a -f ${Number(mark)} -r 10.254.0.99:80 -m -w 1`)
  await waitFor(async () => (await repairs(since)).length >= 3, 'three repairs', 30)
  await mesh.settled(8888, 2)
  t.comment(`put right after ${Math.round(performance.now() - begun)} ms`)
  t.strictSame((await repairs(since)).sort(), [
    `ipvsadm -a -f ${Number(mark)} -r ${first!.address}:80 -m -w 1`,
    `ipvsadm -d -f ${Number(mark)} -r 10.254.0.99:80`,
    `ipvsadm -e -f ${Number(mark)} -r ${second!.address}:80 -m -w 1`,
  ])
  t.ok((await ask(url)).container)
})

t.test('a sandbox deleted by hand is made anew', async t => {
  const since = new Date().toISOString()
  const begun = performance.now()
  await node.must('ip', 'netns', 'del', 'mesh')
  await status('repairs', view =>
    view.repairs.some(({ at, what }) => at >= since && /netns add mesh/.test(what)),
  )
  await waitFor(() => ask(url, { timeout: 1 }), 'an answer', 30, 0.02)
  t.comment(`answers ${Math.round(performance.now() - begun)} ms after it`)
  await status('health', isWell)
  await mesh.settled(8888, 2)
  t.strictSame(await mesh.client.plan(), [])
})

t.test('a table of tracked connections that is nearly full is told of', async t => {
  const parameter = '/proc/sys/net/netfilter/nf_conntrack_max'
  const limit = readFileSync(parameter, 'latin1')
  const restore = () => writeFileSync(parameter, limit)
  t.teardown(restore)
  for (let i = 0; i < 60; i++) await ask(url)
  const count = Number(mesh.inHost('cat /proc/sys/net/netfilter/nf_conntrack_count'))
  writeFileSync(parameter, String(Math.ceil(count * 1.1)))
  const { troubles } = await status('trouble', ({ healthy }) => !healthy)
  t.match(troubles[0], {
    subject: /^connections (host|mesh)$/,
    message: /raise net\.netfilter\.nf_conntrack_max/,
  })
  restore()
  await status('health', isWell)
})

t.test('a damaged state file is named, and traffic goes on', async t => {
  copyFileSync(stateFile, '/tmp/good.json')
  const load = new Load([url], 10)
  await end('SIGKILL')
  for (const name of [stateFile, `${stateFile}.bak`]) writeFileSync(name, '{"version":1,"rev')
  start()
  const { troubles, sources } = await status(
    'trouble',
    ({ healthy, troubles: list }) => !healthy && list.length > 0,
  )
  t.match(troubles, [
    { subject: '/var/lib/mesh/mesh.json', message: /damaged .* kept as .*mesh\.json\.damaged-/ },
  ])
  t.match(
    sources.find(({ name }) => name === '/var/lib/mesh/mesh.json'),
    { state: 'trouble' },
  )
  await sleep(5)
  t.equal(mesh.destinations(8888).length, 2, 'nothing is removed')
  await t.rejects(mesh.client.publish({ service: 'other', ports: ['8889:80'] }, 60), { code: 'MESH_STORE' })
  copyFileSync('/tmp/good.json', stateFile)
  await status('health', isWell)
  t.strictSame(await mesh.client.plan(), [])
  const report = await load.stop()
  t.comment(`${report.ok} answered, ${report.failed} failed`)
  t.strictSame(report.failures, [])
})

t.test('a lost state file is made again from its copy, and named', async t => {
  const load = new Load([url], 10)
  await mesh.client.publish({ service: 'more', ports: ['8889:80'], selector: 'app=web' }, 60)
  await end('SIGKILL')
  rmSync(stateFile)
  start()
  const { troubles } = await status('trouble', ({ healthy, lastPass }) => !healthy && lastPass !== null)
  t.match(troubles, [{ subject: '/var/lib/mesh/mesh.json', message: /is missing/ }])
  t.equal(mesh.destinations(8889).length, 2)
  await mesh.client.unpublish('8889/tcp', 'more')
  await status('health', isWell)
  const report = await load.stop()
  t.comment(`${report.ok} answered, ${report.failed} failed`)
  t.strictSame(report.failures, [])
})
