/**
 * A large mesh, planned for one of its nodes: how much there is, and how much of it is
 * touched when one thing changes. Counted, not timed.
 */
import t from 'tap'
import { diff } from '../../../src/kernel/diff.js'
import { type KernelObject, stateOf } from '../../../src/kernel/objects.js'
import { type NodeRecord, type RemoteContainer, subnetOfNode } from '../../../src/model/cluster.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Node } from '../../../src/model/snapshot.js'
import { createPlanner } from '../../../src/planner/plan.js'
import { type Plan, planOf } from '../../../src/planner/slices.js'
import { container, containerSnapshot, idOf } from '../../helpers/containers.js'
import { planSettings } from '../../helpers/plan-settings.js'
import { aService } from '../../helpers/services.js'

const nodes = 5000
const each = 10
const services = 500
const pool = '10.0.0.0/8'

function nodeOf(number: number): NodeRecord {
  const subnet = subnetOfNode(pool, 24, number)!
  const address = `172.16.${number >> 8}.${number & 255}`
  return { name: `node${number}`, number, subnet, address, ipv6: null }
}

/** The `i`th of a node's containers; neighbours in number are of different services. */
function remoteOf(number: number, i: number): RemoteContainer {
  const app = `s${(number * each + i) % services}`
  const address = nodeOf(number).subnet.replace('.0/24', `.${3 + i}`)
  const name = `c${number}-${i}`
  return { node: `node${number}`, id: idOf(name), name, labels: { app }, address, state: 'ready' }
}

/** Sources of node 1, which may be changed between two plans. */
class LargeMesh {
  readonly published = Array.from({ length: services }, (_, i) =>
    aService(`s${i}`, 10_000 + i, { selector: { app: `s${i}` } }),
  )
  readonly own = Array.from({ length: each }, (_, i) => container(`own${i}`, { labels: { app: `s${i}` } }))
  peers = Array.from({ length: nodes - 1 }, (_, i) => nodeOf(i + 2))
  remote = this.peers.flatMap(({ number }) => Array.from({ length: each }, (_, i) => remoteOf(number, i)))
  private readonly merge = createMerge()
  private readonly planner = createPlanner(planSettings)

  plan(): Plan {
    const { name, subnet, address } = nodeOf(1)
    const { peers } = this
    const membership = { number: 1, address, vni: 4097, port: 8473, mtu: 1450, peers, privateNetworks: [] }
    const node: Node = { name, subnet, pool, addresses: [address], membership }
    const mesh = this.merge(this.published, containerSnapshot(this.own), node, this.remote)
    const addresses = new Map(this.own.map(({ id }, i) => [id, `10.0.0.${3 + i}`]))
    return this.planner(mesh, node, id => addresses.get(id) ?? null)
  }
}

/** The slices that are not those of before, by name, and what the kernel is asked to do for them. */
function difference(before: Plan, after: Plan) {
  const slices = new Set<string>()
  for (const [name, slice] of after) if (before.get(name) !== slice) slices.add(name)
  for (const name of before.keys()) if (!after.has(name)) slices.add(name)
  const objectsOf = (plan: Plan) => [...slices].flatMap(name => plan.get(name) ?? [])
  const slicesOf = (plan: Plan) => stateOf([...slices].flatMap(name => plan.get(name) ?? []))
  return {
    slices: [...slices].sort(),
    /** All objects that had to be planned or compared. */
    touched: objectsOf(before).length + objectsOf(after).length,
    changes: diff(slicesOf(after), slicesOf(before)).map(({ type, object }) => `${type} ${object.kind}`),
  }
}

function countOf(objects: readonly KernelObject[], kind: KernelObject['kind']): number {
  return objects.reduce((sum, object) => sum + (object.kind === kind ? 1 : 0), 0)
}

t.test('5,000 nodes with 50,000 endpoints', async t => {
  const mesh = new LargeMesh()
  let now = mesh.plan()
  const change = (make: () => void) => {
    make()
    const before = now
    now = mesh.plan()
    return difference(before, now)
  }
  const ofOneService = (nodes * each) / services

  t.test('are one destination for each endpoint, and a few objects for each node', async t => {
    const objects = planOf(now)
    t.equal(countOf(objects, 'destination'), nodes * each)
    t.equal(countOf(objects, 'virtualService'), services)
    t.equal(countOf(objects, 'forwarding'), nodes - 1)
    t.equal(countOf(objects, 'neighbour'), nodes - 1)
    const rules = objects.filter(object => object.kind === 'rule' && object.place === 'mesh')
    t.equal(rules.length, nodes - 1 + 2 + 2 * Math.floor(nodes / 64), 'a rule for each node, two for 64 more')
    t.equal(now.size, services + each + 2 * (nodes - 1) + Math.floor(nodes / 64) + 1)
  })

  t.test('are the same slices as long as nothing changes', async t => {
    t.strictSame(change(() => {}).slices, [])
  })

  t.test('one endpoint that comes or goes touches its own service', async t => {
    const [, ...rest] = mesh.remote
    const first = mesh.remote[0] as RemoteContainer
    const gone = change(() => {
      mesh.remote = rest
    })
    t.strictSame(gone.slices, [`service ${first.labels.app}`])
    t.strictSame(gone.changes, ['remove destination'])
    t.ok(gone.touched <= 2 * (ofOneService + 3), `${gone.touched} objects`)
    const back = change(() => {
      mesh.remote = [first, ...rest]
    })
    t.strictSame(back.changes, ['add destination'])
    t.ok(back.touched <= 2 * (ofOneService + 3), `${back.touched} objects`)
    const leaving = change(() => {
      mesh.remote = [{ ...first, state: 'leaving' }, ...rest]
    })
    t.strictSame(leaving.slices, [`service ${first.labels.app}`])
  })

  t.test('a node that joins, and one that leaves, touches what is its own', async t => {
    const joined = change(() => {
      mesh.peers = [...mesh.peers, nodeOf(nodes + 1)]
    })
    t.strictSame(joined.slices, [`peer node${nodes + 1}`, `sender ${nodeOf(nodes + 1).address}`])
    t.equal(joined.changes.length, 7)
    t.equal(joined.touched, 7)
    const far = change(() => {
      mesh.peers = [...mesh.peers, nodeOf(60_000)]
    })
    const { address } = nodeOf(60_000)
    t.strictSame(far.slices, ['peer node60000', `sender ${address}`, `way back ${60_000 >> 6}`])
    t.equal(far.touched, 9)
    const gone = change(() => {
      mesh.peers = mesh.peers.filter(({ number }) => number !== 2)
    })
    t.strictSame(gone.slices, ['peer node2', `sender ${nodeOf(2).address}`])
    t.equal(gone.changes.length, 7)
  })

  t.test("a change of one of the node's own containers touches two slices", async t => {
    const gone = change(() => {
      mesh.own.pop()
    })
    t.equal(gone.slices.length, 2)
    t.ok(gone.touched <= 2 * (ofOneService + 3) + 20, `${gone.touched} objects`)
  })
})
