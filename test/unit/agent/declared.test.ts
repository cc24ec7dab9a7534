/**
 * What the store should hold, from what it holds and what labels declare: each row a
 * store, declarations, and the store after it.
 */
import t from 'tap'
import { type Settle, unsettled, withDeclared } from '../../../src/agent/declared.js'
import { type PortUse, settlePorts } from '../../../src/model/conflicts.js'
import type { Declaration } from '../../../src/model/declaration.js'
import { formatPort } from '../../../src/model/ports.js'
import type { Service } from '../../../src/model/service.js'
import { parseLabels } from '../../../src/sources/swarm-labels.js'
import { containerSnapshot } from '../../helpers/containers.js'
import { aService } from '../../helpers/services.js'

const use: PortUse = {
  services: [],
  snapshot: containerSnapshot([]),
  listeners: [],
  reserved: [],
  vipPool: '10.9.0.8/29',
}
const settle: Settle = (publication, services) =>
  settlePorts(publication, { ...use, services }, { first: 30_000, last: 30_009 }, 'swarm')

function declaring(name: string, publish: string, more: Record<string, string> = {}): Declaration {
  return parseLabels(name, { 'mesh.publish': publish, ...more })!
}
function after(stored: readonly Service[], ...declarations: Declaration[]): readonly Service[] {
  return withDeclared(stored, declarations, settle)
}
/** `web 8888:80/tcp swarm`, with `!` and the problems behind it. */
function told(services: readonly Service[]): string[] {
  return services.map(({ name, ports, declaredBy, problems }) =>
    [name, ...ports.map(formatPort), declaredBy, ...problems.map(each => `! ${each}`)].join(' '),
  )
}

t.test('what labels declare is published, changed, and gone with them', async t => {
  const first = after([], declaring('web', '8888:80'), declaring('api', '9000:90'))
  t.same(told(first), ['web 8888:80/tcp swarm', 'api 9000:90/tcp swarm'])
  t.equal(after(first, declaring('web', '8888:80'), declaring('api', '9000:90')), first, 'and stays the same')
  const second = after(first, declaring('web', '8889:80,53:53/udp', { 'mesh.drain': '5s' }))
  t.same(told(second), ['web 8889:80/tcp 53:53/udp swarm'])
  t.equal(second[0]?.drain, 5)
  t.same(after(second), [])
})

t.test('a port that is left to the mesh is chosen once', async t => {
  const first = after([], declaring('web', ':80'), declaring('api', '80'))
  t.same(told(first), ['web 30000:80/tcp swarm', 'api 30001:80/tcp swarm'])
  t.equal(after(first, declaring('web', ':80'), declaring('api', '80')), first)
  t.same(unsettled(first, [declaring('web', ':80'), declaring('api', '80')]), [])
  const second = after(
    first,
    declaring('web', ':80,8888:80', { 'mesh.scheduler': 'lc' }),
    declaring('api', '80'),
  )
  t.same(told(second), ['web 30000:80/tcp 8888:80/tcp swarm', 'api 30001:80/tcp swarm'])
})

t.test('what labels declare has a VIP, and keeps it; without published ports too', async t => {
  const first = after([], declaring('web', '8888:80'))
  const { vip } = first[0]!
  t.match(vip, /^10\.9\.0\.1[0-4]$/)
  const second = after(first, declaring('web', '8889:80', { 'mesh.port': '80:8080' }))
  t.match(second, [{ vip, vipPorts: [{ port: { first: 80 }, target: { first: 8080 } }] }])
  const inner = parseLabels('web', { 'mesh.port': '80:8080' })!
  t.match(after(second, inner), [{ name: 'web', vip, ports: [], declaredBy: 'swarm' }])
  t.match(after(second, parseLabels('web', { 'mesh.publish': '1:1', 'mesh.vip': 'none' })!), [{ vip: null }])
  t.match(after(second, parseLabels('web', { 'mesh.endpoint-mode': 'dnsrr' })!), [{ vip: null, ports: [] }])
  const free = ['10', '11', '12'].map(last => `10.9.0.${last}`).find(address => address !== vip)!
  const moved = after(second, parseLabels('web', { 'mesh.port': '80', 'mesh.vip': free })!)
  t.match(moved, [{ vip: free }])
  t.equal(
    after(moved, parseLabels('web', { 'mesh.port': '80', 'mesh.vip': free })!),
    moved,
    'and stays the same',
  )
})

