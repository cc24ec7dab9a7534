import t from 'tap'
import { Breather } from '../../../src/store/breather.js'
import { waitFor } from '../../helpers/wait.js'

/** A run that takes so many milliseconds. */
function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

t.test('what takes no time runs whenever it is asked for', async t => {
  let runs = 0
  const breather = new Breather(() => runs++)
  for (let i = 0; i < 100; i++) breather.ask()
  t.equal(runs, 100)
})

t.test('what takes long rests, and runs once for all that asked meanwhile', async t => {
  const began: number[] = []
  const breather = new Breather(() => {
    began.push(performance.now())
    busy(20)
  })
  breather.ask()
  t.equal(began.length, 1, 'at once')
  for (let i = 0; i < 10; i++) breather.ask()
  t.equal(began.length, 1)
  await waitFor(() => began.length === 2, 'the second run', 20, 0.005)
  t.ok(began[1]! - began[0]! >= 75, `${began[1]! - began[0]!} ms later`)
  breather.ask()
  breather.stop()
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(began.length, 2, 'none after its end')
})
