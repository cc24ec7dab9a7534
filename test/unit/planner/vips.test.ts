import t from 'tap'
import { diff } from '../../../src/kernel/diff.js'
import { type KernelObject, stateOf } from '../../../src/kernel/objects.js'
import type { Container } from '../../../src/model/container.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Service } from '../../../src/model/service.js'
import type { Node } from '../../../src/model/snapshot.js'
import { parseVipPort } from '../../../src/model/vip-ports.js'
import { parseWeight } from '../../../src/model/weights.js'
import { AddressBook } from '../../../src/planner/addresses.js'
import type { PlanSettings } from '../../../src/planner/base.js'
import { createPlanner } from '../../../src/planner/plan.js'
import { type Plan, planOf } from '../../../src/planner/slices.js'
import { describe, placeName } from '../../../src/status/describe.js'
import { container, containerSnapshot } from '../../helpers/containers.js'
import { planSettings } from '../../helpers/plan-settings.js'
import { aService } from '../../helpers/services.js'

const node: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.254.0.0/16',
  addresses: [],
  membership: null,
}
const settings: PlanSettings = {
  ...planSettings,
  vipPool: '10.253.0.0/16',
}
const vip = '10.253.0.5'
const web = container('web', { labels: { app: 'web' }, addresses: ['172.17.0.2'] })
const place = placeName(`container:${web.id}@${web.pid}`)

function world(changed: Partial<PlanSettings> = {}) {
  const merge = createMerge()
  const book = new AddressBook(node.subnet)
  const planner = createPlanner({ ...settings, ...changed })
  return (services: Service[], containers: Container[]): Plan =>
    planner(merge(services, containerSnapshot(containers), node), node, id => book.assign(id))
}

/** A service that is not published, at a VIP. */
function service(ports: string[], fields: Partial<Service> = {}): Service {
  const vipPorts = ports.map(text => parseVipPort(text))
  return aService('web', 1, { ports: [], selector: { app: 'web' }, vip, vipPorts, ...fields })
}

function lines(objects: Iterable<KernelObject>): string[] {
  return diff(stateOf(objects), new Map()).map(change => {
    const where = 'place' in change.object ? placeName(change.object.place) : 'mesh'
    return `${where}: ${describe(change)}`
  })
}

/** What a service makes of the plan. */
function ofService(given: Service, containers = [web], changed: Partial<PlanSettings> = {}): string[] {
  return lines(world(changed)([given], containers).get('service web') ?? [])
}

t.test('a port of a VIP is a virtual service, and nothing leads to it but the pool', async t => {
  t.strictSame(ofService(service(['8080:80', '53/udp'])), [
    'mesh: ipvsadm -A -t 10.253.0.5:8080 -s rr',
    'mesh: ipvsadm -A -u 10.253.0.5:53 -s rr',
    'mesh: ipvsadm -a -t 10.253.0.5:8080 -r 10.254.0.3:80 -m -w 1',
    'mesh: ipvsadm -a -u 10.253.0.5:53 -r 10.254.0.3:53 -m -w 1',
  ])
})

t.test('the pool is local to the sandbox, and host and attached containers know the way', async t => {
  const plan = planOf(world()([service(['80'])], [web]))
  t.strictSame(
    lines(plan).filter(line => /ip route .*10\.253\.0\.0\/16/.test(line)),
    [
      `${place}: ip route add 10.253.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.3`,
      'mesh: ip route add local 10.253.0.0/16 dev lo table 255',
      'host: ip route add 10.253.0.0/16 via 10.254.0.1 dev mesh0 src 10.254.0.2',
    ],
  )
  t.ok(lines(plan).includes('mesh: ipset add mesh-hairpin 10.254.0.3,10.254.0.3'), 'it may call itself')
})

t.test('without a pool nothing is different', async t => {
  const plan = planOf(world({ vipPool: null })([service(['80'])], [web]))
  t.notMatch(JSON.stringify(plan), /10\.253|mesh-vip|mesh-scoped/)
})

t.test('without an endpoint that takes connections there is no virtual service, but a refusal', async t => {
  const refused = ['mesh: ipset add mesh-refused 10.253.0.5,tcp:80']
  t.strictSame(ofService(service(['80']), []), refused)
  t.strictSame(ofService(service(['80', '53/udp']), [{ ...web, health: 'starting' }]), refused)
  t.strictSame(ofService(service(['80'], { weights: [parseWeight('app=web:0')] })), refused)
  t.notMatch(ofService(service(['80'])), refused)
})

t.test('a destination has the weight of its endpoint', async t => {
  const weights = [parseWeight('app=web:7')]
  t.ok(
    ofService(service(['80'], { weights, scheduler: 'wrr' })).includes(
      'mesh: ipvsadm -a -t 10.253.0.5:80 -r 10.254.0.3:80 -m -w 7',
    ),
  )
})