t.test('a VIP that another service has is refused, and one may come when it is free', async t => {
  const others = [10, 11, 12, 13, 14].map(i => aService(`s${i}`, i, { vip: `10.9.0.${i}` }))
  const first = after(others, declaring('web', '8888:80'), parseLabels('db', { 'mesh.vip': '10.9.0.10' })!)
  t.match(told(first).slice(5), [
    'web 8888:80/tcp swarm',
    /^db swarm ! label mesh\.port: "": there is no port, published or of the VIP/,
  ])
  t.equal(first[5]?.vip, null, 'published all the same')
  t.equal(after(first, declaring('web', '8888:80'), parseLabels('db', { 'mesh.vip': '10.9.0.10' })!), first)
  const db = parseLabels('db', { 'mesh.vip': '10.9.0.10', 'mesh.port': '5432' })!
  t.match(told(after(others, db)).slice(5), [/^db swarm ! give db the VIP 10\.9\.0\.10: service s10 has it/])
  t.match(told(after(others, parseLabels('db', { 'mesh.port': '5432' })!)).slice(5), [
    /^db swarm ! .*all 5 addresses/,
  ])
  t.match(after(first.slice(1), declaring('web', '8888:80')).at(-1), { name: 'web', vip: '10.9.0.10' })
})

t.test('what meshctl published is left alone, and the labels are told about it', async t => {
  const stored = [aService('web', 8888)]
  const next = after(stored, declaring('web', '9999:80'))
  t.match(told(next), [/^web 8888:80\/tcp meshctl ! its labels .*: meshctl unpublish 8888:80\/tcp web$/])
  t.equal(after(next, declaring('web', '9999:80')), next)
  t.same(told(after(next)), ['web 8888:80/tcp meshctl'], 'no label any more, no problem')
  t.same(told(after([], declaring('web', '9999:80'))), ['web 9999:80/tcp swarm'], 'unpublished there')
})

t.test('a wrong label leaves what was published, and hurts no other service', async t => {
  const first = after([], declaring('web', '8888:80'), declaring('api', '9000:90'))
  const wrong = after(first, declaring('web', '8888:eighty'), declaring('api', '9001:90'))
  t.match(told(wrong), [
    /^web 8888:80\/tcp swarm ! label mesh\.publish: "8888:eighty"/,
    'api 9001:90/tcp swarm',
  ])
  t.same(told(after(wrong, declaring('web', '8888:80'), declaring('api', '9001:90'))), [
    'web 8888:80/tcp swarm',
    'api 9001:90/tcp swarm',
  ])
  t.match(
    told(after([], declaring('new', 'x'))),
    [/^new swarm ! label mesh\.publish: "x"/],
    'and without one, nothing',
  )
  t.same(after(after([], declaring('new', 'x'))), [], 'which goes with its labels')
})

t.test('a port that another service has is refused, until it is free', async t => {
  const stored = [aService('db', 8888)]
  const refused = after(stored, declaring('web', '8888:80'))
  t.match(told(refused), [
    'db 8888:80/tcp meshctl',
    /^web swarm ! publish 8888\/tcp: service db publishes it$/,
  ])
  t.same(unsettled(refused, [declaring('web', '8888:80')]).length, 1, 'it is asked again')
  t.same(told(after(refused.slice(1), declaring('web', '8888:80'))), ['web 8888:80/tcp swarm'])
})

t.test('a port that one service gives up another one may take in the same moment', async t => {
  const first = after([], declaring('b', '8888:80'))
  const second = after(first, declaring('a', '8888:80'), declaring('b', '8889:80'))
  t.same(told(second).sort(), ['a 8888:80/tcp swarm', 'b 8889:80/tcp swarm'])
})

t.test('a thousand declared services are looked at within a second', async t => {
  const declarations = Array.from({ length: 1000 }, (_, i) => declaring(`s${i}`, `${10_000 + i}:80`))
  const first = after([], ...declarations)
  t.equal(first.length, 1000)
  const begun = performance.now()
  t.equal(after(first, ...declarations), first)
  t.ok(performance.now() - begun < 1000, `${Math.round(performance.now() - begun)} ms`)
})
