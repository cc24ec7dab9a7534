/**
 * What other nodes tell, as it comes into the loop.
 */
import t from 'tap'
import { combine } from '../../../src/agent/combine.js'
import { Collected } from '../../../src/agent/inputs.js'
import type { ClusterNode, Reach, RemoteContainer } from '../../../src/model/cluster.js'
import { createMerge } from '../../../src/model/merge.js'
import { container, containerSnapshot } from '../../helpers/containers.js'
import { aService } from '../../helpers/services.js'

const labels = { app: 'web' }

function node(number: number, draining: boolean): ClusterNode {
  const subnet = `10.254.${number - 1}.0/24`
  return {
    name: `node${number}`,
    number,
    subnet,
    address: `192.168.77.${number}`,
    ipv6: null,
    live: true,
    told: true,
    draining,
  }
}

function told(number: number, id: string): RemoteContainer {
  return { node: `node${number}`, id, name: id, labels, address: `10.254.${number - 1}.3`, state: 'ready' }
}

/** An agent's view of two other nodes, told what comes back from them. */
function threeNodes() {
  const reach = new Map<string, Reach>()
  const collected = new Collected(
    ['store'],
    ['docker', 'cluster'],
    { name: 'node1', subnet: '10.254.0.0/24', pool: '10.254.0.0/16', membership: null },
    name => reach.get(name) ?? 'reached',
  )
  const known = [1, 2, 3].map(number => told(number, 'abc'.charAt(number - 1)))
  const hear = (live: readonly number[], containers = live, speaking = live, ending: string[] = []) =>
    collected.putCluster('cluster', {
      ending,
      nodes: [1, 2, 3].map(number => ({
        ...node(number, false),
        live: live.includes(number),
        told: speaking.includes(number),
      })),
      containers: containers.map(number => known[number - 1]!),
    })
  const remote = () => collected.inputs.remote?.map(({ id, state }) => `${id}:${state}`).join(' ')
  hear([1, 2, 3])
  return { collected, reach, hear, remote }
}

t.test('a node of which nothing comes back gets no new connections, and later none at all', async t => {
  const { reach, remote } = threeNodes()
  reach.set('node2', 'quiet')
  t.equal(remote(), 'b:leaving c:ready')
  reach.set('node2', 'lost')
  t.equal(remote(), 'c:ready')
  reach.set('node2', 'reached')
  t.equal(remote(), 'b:ready c:ready')
})

t.test('containers of a silent agent go on for as long as its kernel answers', async t => {
  const { collected, reach, hear, remote } = threeNodes()
  hear([1, 3])
  t.equal(remote(), 'c:ready b:ready', 'as told last')
  t.ok(collected.isSilent('node2'))
  reach.set('node2', 'quiet')
  t.equal(remote(), 'c:ready', 'and end with it at once')
  reach.set('node2', 'reached')
  hear([1, 2, 3], [1, 3], [1, 3])
  t.equal(remote(), 'c:ready b:ready', 'a new agent that has told nothing yet takes nothing away')
  hear([1, 2, 3], [1, 3])
  t.equal(remote(), 'c:ready', 'what it tells when it is back counts alone')
  t.notOk(collected.isSilent('node2'))
})

t.test('containers of a draining node are leaving, for itself and for the others', async t => {
  const collected = new Collected(['store'], ['docker', 'cluster'], {
    name: 'node1',
    subnet: '10.254.0.0/24',
    pool: '10.254.0.0/16',
    membership: null,
  })
  collected.putServices('store', { services: [aService('web', 8888, { selector: labels })] })
  collected.putContainers('docker', containerSnapshot([container('own', { labels })]))
  const merge = createMerge()
  const states = (...draining: number[]) => {
    collected.putCluster('cluster', {
      nodes: [1, 2, 3].map(number => node(number, draining.includes(number))),
      containers: [told(1, 'own'), told(2, 'b'), told(3, 'c')],
      ending: [],
    })
    const { services, containers, node: self, remote } = collected.inputs
    const [web] = merge(services, containers, self, remote).services
    return Object.fromEntries(web!.endpoints.map(({ name, state }) => [name, state]))
  }
  t.same(states(), { own: 'ready', b: 'ready', c: 'ready' })
  t.same(states(2), { own: 'ready', b: 'leaving', c: 'ready' })
  t.same(states(1, 3), { own: 'leaving', b: 'ready', c: 'leaving' })
  t.same(states(), { own: 'ready', b: 'ready', c: 'ready' }, 'and ready again after it')
})

