import t from 'tap'
import {
  byFwmark,
  type DestinationObject,
  type KernelObject,
  keyOf,
  stateOf,
} from '../../../src/kernel/objects.js'
import { type RetireInput, retire } from '../../../src/planner/retire.js'

const service: KernelObject = {
  kind: 'virtualService',
  match: byFwmark(0x122b8),
  scheduler: 'rr',
  persistence: 0,
}

function destination(fields: Partial<DestinationObject> = {}): DestinationObject {
  return {
    kind: 'destination',
    service: byFwmark(0x122b8),
    address: '10.254.0.3',
    port: 80,
    weight: 1,
    drainingSince: 0,
    ...fields,
  }
}

function input(
  held: DestinationObject,
  fields: Partial<RetireInput> & { active?: number } = {},
): RetireInput {
  return {
    held: stateOf([service, held]),
    wanted: stateOf([service]),
    readings: new Map([[keyOf(held), { active: fields.active ?? 0, inactive: 0 }]]),
    alive: () => true,
    drainOf: () => 30,
    now: 1000,
    ...fields,
  }
}

t.test('a destination that is no longer wanted first gets weight 0, with the time it began', async t => {
  t.strictSame(retire(input(destination())), [destination({ weight: 0, drainingSince: 1000 })])
})

t.test('a weight 0 without a start was set by hand and is a drain like any other', async t => {
  t.strictSame(retire(input(destination({ weight: 0 }))), [destination({ weight: 0, drainingSince: 1000 })])
})

t.test('it stays while it has active connections and its drain time is not over', async t => {
  const draining = destination({ weight: 0, drainingSince: 980 })
  t.strictSame(retire(input(draining, { active: 1 })), [draining])
  t.strictSame(
    retire(input(draining, { active: 1, now: 1010 })),
    [draining],
    'begun at 980.9, it is 29.1 s old',
  )
  t.strictSame(retire(input(draining, { active: 1, now: 1011 })), [], 'the drain time is over')
  t.strictSame(retire(input(draining, { active: 0 })), [], 'the last connection has ended')
})

t.test('a handshake under way at the start of the drain has a second to become active', async t => {
  const draining = destination({ weight: 0, drainingSince: 1000 })
  t.strictSame(retire(input(draining)), [draining])
  t.strictSame(retire(input(draining, { now: 1001 })), [draining], 'begun at 1000.9, it is 0.1 s old')
  t.strictSame(retire(input(draining, { now: 1002 })), [])
})

t.test('an unread destination is not taken for an idle one', async t => {
  const draining = destination({ weight: 0, drainingSince: 980 })
  t.strictSame(retire(input(draining, { readings: new Map() })), [draining])
})

t.test('a destination whose container is gone goes at once', async t => {
  t.strictSame(retire(input(destination(), { alive: () => false })), [])
})

t.test('a drain time of 0 cuts connections at once', async t => {
  t.strictSame(retire(input(destination(), { drainOf: () => 0 })), [])
})

t.test('the virtual service of a draining destination stays with it', async t => {
  const staying = retire(input(destination(), { wanted: new Map() }))
  t.strictSame(staying, [service, destination({ weight: 0, drainingSince: 1000 })])
})

t.test('a destination that is wanted is left to the plan', async t => {
  t.strictSame(retire(input(destination(), { wanted: stateOf([service, destination()]) })), [])
})
