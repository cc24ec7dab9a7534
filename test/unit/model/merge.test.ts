/**
 * A merge that remembers the one before comes to the same mesh as one that begins anew,
 * whatever happened in between, and leaves alone what nothing has happened to.
 */
import t from 'tap'
import type { HostNode, RemoteContainer } from '../../../src/model/cluster.js'
import type { Container } from '../../../src/model/container.js'
import { differences } from '../../../src/model/differences.js'
import { createMerge } from '../../../src/model/merge.js'
import type { Service } from '../../../src/model/service.js'
import type { Node } from '../../../src/model/snapshot.js'
import { parseWeight } from '../../../src/model/weights.js'
import { container, containerSnapshot, idOf } from '../../helpers/containers.js'
import { Random } from '../../helpers/random.js'
import { aService } from '../../helpers/services.js'

const node: Node = {
  name: 'node1',
  subnet: '10.254.1.0/24',
  pool: '10.254.0.0/16',
  addresses: ['192.0.2.1'],
  membership: null,
}
const apps = ['a', 'b', 'c', 'd']

/** Lists of everything a merge is given, of which random items change. */
class Changing {
  services: Service[] = []
  own: Container[] = []
  remote: RemoteContainer[] = []
  hosts: HostNode[] = []
  private made = 0

  constructor(private readonly random: Random) {}

  private service(): Service {
    const name = `${this.random.pick(apps)}${this.made++}`
    return aService(name, 1000 + this.made, {
      selector: this.random.pick<Record<string, string> | null>([
        null,
        { app: this.random.pick(apps) },
        { app: this.random.pick(apps), tier: 'x' },
      ]),
      endpoints: this.random.pick([
        [],
        [],
        [{ address: this.random.pick(['192.0.2.1', '192.0.2.2', '10.1.1.1']), port: 80 }],
      ]),
      scopes: this.random.pick([[], [], ['s']]),
      weights: this.random.pick([[], [], [parseWeight('tier=x:3')]]),
    })
  }

  private labels(): Record<string, string> {
    const extra = this.random.pick<Record<string, string>>([
      {},
      { tier: 'x' },
      { 'mesh.scope': 's' },
      { 'mesh.attach': 'true' },
    ])
    return { app: this.random.pick(apps), ...extra }
  }

  private container(): Container {
    const owner = this.own.length > 0 && this.random.between(0, 3) === 0 ? this.random.pick(this.own) : null
    return container(`own${this.made++}`, {
      labels: this.labels(),
      state: this.random.pick(['running', 'running', 'paused', 'exited'] as const),
      network: owner ? `container:${owner.id}` : this.random.pick(['own', 'own', 'host'] as const),
    })
  }

  private remoteContainer(): RemoteContainer {
    const name = `far${this.made++}`
    const address = `10.254.2.${this.made % 250}`
    const host = this.random.pick(['node2', 'node3'])
    return {
      node: host,
      id: idOf(name),
      name,
      labels: this.labels(),
      address,
      state: this.random.pick(['ready', 'leaving']),
    }
  }

  private alter<Item>(list: readonly Item[], make: () => Item, other: (item: Item) => Item): Item[] {
    const items = [...list]
    for (let i = this.random.between(0, 3); i > 0; i--) {
      const at = this.random.between(0, items.length)
      const way = this.random.between(0, 2)
      if (way === 0 || at === items.length) items.splice(at, 0, make())
      else if (way === 1) items.splice(at, 1)
      else items[at] = other(items[at]!)
    }
    return items
  }

  step(): void {
    const what = this.random.between(0, 3)
    if (what === 0)
      this.services = this.alter(
        this.services,
        () => this.service(),
        each => ({ ...each }),
      )
    if (what === 1)
      this.own = this.alter(
        this.own,
        () => this.container(),
        each => ({ ...each, health: this.random.pick(['healthy', 'unhealthy'] as const), pid: each.pid + 1 }),
      )
    if (what === 2)
      this.remote = this.alter(
        this.remote,
        () => this.remoteContainer(),
        each => ({ ...each, state: this.random.pick(['ready', 'leaving'] as const) }),
      ).sort((a, b) => (`${a.node} ${a.id}` < `${b.node} ${b.id}` ? -1 : 1))
    if (what === 3)
      this.hosts = [
        { name: 'node1', address: '192.0.2.1', meshAddress: '10.254.1.1', state: 'ready' },
        {
          name: 'node2',
          address: '192.0.2.2',
          meshAddress: '10.254.2.1',
          state: this.random.pick([null, 'ready']),
        },
      ]
  }
}

t.test('a merge that remembers comes to what one without memory comes to', async t => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = new Changing(new Random(seed))
    const merge = createMerge()
    for (let step = 0; step < 40; step++) {
      world.step()
      const { services, own, remote, hosts } = world
      const snapshot = containerSnapshot(own)
      const mesh = merge(services, snapshot, node, remote, hosts)
      const anew = createMerge()(services, snapshot, node, remote, hosts)
      t.strictSame(mesh.services, anew.services, `seed ${seed}, step ${step}`)
      t.strictSame(mesh.attachments, anew.attachments)
    }
    if (!t.passing()) break
  }
})

t.test('the list of services is the same as long as none of them changes', async t => {
  const merge = createMerge()
  const services = [
    aService('a', 8001, { selector: { app: 'a' } }),
    aService('b', 8002, { selector: { app: 'b' } }),
  ]
  const first = merge(services, containerSnapshot([container('x', { labels: { app: 'a' } })]), node).services
  const same = merge(
    [...services],
    containerSnapshot([container('x', { labels: { app: 'a' } })]),
    node,
  ).services
  t.equal(same, first)
  const more = merge(services, containerSnapshot([]), node).services
  t.not(more, first)
  t.equal(first[0]?.endpoints.length, 1, 'what was handed out is as it was')
  t.equal(more[1], first[1])
})

t.test('differences are what is in one list only', async t => {
  const random = new Random(7)
  for (let round = 0; round < 300; round++) {
    const items = Array.from({ length: 30 }, (_, i) => i)
    const before = items.filter(() => random.between(0, 3) > 0)
    const after =
      round % 3 === 0 ? items.slice(random.between(0, 29)) : before.filter(() => random.between(0, 7) > 0)
    if (round % 2 === 0) after.splice(random.between(0, after.length), 0, 100, 101)
    const { gone, come } = differences(before, after)
    const result = new Set(before)
    for (const item of gone) result.delete(item)
    for (const item of come) result.add(item)
    t.strictSame([...result].sort(), [...after].sort(), `${before} → ${after}`)
  }
})
