import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { paced } from '../../../src/sources/pace.js'

t.test('the first call goes through at once, the next ones together after the gap', async t => {
  let runs = 0
  const ask = paced(30, () => runs++)
  ask()
  t.equal(runs, 1)
  ask()
  ask()
  await sleep(5)
  t.equal(runs, 1)
  await sleep(60)
  t.equal(runs, 2)
  ask()
  t.equal(runs, 3, 'after a quiet time the next is the first again')
})

t.test('a stopped pace calls no more', async t => {
  let runs = 0
  const ask = paced(10, () => runs++)
  ask()
  ask()
  ask.stop()
  await sleep(30)
  t.equal(runs, 1)
})
