import t from 'tap'
import { diff } from '../../../src/kernel/diff.js'
import { stateOf } from '../../../src/kernel/objects.js'
import type { Container } from '../../../src/model/container.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Service } from '../../../src/model/service.js'
import type { Node } from '../../../src/model/snapshot.js'
import { AddressBook } from '../../../src/planner/addresses.js'
import { createPlanner } from '../../../src/planner/plan.js'
import { type Plan, planOf } from '../../../src/planner/slices.js'
import { describe, placeName } from '../../../src/status/describe.js'
import { planSettings } from '../../helpers/plan-settings.js'
import { service as serviceOf } from '../../helpers/services.js'

const node: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.254.0.0/16',
  addresses: ['172.17.0.1', '192.168.77.1'],
  membership: null,
}

function container(digit: string, fields: Partial<Container> = {}): Container {
  return {
    id: digit.repeat(64),
    name: `c${digit}`,
    labels: { app: 'web' },
    state: 'running',
    health: 'none',
    pid: 4000 + Number.parseInt(digit, 16),
    network: 'own',
    addresses: [`172.17.0.${10 + Number.parseInt(digit, 16)}`],
    networks: ['172.17.0.0/16'],
    leaving: false,
    ending: false,
    dockerPorts: [],
    ...fields,
  }
}

const service = (name: string, specs: string[], fields: Partial<Service> = {}) =>
  serviceOf(name, specs, { selector: { app: 'web' }, ...fields })

/** A node whose snapshots change under it. */
function world() {
  const merge = createMerge()
  const book = new AddressBook(node.subnet)
  const planner = createPlanner(planSettings)
  return (services: Service[], containers: Container[]): Plan => {
    const mesh = merge(
      services,
      { containers, swarmServices: [], swarmPorts: [], declarations: null, ending: [] },
      node,
    )
    return planner(mesh, node, id => book.assign(id))
  }
}

/** Objects as the commands an operator would type, without the node's own part. */
function text(plan: Plan): string[] {
  const rest = [...plan].filter(([name]) => name !== 'node').flatMap(([, slice]) => slice)
  return diff(stateOf(rest), new Map()).map(change => {
    const place = 'place' in change.object ? placeName(change.object.place) : 'mesh'
    return `${place}: ${describe(change)}`
  })
}

function base(plan: Plan): string[] {
  return planOf(plan).flatMap(object =>
    object.kind === 'chain' ? object.rules.map(rule => `${object.place} ${object.name} ${rule}`) : [],
  )
}

t.test('a published port and one container', async t => {
  t.strictSame(text(world()([service('web', ['8888:80'])], [container('a')])), [
    'mesh: ip link add paaaaaaaaaaaa mtu 1500 type veth peer mesh0 netns "container aaaaaaaaaaaa"',
    'container aaaaaaaaaaaa: ip address add 10.254.0.3/32 dev mesh0',
    'mesh: ip route add 10.254.0.3/32 dev paaaaaaaaaaaa',
    'container aaaaaaaaaaaa: ip route add default via 10.254.0.1 dev mesh0 src 10.254.0.3 table 1090',
    'container aaaaaaaaaaaa: ip rule add from 10.254.0.3/32 lookup 1090 priority 1090',
    'mesh: ipvsadm -A -f 74424 -s rr',
    'mesh: ipvsadm -a -f 74424 -r 10.254.0.3:80 -m -w 1',
    'mesh: ipset add mesh-hairpin 172.17.0.20,10.254.0.3',
    'mesh: ipset add mesh-tcp 8888 skbmark 0x122b8',
    'host: ipset add mesh-tcp 8888',
  ])
})

t.test('a port without a ready endpoint is known to the host and not to the map', async t => {
  const plan = world()([service('web', ['8888:80'])], [container('a', { health: 'starting' })])
  t.strictSame(text(plan).slice(-3), [
    'mesh: ipvsadm -A -f 74424 -s rr',
    'mesh: ipset add mesh-hairpin 172.17.0.20,10.254.0.3',
    'host: ipset add mesh-tcp 8888',
  ])
})

t.test('a range is one virtual service with one mark', async t => {
  const lines = text(world()([service('rtp', ['8000-8002:8000-8002/udp'])], [container('a')]))
  t.strictSame(
    lines.filter(line => /ipvsadm|mesh-udp/.test(line)),
    [
      'mesh: ipvsadm -A -f 139072 -s rr',
      'mesh: ipvsadm -a -f 139072 -r 10.254.0.3:0 -m -w 1',
      'mesh: ipset add mesh-udp 8000 skbmark 0x21f40',
      'mesh: ipset add mesh-udp 8001 skbmark 0x21f40',
      'mesh: ipset add mesh-udp 8002 skbmark 0x21f40',
      'host: ipset add mesh-udp 8000',
      'host: ipset add mesh-udp 8001',
      'host: ipset add mesh-udp 8002',
    ],
  )
})

t.test('replies from a published UDP port take the route of the mesh, but for neighbours', async t => {
  const lines = text(world()([service('dns', ['5353:53/udp'])], [container('a')]))
  t.strictSame(
    lines.filter(line => /rule|neighbour/.test(line)),
    [
      'container aaaaaaaaaaaa: ip rule add from 10.254.0.3/32 lookup 1090 priority 1090',
      'container aaaaaaaaaaaa: ip rule add from 0.0.0.0/0 ipproto udp sport 53 lookup 254 suppress_prefixlength 0 priority 1091',
      'container aaaaaaaaaaaa: ip rule add from 0.0.0.0/0 ipproto udp sport 53 lookup 1090 priority 1092',
      'mesh: ipset add mesh-neighbour 172.17.0.0/16,10.254.0.3',
    ],
  )
})

