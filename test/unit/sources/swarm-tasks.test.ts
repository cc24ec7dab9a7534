/**
 * Which containers Swarm is about to stop, by what a manager says of tasks and services.
 */
import t from 'tap'
import { parseTasks, parseUpdates } from '../../../src/sources/swarm-tasks.js'

function task(wanted: string, state: string, container: string | null, service = 's1') {
  const ContainerStatus = container === null ? undefined : { ContainerID: container, PID: 1 }
  return { ID: 't', ServiceID: service, DesiredState: wanted, Status: { State: state, ContainerStatus } }
}

t.test('a container that runs and whose task shall run no more', async t => {
  const ending = (...tasks: object[]) => parseTasks(tasks).ending
  t.strictSame(ending(task('running', 'running', 'a'), task('running', 'starting', 'b')), [])
  t.strictSame(ending(task('shutdown', 'running', 'b'), task('remove', 'running', 'a')), ['a', 'b'])
  t.strictSame(ending(task('shutdown', 'starting', 'a')), ['a'], 'it need not be healthy yet')
  t.strictSame(ending(task('shutdown', 'orphaned', 'a')), ['a'], 'nobody knows whether it runs')
  t.strictSame(ending(task('shutdown', 'shutdown', 'a'), task('shutdown', 'failed', 'b')), [], 'over')
  t.strictSame(ending(task('shutdown', 'preparing', null), task('running', 'failed', 'a')), [])
})

t.test('services of the tasks, each once', async t => {
  const tasks = [
    task('running', 'running', 'a'),
    task('running', 'running', 'b', 's2'),
    task('shutdown', 'running', 'c'),
  ]
  t.strictSame(parseTasks(tasks).services, ['s1', 's2'])
})

t.test('services under an update or a rollback', async t => {
  const service = (ID: string, state?: string) => ({ ID, UpdateStatus: state && { State: state } })
  const services = [
    service('a'),
    service('b', 'updating'),
    service('c', 'rollback_started'),
    service('d', 'completed'),
    service('e', 'paused'),
  ]
  t.strictSame(
    parseUpdates(services.map(each => (each.UpdateStatus ? each : { ID: each.ID, UpdateStatus: null }))),
    {
      all: ['a', 'b', 'c', 'd', 'e'],
      updated: ['b', 'c'],
    },
  )
})

t.test('what is no answer of Docker is refused', async t => {
  t.throws(() => parseTasks([{ ID: 't' }]))
  t.throws(() => parseUpdates({ message: 'not a manager' }))
})