t.test('a process of another node is reached in the mesh, as long as that node is', async t => {
  const { collected, reach, hear } = threeNodes()
  const endpoints = ['192.168.77.2', '10.9.9.9'].map(address => ({ address, port: 9000 }))
  collected.putServices('store', { services: [aService('web', 8888, { endpoints })] })
  const merge = createMerge()
  const service = () => {
    const { services, containers, node: self, remote, hosts } = collected.inputs
    return merge(services, containers, self, remote, hosts).services[0]!
  }
  const found = () => service().endpoints.map(({ kind, address, state }) => `${kind} ${address} ${state}`)
  const external = 'external 10.9.9.9 ready'
  t.strictSame(found(), ['remote 10.254.1.2 ready', external])
  t.equal(service(), service(), 'nothing changes, and nothing is made again')
  reach.set('node2', 'quiet')
  t.strictSame(found(), ['remote 10.254.1.2 leaving', external])
  reach.set('node2', 'lost')
  t.strictSame(found(), [external])
  reach.set('node2', 'reached')
  hear([1, 3])
  t.strictSame(found(), ['remote 10.254.1.2 ready', external], 'it needs no agent')
})

t.test("a VIP, like a port, is one service's: what is stored comes before what files say", async t => {
  const { services, clashes } = combine(
    new Map([
      ['store', { services: [aService('web', 80, { vip: '10.253.1.3' })] }],
      ['/a.yaml', { services: [aService('db', 81, { vip: '10.253.1.3' }), aService('api', 82)] }],
    ]),
  )
  t.same(
    services.map(({ name }) => name),
    ['web', 'api'],
  )
  t.match(clashes, [
    { origin: '/a.yaml', reason: 'service db is left out: store for service web has VIP 10.253.1.3 already' },
  ])
})

t.test('a service is served by a published port, a VIP or its name, and only declared without', async t => {
  const { collected } = threeNodes()
  const one = { first: 80, last: 80 }
  const vipPorts = [{ protocol: 'tcp' as const, port: one, target: one }]
  collected.putServices('store', {
    services: [
      aService('declared', 1, { ports: [], declaredBy: 'swarm' }),
      aService('inner', 1, { ports: [], vip: '10.253.1.3', vipPorts }),
      aService('names', 1, { ports: [], endpointMode: 'dnsrr' }),
      aService('outer', 8888),
    ],
  })
  t.equal(collected.inputs.services.map(({ name }) => name).join(' '), 'inner names outer')
})

t.test('what Swarm is about to stop is leaving as long as another endpoint is ready', async t => {
  const { collected, reach, hear } = threeNodes()
  const own = container('own', { labels })
  collected.putServices('store', { services: [aService('web', 8888, { selector: labels })] })
  collected.putContainers('docker', containerSnapshot([own]))
  const merge = createMerge()
  const states = (ending: string[], remote: number[] = [2, 3]) => {
    hear([1, 2, 3], remote, [1, 2, 3], ending)
    const { services, containers, node: self, remote: others } = collected.inputs
    const [web] = merge(services, containers, self, others).services
    return web!.endpoints.map(({ name, state }) => `${name}:${state}`).join(' ')
  }
  t.equal(states([]), 'own:ready b:ready c:ready')
  t.equal(states(['b', own.id]), 'own:leaving b:leaving c:ready')
  const { containers, remote } = collected.inputs
  hear([1, 2, 3], [2, 3], [1, 2, 3], ['b', own.id])
  t.equal(collected.inputs.containers.containers[0], containers.containers[0], 'said again: the same object')
  t.strictSame(
    collected.inputs.remote?.map((each, i) => each === remote?.[i]),
    [true, true],
    'of other nodes too',
  )
  t.equal(states(['b', 'c', own.id]), 'own:ready b:ready c:ready', 'none else is ready: they stand in')
  reach.set('node3', 'quiet')
  t.equal(states(['b']), 'own:ready b:leaving c:leaving')
  t.equal(states(['b', own.id]), 'own:ready b:ready c:leaving')
  reach.set('node3', 'reached')
  t.equal(states(['b'], [2]), 'own:ready b:leaving')
  collected.putContainers('docker', containerSnapshot([own], { ending: [own.id] }))
  t.equal(states([]), 'own:leaving b:ready c:ready', 'a manager knows by itself')
})

t.test('what is given to a pass is the same object until something changes', async t => {
  const { collected, reach, hear } = threeNodes()
  const before = collected.inputs
  t.equal(collected.inputs, before)
  reach.set('node2', 'quiet')
  const quiet = collected.inputs
  t.not(quiet, before)
  t.equal(collected.inputs, quiet)
  collected.putServices('store', { services: [aService('web', 8080)] })
  const served = collected.inputs
  t.not(served, quiet)
  hear([1, 3])
  t.not(collected.inputs, served)
})