t.test('a second port of one target is translated to the first by the host', async t => {
  const plan = world()([service('web', ['8888:80', '9999:80'])], [container('a')])
  t.ok(
    base(plan).includes(
      'host MESH-DNAT -p tcp -m tcp --dport 9999 -m set --match-set mesh-tcp dst -j DNAT --to-destination 10.254.0.1:8888',
    ),
  )
  t.strictSame(
    text(plan).filter(line => line.includes('mesh-tcp')),
    [
      'mesh: ipset add mesh-tcp 8888 skbmark 0x122b8',
      'host: ipset add mesh-tcp 8888',
      'host: ipset add mesh-tcp 9999',
    ],
  )
})

t.test('a port of SCTP is an element for each address of the node, and has no mark', async t => {
  const plan = world()([service('web', ['9999:9/sctp', '9998:9/sctp'])], [container('a')])
  t.strictSame(
    text(plan).filter(line => /ipvsadm|sctp/.test(line)),
    [
      'mesh: ipvsadm -A --sctp-service 10.254.0.1:9999 -s rr',
      'mesh: ipvsadm -a --sctp-service 10.254.0.1:9999 -r 10.254.0.3:9 -m -w 1',
    ],
  )
  const bound = planOf(plan).flatMap(object =>
    object.kind === 'entry' && object.set === 'mesh-bound' ? [object.element] : [],
  )
  const addresses = ['127.0.0.1', '10.254.0.2', '172.17.0.1', '192.168.77.1']
  t.strictSame(
    bound,
    [9999, 9998].flatMap(port => addresses.map(address => `${address},sctp:${port}`)),
  )
  t.ok(
    base(plan).includes(
      'host MESH-DNAT -p sctp -m sctp --dport 9998 -m set --match-set mesh-bound dst,dst -j DNAT --to-destination 10.254.0.1:9999',
    ),
  )
})

t.test('a port bound to an address is one element of the bound set', async t => {
  const lines = text(world()([service('db', ['192.168.77.1:5432:5432'])], [container('a')]))
  t.equal(lines.at(-1), 'host: ipset add mesh-bound 192.168.77.1,tcp:5432')
  t.notOk(lines.some(line => line.startsWith('host: ipset add mesh-tcp')))
})

t.test('a host-network container and a loopback address are the node itself', async t => {
  const plan = world()(
    [service('web', ['8888:80'], { endpoints: [{ address: '127.0.0.1', port: 9000 }] })],
    [container('a', { network: 'host', addresses: [] })],
  )
  const lines = text(plan)
  t.ok(lines.includes('mesh: ipvsadm -a -f 74424 -r 10.254.0.2:80 -m -w 1'))
  t.ok(lines.includes('mesh: ipvsadm -a -f 74424 -r 10.254.0.2:9000 -m -w 1'))
  t.notOk(
    lines.some(line => line.includes('ip link')),
    'no veth',
  )
  const hairpins = planOf(plan).filter(object => object.kind === 'entry' && object.set === 'mesh-hairpin')
  t.strictSame(
    hairpins.map(object => object.kind === 'entry' && object.element),
    ['10.254.0.2,10.254.0.2', '172.17.0.1,10.254.0.2', '192.168.77.1,10.254.0.2'],
  )
})

t.test('an external address is translated, since nothing leads its replies back', async t => {
  const plan = world()(
    [service('db', ['5432:5432'], { endpoints: [{ address: '10.1.2.3', port: null }] })],
    [],
  )
  t.ok(text(plan).includes('mesh: ipvsadm -a -f 70968 -r 10.1.2.3:5432 -m -w 1'))
  t.ok(planOf(plan).some(object => object.kind === 'entry' && object.element === '10.1.2.3'))
})

t.test('containers that share a network namespace are one attachment and one destination', async t => {
  const owner = container('a')
  const sharer = container('b', { network: `container:${owner.id}`, addresses: [] })
  const lines = text(world()([service('web', ['8888:80'])], [owner, sharer]))
  t.equal(lines.filter(line => line.includes('ip link add')).length, 1)
  t.equal(lines.filter(line => line.includes('ipvsadm -a')).length, 1)
})

t.test('slices of which nothing changed are the same arrays as before', async t => {
  const plan = world()
  const services = [service('web', ['8888:80']), service('api', ['9999:90'], { selector: { app: 'api' } })]
  const before = plan(services, [container('a'), container('b', { labels: { app: 'api' } })])
  const after = plan(services, [
    container('a'),
    container('b', { labels: { app: 'api' } }),
    container('c', { labels: { app: 'api' } }),
  ])
  const changed = [...after].filter(([name, slice]) => before.get(name) !== slice).map(([name]) => name)
  t.strictSame(changed, [`attachment ${'c'.repeat(64)}`, 'service api'])
})

t.test('a restarted container is another place, so its link is made anew', async t => {
  const plan = world()
  const services = [service('web', ['8888:80'])]
  const before = plan(services, [container('a')])
  const after = plan(services, [container('a', { pid: 9999 })])
  const changes = diff(stateOf(planOf(after)), stateOf(planOf(before)))
  t.strictSame(
    changes.filter(({ object }) => object.kind === 'link').map(({ type }) => type),
    ['update'],
  )
})

t.test('the number of rules does not depend on the number of published ports', async t => {
  const one = base(world()([service('web', ['8888:80'])], [container('a')])).length
  const many = Array.from({ length: 500 }, (_, i) => service(`s${i}`, [`${10_000 + i}:80`]))
  t.equal(base(world()(many, [container('a')])).length, one)
})
