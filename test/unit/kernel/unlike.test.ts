/**
 * What is alike is left out, and nothing else changes by that.
 */
import t from 'tap'
import { diff } from '../../../src/kernel/diff.js'
import { byFwmark, type KernelObject, keyOf, stateOf } from '../../../src/kernel/objects.js'
import { unlike } from '../../../src/kernel/unlike.js'
import { Random } from '../../helpers/random.js'

function group(fwmark: number, addresses: readonly string[], scheduler = 'rr'): KernelObject[] {
  const service = byFwmark(fwmark)
  return [
    { kind: 'virtualService', match: service, scheduler, persistence: 0 },
    ...addresses.map(
      (address): KernelObject => ({
        kind: 'destination',
        service,
        address,
        port: 80,
        weight: 1,
        drainingSince: 0,
      }),
    ),
  ]
}

const entry: KernelObject = { kind: 'entry', place: 'mesh', set: 'mesh-tcp', element: '8888', mark: 1 }
const three = ['10.0.0.1', '10.0.0.2', '10.0.0.3']

t.test('what is alike with all its destinations is left out, in whatever order they come', async t => {
  for (const addresses of [three, three.toReversed(), ['10.0.0.2', '10.0.0.3', '10.0.0.1']]) {
    const { wanted, observed } = unlike(
      [group(1, three), [...group(2, []), entry]],
      [...group(2, []), entry, ...group(1, addresses)],
    )
    t.strictSame([...wanted.keys()], [keyOf(entry)])
    t.strictSame([...observed.keys()], [keyOf(entry)])
  }
})

t.test('what differs in one of them is there as a whole', async t => {
  const [service, ...destinations] = group(1, three)
  const other = { ...destinations[1], weight: 0 } as KernelObject
  for (const held of [
    group(1, three.slice(1)),
    group(1, [...three, '10.0.0.4']),
    group(1, ['10.0.0.1', '10.0.0.2', '10.0.0.4']),
    group(1, three, 'wlc'),
    [service!, destinations[0]!, other, destinations[2]!],
  ]) {
    const { wanted, observed } = unlike([group(1, three)], [...held, ...group(3, three)])
    t.strictSame([...wanted.values()], group(1, three))
    t.strictSame([...observed.values()], [...group(3, three), ...held].toSorted(byMark))
  }
})

function byMark(a: KernelObject, b: KernelObject): number {
  const mark = (object: KernelObject) => /\d+/.exec(keyOf(object))![0]
  return Number(mark(a)) - Number(mark(b))
}

t.test('the changes are those of the whole states', async t => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed * 7919)
    const some = (): KernelObject[][] =>
      Array.from({ length: 6 }, (_, i) => i + 1)
        .filter(() => random.between(0, 5) > 0)
        .map(fwmark =>
          group(
            fwmark,
            three.filter(() => random.between(0, 9) > 0),
            random.pick(['rr', 'rr', 'rr', 'wlc']),
          ),
        )
    const [wanted, observed] = [some(), some().toReversed().flat()]
    const { wanted: left, observed: right } = unlike(wanted, observed)
    const told = (changes: ReturnType<typeof diff>) =>
      changes.map(({ type, object }) => `${type} ${keyOf(object)}`).sort()
    t.strictSame(
      told(diff(left, right)),
      told(diff(stateOf(wanted.flat()), stateOf(observed))),
      `seed ${seed}`,
    )
  }
})
