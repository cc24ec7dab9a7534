import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { workQueue } from '../../../src/sources/work-queue.js'

t.test('keys are worked on side by side up to the width', async t => {
  let running = 0
  let most = 0
  const queue = workQueue(3, async () => {
    most = Math.max(most, ++running)
    await sleep(2)
    running--
  })
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(queue.want))
  t.equal(most, 3)
})

t.test('a key wanted while it is worked on is worked on once more, however often wanted', async t => {
  const runs: string[] = []
  const queue = workQueue(2, async key => {
    runs.push(key)
    await sleep(5)
  })
  const first = queue.want('a')
  t.notOk(queue.isWanted('a'), 'it runs')
  const second = queue.want('a')
  t.equal(queue.want('a'), second)
  t.ok(queue.isWanted('a'))
  await first
  t.strictSame(runs, ['a', 'a'])
  await second
  await queue.idle()
  t.strictSame(runs, ['a', 'a'])
})

t.test('a failure is told to who wanted it, and the others go on', async t => {
  const queue = workQueue(1, async key => {
    if (key === 'bad') throw new Error('broken')
  })
  const [bad, good] = await Promise.allSettled([queue.want('bad'), queue.want('good')])
  t.equal(bad.status, 'rejected')
  t.equal(good.status, 'fulfilled')
})

t.test('clearing forgets what waits, not what runs', async t => {
  const runs: string[] = []
  const queue = workQueue(1, async key => {
    await sleep(5)
    runs.push(key)
  })
  const running = queue.want('a')
  const waiting = queue.want('b')
  queue.clear()
  await t.rejects(waiting, { message: 'no longer wanted' })
  await running
  await queue.idle()
  t.strictSame(runs, ['a'])
})
