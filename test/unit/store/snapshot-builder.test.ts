/**
 * Snapshots made of what has changed are those made of everything.
 */
import t from 'tap'
import { aliveValue, clusterKeys, containerValue } from '../../../src/store/cluster-keys.js'
import type { KeyValue } from '../../../src/store/etcd-wire.js'
import { SnapshotBuilder } from '../../../src/store/snapshot-builder.js'
import { Random } from '../../helpers/random.js'

const keys = clusterKeys('/mesh/')
const names = ['a', 'b', 'c', 'd']

/** Keys of a cluster, of which random ones are written and removed. */
class Changing {
  readonly entries = new Map<string, KeyValue>()
  private revision = 0

  constructor(private readonly random: Random) {}

  private put(key: string, value: string): void {
    this.entries.set(key, { key, value, revision: ++this.revision, created: 1, lease: '1' } as KeyValue)
  }

  /** Returns the key that it has changed. */
  step(): string {
    const { random } = this
    const name = random.pick(names)
    const number = names.indexOf(name) + 1
    const id = random.pick(['x', 'y', 'z'])
    const place = { number, subnet: `10.254.${number}.0/24`, address: `192.0.2.${number}`, draining: false }
    const container = {
      id,
      name: id,
      labels: {},
      address: `10.254.${number}.3`,
      state: random.pick(['ready', 'leaving'] as const),
    }
    const [key, value] = random.pick([
      [keys.node(name), JSON.stringify({ ...place, draining: random.pick([true, false]) })],
      [keys.node(name), random.pick(['', JSON.stringify({ ...place, number: number + 10 })])],
      [
        keys.alive(name),
        aliveValue({
          address: place.address,
          agent: 'g',
          told: random.pick([true, false]),
          ending: random.pick([[], [], ['c1'], ['c1', 'c2']]),
        }),
      ],
      [keys.alive(name), ''],
      [keys.container(name, id), containerValue(container)],
      [keys.container(name, id), containerValue(container)],
      [keys.container(name, id), ''],
      [keys.container(name, id), 'damaged'],
      [keys.number(number), name],
    ] as [string, string][])
    if (value === '') this.entries.delete(key)
    else this.put(key, value)
    return key
  }
}

t.test('snapshots of what has changed are those of everything', async t => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed)
    const world = new Changing(random)
    const quick = new SnapshotBuilder(keys)
    const slow = new SnapshotBuilder(keys)
    quick.build(world.entries, () => false, null)
    slow.build(world.entries, () => false, null)
    for (let step = 0; step < 60; step++) {
      const changed = new Set(Array.from({ length: random.between(0, 4) }, () => world.step()))
      const spared = new Set(names.filter(() => random.between(0, 2) === 0))
      const before = quick.last
      const one = quick.build(world.entries, name => spared.has(name), changed)
      const other = slow.build(world.entries, name => spared.has(name), null)
      t.strictSame(one, other, `seed ${seed}, step ${step}`)
      t.equal(quick.last === before, isSame(before, quick.last), 'the former object if nothing is new')
    }
    if (!t.passing()) break
  }
})

function isSame(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) === JSON.stringify(after)
}

t.test('what did not change is the same object', async t => {
  const builder = new SnapshotBuilder(keys)
  const entries = new Map<string, KeyValue>()
  const put = (key: string, value: string) =>
    entries.set(key, { key, value, revision: entries.size + 1, created: 1, lease: '1' } as KeyValue)
  for (const [i, name] of names.entries()) {
    const address = `192.0.2.${i + 1}`
    put(keys.node(name), JSON.stringify({ number: i + 1, subnet: `10.254.${i + 1}.0/24`, address }))
    put(keys.alive(name), aliveValue({ address, agent: 'g', told: true, ending: [] }))
    const container = {
      id: 'x',
      name: 'x',
      labels: {},
      address: `10.254.${i + 1}.3`,
      state: 'ready' as const,
    }
    put(keys.container(name, 'x'), containerValue(container))
  }
  const first = builder.build(entries, () => false, null).snapshot
  t.equal(first.containers.length, names.length)
  t.equal(builder.build(entries, () => false, null).snapshot, first)
  const container = { id: 'x', name: 'x', labels: {}, address: '10.254.2.3', state: 'leaving' as const }
  put(keys.container('b', 'x'), containerValue(container))
  const next = builder.build(entries, () => false, new Set([keys.container('b', 'x')])).snapshot
  t.equal(next.nodes, first.nodes)
  t.strictSame(
    next.containers.map((each, i) => each === first.containers[i]),
    [true, false, true, true],
  )
})
