import t from 'tap'
import type { RemoteContainer } from '../../../src/model/cluster.js'
import type { Container } from '../../../src/model/container.js'
import { createMerge } from '../../../src/model/merge.js'
import type { PublishedPort } from '../../../src/model/ports.js'
import { parsePortSpec } from '../../../src/model/ports.js'
import type { Service } from '../../../src/model/service.js'
import type { Node } from '../../../src/model/snapshot.js'
import { parseVipPort } from '../../../src/model/vip-ports.js'
import { parseWeight } from '../../../src/model/weights.js'
import { container, containerSnapshot, idOf } from '../../helpers/containers.js'
import { aService } from '../../helpers/services.js'

const node: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.254.0.0/16',
  addresses: [],
  membership: null,
}
const vip = '10.253.0.5'
const web = container('web', { labels: { app: 'web' }, addresses: ['172.17.0.2'] })

function service(fields: Partial<Service> = {}): Service {
  return aService('web', 8888, { selector: { app: 'web' }, ...fields })
}

function merged(services: Service[], containers: Container[], remote: RemoteContainer[] = []) {
  return createMerge()(services, containerSnapshot(containers), node, remote)
}

t.test('a container is attached by label though it answers for nothing', async t => {
  const labels = { 'mesh.attach': 'true' }
  const lonely = container('lonely', { labels })
  const host = container('host', { labels, network: 'host' })
  const sharer = container('sharer', { labels, network: `container:${web.id}` })
  const stopped = container('stopped', { labels, state: 'exited', pid: 0 })
  const not = container('not', { labels: { 'mesh.attach': 'false' } })
  const { attachments } = merged([], [lonely, host, web, sharer, stopped, not])
  t.strictSame(
    attachments.map(({ id }) => id),
    [lonely.id, web.id],
    'what shares a network is attached with its owner',
  )
})

t.test('an endpoint answers datagrams at the targets of the VIP, too', async t => {
  const ports = [parsePortSpec('5353:53/udp') as PublishedPort]
  const vipPorts = [parseVipPort('514:5140/udp'), parseVipPort('80')]
  const udpPorts = (fields: Partial<Service>) =>
    merged([service({ ports, vipPorts, ...fields })], [web]).attachments[0]?.udpPorts
  t.strictSame(udpPorts({ vip: null }), [{ first: 53, last: 53 }])
  t.strictSame(udpPorts({ vip }), [
    { first: 53, last: 53 },
    { first: 5140, last: 5140 },
  ])
})

t.test('endpoints of this node and of others are weighed by their labels', async t => {
  const weights = [parseWeight('version=canary:7')]
  const canary = { app: 'web', version: 'canary' }
  const remote: RemoteContainer = {
    node: 'node2',
    id: idOf('far'),
    name: 'far',
    labels: canary,
    address: '10.254.1.3',
    state: 'ready',
  }
  const endpoints = [{ address: '10.9.9.9', port: null }]
  const own = container('own', { labels: canary })
  const mesh = merged([service({ weights, endpoints })], [web, own], [remote])
  t.strictSame(
    mesh.services[0]?.endpoints.map(({ name, weight }) => `${name} ${weight}`),
    ['10.9.9.9 1', 'web 1', 'own 7', 'far 7'],
  )
})

t.test('a scoped service has callers: containers of the node that share a scope', async t => {
  const scoped = service({ vip, scopes: ['a', 'b'] })
  const caller = (name: string, scope: string, fields: Partial<Container> = {}) =>
    container(name, { labels: { 'mesh.scope': scope }, addresses: [`172.17.0.${name.length}`], ...fields })
  const containers = [
    caller('x', 'a'),
    caller('xx', ' c , b ,a'),
    caller('xxx', 'c'),
    caller('xxxx', 'a', { network: 'host' }),
    container('plain'),
    container('sharer', { labels: { 'mesh.scope': 'b' }, network: `container:${web.id}` }),
    web,
  ]
  const names = (list: readonly { id: string }[] = []) =>
    list.map(({ id }) => containers.find(each => each.id === id)?.name)
  const [service1, service2] = merged([scoped, service()], containers).services
  t.strictSame(names(service1?.callers), ['x', 'xx', 'web'])
  t.match(service1?.callers, [
    { addresses: ['172.17.0.1'], attached: false },
    { attached: false },
    { attached: true, addresses: ['172.17.0.2'] },
  ])
  t.strictSame(service2?.callers, [], 'a service without scopes needs none')
})

t.test('what answers for a service has its scopes as a caller', async t => {
  const db = container('db', { labels: { app: 'db' } })
  const worker = container('worker', { labels: { app: 'worker' } })
  const plain = container('plain')
  const { services, attachments } = merged(
    [
      service({ name: 'db', selector: { app: 'db' }, ports: [], vip, scopes: ['a'] }),
      service({ name: 'worker', selector: { app: 'worker' }, ports: [], vip: null, scopes: ['a', 'b'] }),
    ],
    [db, worker, plain],
  )
  const callers = services[0]?.callers.map(({ id, attached }) => ({ id, attached }))
  t.strictSame(callers, [
    { id: db.id, attached: true },
    { id: worker.id, attached: false },
  ])
  t.strictSame(
    attachments.map(({ id }) => id),
    [db.id],
    'for its scopes alone nobody is attached',
  )
})

t.test('what did not change is the same object as before, callers and weights included', async t => {
  const merge = createMerge()
  const services = [service({ vip, scopes: ['a'], weights: [parseWeight('app=web:3')] })]
  const caller = container('caller', { labels: { 'mesh.scope': 'a' } })
  const [first] = merge(services, containerSnapshot([web, caller]), node).services
  t.equal(merge(services, containerSnapshot([web, { ...caller }]), node).services[0], first)
  t.not(merge(services, containerSnapshot([web]), node).services[0], first)
})
