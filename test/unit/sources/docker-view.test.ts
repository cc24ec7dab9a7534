import t from 'tap'
import type { Inspected } from '../../../src/sources/docker-container.js'
import { DockerView } from '../../../src/sources/docker-view.js'
import { container, idOf, swarmTask } from '../../helpers/containers.js'

const second = 1000
const start = 1_700_000_000_000

const inspected = (name: string, fields: Partial<Inspected> = {}): Inspected => ({
  container: container(name),
  stopSignal: 15,
  stopTimeout: null,
  startedAt: start,
  ...fields,
})
const event = (action: string, name: string, at: number, attributes = {}, type = 'container') => ({
  type,
  action,
  id: idOf(name),
  attributes,
  time: BigInt(at) * 1_000_000n,
})
function viewOf(...all: Inspected[]): DockerView {
  const view = new DockerView()
  for (const each of all) view.inspected(each, start)
  return view
}
const kill = (view: DockerView, signal: string, at: number) =>
  view.event(event('kill', 'web', at, { signal }), at)
const web = (view: DockerView) => view.get(idOf('web'))

t.test('a snapshot in which nothing changed is the same object', async t => {
  const view = viewOf(inspected('web'), inspected('api'))
  const snapshot = view.snapshot()
  view.inspected(inspected('web'), start)
  view.event(event('unpause', 'web', start), start)
  view.swarm(null)
  t.equal(view.snapshot(), snapshot)
})

t.test('a snapshot keeps what did not change', async t => {
  const view = viewOf(inspected('web'), inspected('api'))
  const former = view.snapshot()
  view.event(event('pause', 'web', start), start)
  const snapshot = view.snapshot()
  t.equal(former.containers[0]?.state, 'running', 'the former snapshot stays as it was')
  t.equal(snapshot.containers[0]?.state, 'paused')
  t.equal(snapshot.containers[1], former.containers[1])
  t.equal(snapshot.swarmServices, former.swarmServices)
  t.equal(snapshot.swarmPorts, former.swarmPorts)
})

t.test('only signals that end a container make it leave', async t => {
  for (const [signal, leaving] of Object.entries({
    '15': true,
    '9': true,
    '1': false,
    '10': false,
    '3': false,
  })) {
    const view = viewOf(inspected('web'))
    kill(view, signal, start + second)
    t.equal(web(view)?.leaving, leaving, `signal ${signal}`)
  }
  const own = viewOf(inspected('web', { stopSignal: 3 }))
  kill(own, '3', start + second)
  t.equal(web(own)?.leaving, true, 'its own stop signal')
})

t.test('a harmless signal after the stop signal changes nothing', async t => {
  const view = viewOf(inspected('web'))
  kill(view, '15', start + second)
  kill(view, '1', start + 2 * second)
  t.equal(web(view)?.leaving, true)
})

t.test('a signal that is told of after the end of the process changes nothing', async t => {
  const view = viewOf(inspected('web'))
  const { id, pid } = web(view)!
  view.ended(id, pid)
  kill(view, '15', start + second)
  t.match(web(view), { state: 'exited', leaving: false })
})

t.test('a container that survives its stop timeout is not leaving any more', async t => {
  const view = viewOf(inspected('web'))
  kill(view, '15', start)
  t.equal(view.settle(start + 14 * second), start + 15 * second, 'it is to be looked at again then')
  t.equal(web(view)?.leaving, true)
  t.equal(view.settle(start + 15 * second), null)
  t.equal(web(view)?.leaving, false)
})

t.test('the stop timeout is the container’s own; a task’s that of its service', async t => {
  const own = viewOf(inspected('web', { stopTimeout: 60 }))
  kill(own, '15', start)
  t.equal(own.settle(start), start + 65 * second)

  const patient = viewOf(inspected('web', { stopTimeout: Number.POSITIVE_INFINITY }))
  kill(patient, '15', start)
  patient.settle(start + 86_400 * second)
  t.equal(web(patient)?.leaving, true, 'for as long as Docker waits')

  const task = viewOf(inspected('web', { container: container('web', { labels: swarmTask('shop') }) }))
  task.swarm({ names: ['shop'], ports: [], declarations: [], stopTimeouts: new Map([['shop', 90]]) })
  kill(task, '15', start)
  t.equal(task.settle(start), start + 95 * second)

  const elsewhere = viewOf(inspected('web', { container: container('web', { labels: swarmTask('shop') }) }))
  kill(elsewhere, '15', start)
  t.ok(elsewhere.settle(start)! > start + 300 * second, 'a worker does not know it and waits long')
})

t.test('an inspection does not undo a signal, a start does', async t => {
  const view = viewOf(inspected('web'))
  kill(view, '15', start + second)
  view.inspected(inspected('web'), start + 2 * second)
  t.equal(web(view)?.leaving, true)
  view.event(event('start', 'web', start + 3 * second), start + 3 * second)
  view.inspected(inspected('web', { startedAt: start + 3 * second }), start + 3 * second)
  t.equal(web(view)?.leaving, false)
})

