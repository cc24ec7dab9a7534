/**
 * The watch of tasks by itself: when it asks, and when it ends.
 */
import t from 'tap'
import { TaskWatch } from '../../../src/sources/task-watch.js'

t.test('it ends with the question that it is at, however many services are to be looked at', async t => {
  const asked: unknown[] = []
  let answer: (tasks: unknown) => void = () => {}
  const watch = new TaskWatch(
    question => {
      asked.push(question.service?.[0])
      return new Promise(resolve => {
        answer = resolve
      })
    },
    () => {},
  )
  watch.heard(['a', 'b', 'c'].map(ID => ({ ID })))
  t.strictSame(asked, ['a'])
  const stopped = watch.stop()
  answer([])
  await stopped
  t.strictSame(asked, ['a'])
})
