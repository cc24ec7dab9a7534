/**
 * Published ports that somebody on this node had before the mesh.
 */

import { pino } from 'pino'
import t from 'tap'
import { HeldPorts } from '../../../src/agent/held-ports.js'
import type { KernelObject } from '../../../src/kernel/objects.js'
import { type Listener, reservedPorts } from '../../../src/model/conflicts.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Service } from '../../../src/model/service.js'
import { vipPortsOf } from '../../../src/model/vip-ports.js'
import { container, containerSnapshot } from '../../helpers/containers.js'
import { listener } from '../../helpers/listeners.js'
import { service } from '../../helpers/services.js'

/** A node on which others have what `others` says, and where the kernel held `found` of the mesh. */
function node(found: readonly KernelObject[] = []) {
  const others = {
    listeners: [] as Listener[],
    known: [] as readonly Listener[],
    containers: [container('own')],
    reads: 0,
  }
  const held = new HeldPorts({
    found,
    reserved: reservedPorts,
    readListeners: async (_, known) => {
      others.reads++
      others.known = known
      return others.listeners
    },
    log: pino({ level: 'silent' }),
  })
  const look = (services: readonly Service[], again = false) =>
    held.look(() => ({ services, snapshot: containerSnapshot(others.containers) }), again)
  /** Which ports the node answers on, and what it says of the others. */
  const answers = async (services: readonly Service[], again = false) => {
    await look(services, again)
    const left = held.left(services)
    return {
      ports: left.flatMap(({ ports }) => ports.map(({ published }) => published.first)),
      problems: left.flatMap(({ problems }) => problems),
    }
  }
  return { others, look, answers, left: held.left.bind(held) }
}

const entry = (set: string, element: string): KernelObject => ({
  kind: 'entry',
  place: 'host',
  set,
  element,
  mark: null,
})

t.test('a port that somebody listens on is left to him, and the others of the service are not', async t => {
  const { others, answers } = node()
  others.listeners = [listener(8888)]
  t.strictSame(await answers([service('web', ['8888:80', '9999:80', '8888:80/udp'])]), {
    ports: [9999, 8888],
    problems: [
      'this node does not answer on port 8888/tcp: it is in use on this node: nginx (pid 812) listens on 0.0.0.0:8888',
    ],
  })
})

t.test('so is one that Docker publishes, or that is reserved', async t => {
  const { others, answers } = node()
  others.containers = [container('old', { dockerPorts: [{ protocol: 'tcp', port: 8080 }] })]
  const { ports, problems } = await answers([service('web', ['8080:80', '2377:80', '81:80'])])
  t.strictSame(ports, [81])
  t.match(problems, [
    /8080\/tcp: it is published by Docker for container old/,
    /2377\/tcp: it is reserved for/,
  ])
})

t.test('it is the mesh’s as soon as nobody holds it, and stays so', async t => {
  const { others, answers } = node()
  const services = [service('web', ['8888:80'])]
  others.listeners = [listener(8888)]
  t.strictSame((await answers(services)).ports, [])
  others.listeners = []
  t.strictSame((await answers(services)).ports, [], 'nobody looks between two full passes')
  t.strictSame(await answers(services, true), { ports: [8888], problems: [] })
  others.listeners = [listener(8888)]
  t.strictSame((await answers([...services, service('more', ['9000:80'])], true)).ports, [8888, 9000])
  t.strictSame((await answers([], true)).ports, [])
  t.strictSame((await answers(services)).ports, [], 'once it was given up it is like any other')
})

t.test('sockets of clients, which come and go, do not keep a range of datagrams for ever', async t => {
  const { others, answers } = node()
  const services = [
    service('rtp', ['40000-41000:40000-41000/udp', '50000:53/udp']),
    service('web', ['8888:80']),
  ]
  const client = (inode: number) => listener(40_000 + inode, { protocol: 'udp', inode })
  const single = (inode: number) => listener(50_000, { protocol: 'udp', inode })
  others.listeners = [client(1), listener(8888, { inode: 2 }), single(11)]
  t.strictSame((await answers(services)).ports, [], 'at first nobody knows what they are')
  others.listeners = [client(1), client(3), listener(8888, { inode: 4 }), single(12)]
  t.strictSame((await answers(services, true)).ports, [], 'one of them has stayed')
  others.listeners = [client(5), listener(8888, { inode: 6 }), single(13)]
  t.strictSame((await answers(services, true)).ports, [40_000], 'a server may be started again')
})

t.test('what the kernel held when the agent began is the mesh’s', async t => {
  const bound = service('bound', ['10.0.0.5:84:80', '9000:90/sctp'])
  const services = [service('web', ['8888:80', '5353:53/udp', '8000-8009:8000-8009']), bound]
  const found = [
    entry('mesh-tcp', '8888'),
    entry('mesh-tcp', '8000'),
    entry('mesh-udp', '5353'),
    entry('mesh-bound', '10.0.0.5,tcp:84'),
    entry('mesh-bound', '10.0.0.5,sctp:9000'),
  ]
  const listeners = [8888, 8005, 84].map(port => listener(port))
  listeners.push(listener(5353, { protocol: 'udp' }), listener(9000, { protocol: 'sctp' }))
  const restarted = node(found)
  restarted.others.listeners = listeners
  t.strictSame((await restarted.answers(services)).ports, [8888, 5353, 8000, 84, 9000])
  t.equal(restarted.others.reads, 0)
  const booted = node()
  booted.others.listeners = listeners
  t.strictSame((await booted.answers(services)).ports, [])
})

t.test('what labels declare takes over what Docker’s Engine publishes', async t => {
  const { others, answers } = node()
  others.listeners = [listener(8888, { process: 'dockerd' }), listener(9999)]
  const { ports } = await answers([service('web', ['8888:80', '9999:80'], { declaredBy: 'swarm' })])
  t.strictSame(ports, [8888])
})

t.test('listeners are read where a port is new, and nothing else changes', async t => {
  const { others, look, left } = node()
  const services = [service('web', ['8888:80']), service('api', ['9000:80'])]
  t.equal(left(services), services)
  others.listeners = [listener(8888)]
  await look(services)
  const now = left(services)
  const [web, api] = now
  t.equal(api, services[1], 'untouched')
  t.strictSame(vipPortsOf(web!), vipPortsOf(services[0]!), 'its VIP answers as ever')
  await look(services)
  t.equal(others.reads, 1)
  await look(services, true)
  t.equal(others.reads, 2)
  t.strictSame(others.known, [listener(8888)], 'whose process is known')
  t.equal(left(services), now, 'the same list while the same are held')
  const more = [...services, service('more', ['9001:80'])]
  await look(more)
  t.equal(left(more)[0], web)
})

t.test(
  'containers of a service without a VIP are on the mesh, for other nodes, where its port is held',
  async t => {
    const { others, look, left } = node()
    const services = [service('web', ['8888:80', '8888:53/udp'])]
    others.listeners = [listener(8888), listener(8888, { protocol: 'udp' })]
    await look(services)
    const web = container('web', { labels: { app: 'web' } })
    const own = {
      name: 'node1',
      subnet: '10.254.0.0/24',
      pool: '10.254.0.0/16',
      addresses: [],
      membership: null,
    }
    const merged = (list: readonly Service[]) => createMerge()(list, containerSnapshot([web]), own)
    t.strictSame(left(services)[0]?.ports, [])
    t.match(merged(left(services)).attachments, [{ id: web.id, udpPorts: [{ first: 53, last: 53 }] }])
    t.strictSame(merged(left(services)).attachments, merged(services).attachments)
  },
)