t.test('a signal to a container not inspected yet is remembered, one before its start is not', async t => {
  const view = new DockerView()
  kill(view, '15', start + second)
  view.inspected(inspected('web'), start + 2 * second)
  t.equal(web(view)?.leaving, true)
  const later = new DockerView()
  kill(later, '15', start)
  later.inspected(inspected('web', { startedAt: start + second }), start + 2 * second)
  t.equal(web(later)?.leaving, false)
})

t.test('a signal counts, too, when the clock was set back since the container started', async t => {
  const view = viewOf(inspected('web'))
  kill(view, '15', start - 3600 * second)
  t.equal(web(view)?.leaving, true)
})

t.test('events say what must be inspected', async t => {
  const view = viewOf(inspected('web'))
  const none = { inspect: null, swarm: false }
  for (const action of ['kill', 'pause', 'unpause', 'stop', 'create', 'health_status: healthy', 'destroy'])
    t.strictSame(view.event(event(action, 'web', start), start), none, action)
  for (const action of ['start', 'die', 'rename', 'update', 'oom', 'health_status: new kind'])
    t.strictSame(
      view.event(event(action, 'web', start), start),
      { inspect: idOf('web'), swarm: false },
      action,
    )
  t.strictSame(view.event(event('update', 'x', start, {}, 'service'), start), { inspect: null, swarm: true })
  const connect = event('connect', 'net', start, { container: idOf('web') }, 'network')
  t.strictSame(view.event(connect, start), none, 'the network of one that does not run')
  view.inspected(inspected('web'), start)
  t.strictSame(view.event(connect, start), { inspect: idOf('web'), swarm: false })
  t.strictSame(view.event(event('create', 'net', start, {}, 'network'), start), none)
  t.strictSame(view.event(event('pull', 'x', start, {}, 'image'), start), none)
})

t.test('what was seen of a process holds until Docker tells of the start', async t => {
  const view = viewOf()
  view.arrived(inspected('web', { container: container('web', { state: 'created', pid: 7 }) }))
  t.match(web(view), { state: 'created', pid: 7 })
  view.event(event('die', 'web', start - 1), start)
  view.inspected(inspected('web', { container: container('web', { state: 'exited', pid: 0 }) }), start)
  t.match(web(view), { state: 'created', pid: 7 }, 'an end that was told late is of the process before')
  view.begun(idOf('web'))
  t.equal(view.isArriving(idOf('web')), true)
  t.match(web(view), { state: 'running', pid: 7 })
  const snapshot = view.snapshot()
  view.inspected(inspected('web', { container: container('web', { pid: 7 }) }), start)
  t.equal(view.isArriving(idOf('web')), false)
  t.equal(view.snapshot(), snapshot, 'Docker says the same')
})

t.test('a process that ended before Docker told of the start is gone', async t => {
  const view = viewOf()
  view.arrived(inspected('web', { container: container('web', { state: 'created', pid: 7 }) }))
  view.ended(idOf('web'), 7)
  t.equal(view.isArriving(idOf('web')), false)
  view.inspected(inspected('web', { container: container('web', { state: 'exited', pid: 0 }) }), start)
  t.equal(web(view), null)
})

t.test('health is taken from its event', async t => {
  const view = viewOf(inspected('web'))
  view.event(event('health_status: unhealthy', 'web', start), start)
  t.equal(web(view)?.health, 'unhealthy')
})

t.test('a container that ended is told and then forgotten', async t => {
  const view = viewOf(inspected('web'))
  kill(view, '9', start)
  view.event(event('die', 'web', start), start)
  t.match(web(view), { state: 'exited', pid: 0, leaving: false })
  view.inspected(inspected('web', { container: container('web', { state: 'exited' }) }), start)
  t.equal(web(view), null)
  t.strictSame(view.snapshot().containers, [])
})

t.test('events about unknown containers change nothing', async t => {
  const view = viewOf(inspected('web'))
  const snapshot = view.snapshot()
  for (const action of ['die', 'pause', 'kill', 'destroy', 'health_status: healthy'])
    view.event(event(action, 'api', start, { signal: '9' }), start)
  t.equal(view.snapshot(), snapshot)
})

t.test('of events older than the list only signals count', async t => {
  const view = viewOf(inspected('web'))
  const snapshot = view.snapshot()
  for (const action of ['pause', 'die', 'destroy', 'health_status: unhealthy'])
    view.recall(event(action, 'web', start + second), start + 9 * second)
  t.equal(view.snapshot(), snapshot)
  view.recall(event('kill', 'web', start + second, { signal: '15' }), start + 9 * second)
  t.equal(web(view)?.leaving, true)
  view.recall(event('kill', 'api', start + second, { signal: '15' }), start + 9 * second)
  view.recall(event('start', 'api', start + 2 * second), start + 9 * second)
  view.inspected(inspected('api'), start + 9 * second)
  t.equal(view.get(idOf('api'))?.leaving, false, 'it was started after the signal')
})