t.test('persistence over several ports is one virtual service by fwmark', async t => {
  const persistent = { persistence: 600 }
  t.strictSame(ofService(service(['80', '443', '53/udp'], persistent)), [
    'mesh: ipvsadm -A -f 1090519045 -s rr -p 600',
    'mesh: ipvsadm -A -u 10.253.0.5:53 -s rr -p 600',
    'mesh: ipvsadm -a -f 1090519045 -r 10.254.0.3:0 -m -w 1',
    'mesh: ipvsadm -a -u 10.253.0.5:53 -r 10.254.0.3:53 -m -w 1',
    'mesh: ipset add mesh-vip 10.253.0.5,tcp:80 skbmark 0x41000005',
    'mesh: ipset add mesh-vip 10.253.0.5,tcp:443 skbmark 0x41000005',
  ])
  t.match(
    ofService(service(['80', '8443:443'], persistent)).filter(line => line.includes('-A')),
    [/-t 10.253.0.5:80 -s rr -p 600/, /-t 10.253.0.5:8443 -s rr -p 600/],
    'a translated port has a virtual service of its own, and so have the others',
  )
})

t.test('a scoped service is for its endpoints and others of the node that share a scope', async t => {
  const labels = { 'mesh.scope': 'a' }
  const caller = container('caller', { labels, addresses: ['172.17.0.9', '172.18.0.9'] })
  const attached = container('attached', { labels: { ...labels, 'mesh.attach': 'true' } })
  const stranger = container('stranger', { addresses: ['172.17.0.8'] })
  const given = ofService(service(['80'], { scopes: ['a'] }), [web, caller, attached, stranger])
  t.strictSame(
    given.filter(line => line.includes('ipset')),
    [
      'mesh: ipset add mesh-allowed 172.17.0.2,10.253.0.5',
      'mesh: ipset add mesh-allowed 10.254.0.4,10.253.0.5',
      'mesh: ipset add mesh-allowed 172.17.0.9,10.253.0.5',
      'mesh: ipset add mesh-allowed 172.18.0.9,10.253.0.5',
      'mesh: ipset add mesh-allowed 10.254.0.3,10.253.0.5',
      'mesh: ipset add mesh-scoped 10.253.0.5',
    ],
  )
  t.strictSame(
    ofService(service(['80'], { scopes: ['a'] }), []).filter(line => line.includes('scoped')),
    ['mesh: ipset add mesh-scoped 10.253.0.5'],
  )
})

t.test('VIPs of IPv6 lie in their own pool as far in as those of IPv4', async t => {
  const changed = { ipv6: { pool: 'fd4d:6573:68::/96', formers: [] }, vipPool6: 'fd4d:6573:69::/96' }
  t.strictSame(
    ofService(service(['80'], { scopes: ['a'] }), [web], changed).filter(line => line.includes('fd4d')),
    [
      'mesh: ipset add mesh-allowed6 fd4d:6573:68::3,fd4d:6573:69::5',
      'mesh: ipset add mesh-scoped6 fd4d:6573:69::5',
      'mesh: ipvsadm -A -t [fd4d:6573:69::5]:80 -s rr',
      'mesh: ipvsadm -a -t [fd4d:6573:69::5]:80 -r [fd4d:6573:68::3]:80 -m -w 1',
    ],
  )
  const plan = lines(planOf(world(changed)([service(['80'])], [web])))
  t.ok(plan.includes('mesh: ip -6 route add local fd4d:6573:69::/112 dev lo table 255'))
})

t.test('10,000 VIPs of three ports cost a packet what one does', async t => {
  const many = Array.from({ length: 10_000 }, (_, i) =>
    service(['80', '443', '53/udp'], {
      name: `s${i}`,
      vip: `10.253.${(i + 2) >> 8}.${(i + 2) & 255}`,
    }),
  )
  const count = (services: Service[]) => {
    const kinds: Record<string, number> = {}
    for (const object of planOf(world()(services, [web]))) {
      kinds[object.kind] = (kinds[object.kind] ?? 0) + 1
      if (object.kind === 'chain') kinds.rules = (kinds.rules ?? 0) + object.rules.length
    }
    const { virtualService, destination, ...rest } = kinds
    return { virtualService, destination, rest }
  }
  const one = count(many.slice(0, 1))
  const all = count(many)
  t.equal(all.virtualService, 30_000)
  t.equal(all.destination, 30_000)
  t.strictSame(all.rest, one.rest, 'neither a route, a rule, an address nor an element of a set more')

  const plan = world()
  const before = plan(many, [web])
  const after = plan([...many.slice(1), { ...many[0]!, drain: 5 }], [web])
  const changed = [...after].filter(([name, slice]) => before.get(name) !== slice).map(([name]) => name)
  t.strictSame(changed, ['service s0'], 'a change of one service is planned for that one')
})
