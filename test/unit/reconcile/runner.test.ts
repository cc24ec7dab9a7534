import t from 'tap'
import { type PassKind, Runner } from '../../../src/reconcile/runner.js'

/** A runner whose passes end when the test says so. */
function controlled(settings = { minGap: 0, resync: 60_000 }) {
  const passes: { kind: PassKind; end: (good: boolean) => void }[] = []
  const waiting: ((pass: (typeof passes)[number]) => void)[] = []
  const runner = new Runner(
    kind =>
      new Promise<boolean>(resolve => {
        const pass = { kind, end: resolve }
        passes.push(pass)
        waiting.shift()?.(pass)
      }),
    settings,
  )
  const next = () => new Promise<(typeof passes)[number]>(resolve => waiting.push(resolve))
  return { runner, passes, next }
}

t.test('it begins with a full pass and makes one at a time', async t => {
  const { runner, passes, next } = controlled()
  const began = next()
  runner.start()
  const first = await began
  t.equal(first.kind, 'full')
  runner.mark('fast')
  runner.mark('fast')
  t.equal(passes.length, 1, 'nothing begins while a pass is under way')
  const second = next()
  first.end(true)
  t.equal((await second).kind, 'fast', 'marks made meanwhile become one pass')
  ;(await second).end(true)
  await runner.stop()
  t.equal(passes.length, 2)
})

t.test('a full mark is not lost to a fast one', async t => {
  const { runner, next } = controlled()
  const began = next()
  runner.start()
  const first = await began
  runner.mark('full')
  runner.mark('fast')
  const second = next()
  first.end(true)
  t.equal((await second).kind, 'full')
  ;(await second).end(true)
  await runner.stop()
})

t.test('after a failed fast pass a full one follows long before the resync', async t => {
  const { runner, next } = controlled()
  const began = next()
  runner.start()
  ;(await began).end(true)
  const second = next()
  runner.mark('fast')
  const third = next()
  ;(await second).end(false)
  t.equal((await third).kind, 'full')
  ;(await third).end(true)
  await runner.stop()
})

t.test('exclusive work waits for the pass under way and holds back the next', async t => {
  const { runner, passes, next } = controlled()
  const began = next()
  runner.start()
  const first = await began
  let release: (value: string) => void = () => {}
  const work = runner.exclusive(() => {
    t.equal(passes.length, 1)
    runner.mark('fast')
    return new Promise<string>(resolve => {
      release = resolve
    })
  })
  first.end(true)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(passes.length, 1, 'no pass while the work is under way')
  const second = next()
  release('done')
  t.equal(await work, 'done')
  ;(await second).end(true)
  await runner.stop()
})
