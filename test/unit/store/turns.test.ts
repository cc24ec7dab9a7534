import t from 'tap'
import { Turns } from '../../../src/store/turns.js'
import { sleep, waitFor } from '../../helpers/wait.js'

t.test('one after the other, also after one that failed', async t => {
  const turns = new Turns(10)
  const did: string[] = []
  const work = (name: string) => async () => {
    did.push(`${name} begins`)
    await sleep(0.005)
    did.push(`${name} ends`)
    if (name === 'a') throw new Error('a failed')
    return name
  }
  const first = turns.next(work('a'))
  const second = turns.next(work('b'))
  await t.rejects(first, { message: 'a failed' })
  t.equal(await second, 'b')
  t.same(did, ['a begins', 'a ends', 'b begins', 'b ends'])
})

t.test('later takes its turn in a while, and never after the end', async t => {
  const turns = new Turns(10)
  let tries = 0
  const work = async () => {
    if (++tries < 3) turns.later(work)
    throw new Error('not yet')
  }
  turns.later(work)
  t.equal(tries, 0)
  await waitFor(() => tries === 3, 'three tries', 20)
  turns.later(work)
  turns.end()
  turns.later(work)
  await turns.done()
  await sleep(0.05)
  t.equal(tries, 3)
  t.ok(turns.ended)
})

t.test('what had its turn before the end is waited for', async t => {
  const turns = new Turns(10)
  let isOver = false
  void turns.next(async () => {
    await sleep(0.02)
    isOver = true
  })
  turns.end()
  await turns.done()
  t.ok(isOver)
})
