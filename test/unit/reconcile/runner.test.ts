import t from 'tap'
import { type PassKind, Runner, type RunnerSettings } from '../../../src/reconcile/runner.js'

interface MadePass {
  readonly kind: PassKind
  readonly signal: AbortSignal
  readonly end: (good: boolean | null) => void
}

/** A runner whose passes end when the test says so. */
function controlled(settings: RunnerSettings = { minGap: 0, resync: 60_000, patience: 60_000 }) {
  const passes: MadePass[] = []
  const waiting: ((pass: (typeof passes)[number]) => void)[] = []
  const runner = new Runner(
    (kind, signal) =>
      new Promise<boolean | null>(resolve => {
        const pass = { kind, signal, end: resolve }
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

t.test('a fast pass goes before a full one, and neither is lost to the other', async t => {
  const { runner, next } = controlled()
  const began = next()
  runner.start()
  const first = await began
  runner.mark('full')
  runner.mark('fast')
  const second = next()
  first.end(true)
  t.equal((await second).kind, 'fast')
  const third = next()
  ;(await second).end(true)
  t.equal((await third).kind, 'full')
  ;(await third).end(true)
  await runner.stop()
})

t.test('a full pass is asked to give up for a fast one, and made after it', async t => {
  const { runner, passes, next } = controlled()
  const began = next()
  runner.start()
  const first = await began
  runner.mark('fast')
  t.notOk(first.signal.aborted, 'the very first has to be made')
  const second = next()
  first.end(true)
  ;(await second).end(true)
  runner.mark('full')
  const look = await next()
  t.equal(look.kind, 'full')
  t.notOk(look.signal.aborted)
  runner.mark('fast')
  t.ok(look.signal.aborted)
  const before = next()
  look.end(null)
  t.equal((await before).kind, 'fast')
  const again = next()
  ;(await before).end(true)
  t.equal((await again).kind, 'full')
  ;(await again).end(true)
  await runner.stop()
  t.strictSame(
    passes.map(({ kind }) => kind),
    ['full', 'fast', 'full', 'fast', 'full'],
  )
})

t.test('fast passes without end put a full one off only for a time', async t => {
  const { runner, passes, next } = controlled({ minGap: 0, resync: 60_000, patience: 300 })
  const began = next()
  runner.start()
  ;(await began).end(true)
  runner.mark('full')
  const asked = Date.now()
  for (;;) {
    runner.mark('fast')
    const pass = await next()
    runner.mark('fast')
    if (pass.kind === 'full' && !pass.signal.aborted) {
      t.ok(Date.now() - asked >= 300)
      pass.end(true)
      break
    }
    pass.end(pass.kind === 'full' ? null : true)
  }
  t.ok(passes.filter(({ kind }) => kind === 'fast').length > 1, 'until then they were made')
  const stopping = runner.stop()
  passes.at(-1)?.end(true)
  await stopping
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

t.test('exclusive work holds back a pass whose time had been set before', async t => {
  const { runner, passes, next } = controlled({ minGap: 0, resync: 50 })
  const began = next()
  runner.start()
  ;(await began).end(true)
  await new Promise(resolve => setImmediate(resolve))
  let release: () => void = () => {}
  const work = runner.exclusive(
    () =>
      new Promise<void>(resolve => {
        release = resolve
      }),
  )
  await new Promise(resolve => setTimeout(resolve, 150))
  t.equal(passes.length, 1, 'no pass while the work is under way')
  const second = next()
  release()
  await work
  t.equal((await second).kind, 'full', 'it is made afterwards')
  const stopping = runner.stop()
  ;(await second).end(true)
  await stopping
})
