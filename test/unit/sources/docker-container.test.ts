import t from 'tap'
import { parseInspect, signalNumber } from '../../../src/sources/docker-container.js'

const id = '4f'.repeat(32)
/** What Engine 20.10 answers, cut to a third. */
const answer = (fields: Record<string, object> = {}) => ({
  Id: id,
  Created: '2024-05-01T10:00:00Z',
  Name: '/web',
  State: { Status: 'running', Running: true, Pid: 812, StartedAt: '2024-05-01T10:00:00.5Z', ...fields.State },
  HostConfig: { NetworkMode: 'default', ...fields.HostConfig },
  Config: { Labels: { app: 'web' }, ...fields.Config },
  NetworkSettings: { Ports: {}, ...fields.NetworkSettings },
})

t.test('an inspected container has all that the mesh asks of one', async t => {
  t.strictSame(parseInspect(answer()), {
    container: {
      id,
      name: 'web',
      labels: { app: 'web' },
      state: 'running',
      health: 'none',
      pid: 812,
      network: 'own',
      addresses: [],
      networks: [],
      leaving: false,
      ending: false,
      dockerPorts: [],
    },
    stopSignal: 15,
    stopTimeout: null,
    startedAt: Date.UTC(2024, 4, 1, 10, 0, 0, 500),
  })
})

t.test('states that are not running are one', async t => {
  const stateOf = (Status: string) => parseInspect(answer({ State: { Status } })).container.state
  for (const state of ['running', 'paused', 'restarting'] as const) t.equal(stateOf(state), state)
  for (const state of ['created', 'exited', 'removing', 'dead']) t.equal(stateOf(state), 'exited')
})

t.test(
  'health is what Docker says, and starting while it says nothing of a container that has a check',
  async t => {
    const healthOf = (State: object, Config: object = {}) =>
      parseInspect(answer({ State, Config })).container.health
    t.equal(healthOf({ Health: { Status: 'healthy' } }), 'healthy')
    t.equal(healthOf({ Health: { Status: 'unhealthy' } }), 'unhealthy')
    t.equal(healthOf({ Health: { Status: 'starting' } }), 'starting')
    t.equal(healthOf({ Health: { Status: 'none' } }), 'none')
    t.equal(healthOf({}, { Healthcheck: { Test: ['CMD', 'true'] } }), 'starting')
    t.equal(healthOf({}, { Healthcheck: { Test: ['NONE'] } }), 'none')
    t.equal(healthOf({ Health: null }, { Healthcheck: {} }), 'none')
  },
)

t.test('whose network it uses is told from its mode', async t => {
  const networkOf = (NetworkMode: string) =>
    parseInspect(answer({ HostConfig: { NetworkMode } })).container.network
  t.equal(networkOf('host'), 'host')
  t.equal(networkOf(`container:${id}`), `container:${id}`)
  for (const mode of ['default', 'bridge', 'none', 'shop_default', 'ov']) t.equal(networkOf(mode), 'own')
})

t.test('a port Docker publishes on two addresses counts once', async t => {
  const Ports = {
    '80/tcp': [
      { HostIp: '0.0.0.0', HostPort: '8080' },
      { HostIp: '::', HostPort: '8080' },
      { HostIp: '10.0.0.5', HostPort: '8081' },
    ],
    '53/udp': [{ HostIp: '', HostPort: '53' }],
    '443/tcp': null,
  }
  t.strictSame(parseInspect(answer({ NetworkSettings: { Ports } })).container.dockerPorts, [
    { protocol: 'tcp', port: 8080 },
    { protocol: 'tcp', port: 8081 },
    { protocol: 'udp', port: 53 },
  ])
})

t.test('the stop signal and timeout are the container’s own, or Docker’s', async t => {
  const { stopSignal, stopTimeout } = parseInspect(
    answer({ Config: { StopSignal: 'SIGQUIT', StopTimeout: 30 } }),
  )
  t.equal(stopSignal, 3)
  t.equal(stopTimeout, 30)
  t.equal(parseInspect(answer({ Config: { StopSignal: 'nonsense' } })).stopSignal, 15)
  const patient = parseInspect(answer({ Config: { StopTimeout: -1 } }))
  t.equal(patient.stopTimeout, Number.POSITIVE_INFINITY, 'docker run --stop-timeout -1: without end')
})

t.test('a container that never started has no start time', async t => {
  t.equal(parseInspect(answer({ State: { StartedAt: '0001-01-01T00:00:00Z' } })).startedAt, 0)
})

t.test('signals are read by number and by name', async t => {
  const cases = {
    '15': 15,
    SIGTERM: 15,
    TERM: 15,
    term: 15,
    SIGKILL: 9,
    SIGRTMIN: 34,
    'SIGRTMIN+3': 37,
    'RTMAX-1': 63,
  }
  for (const [text, number] of Object.entries(cases)) t.equal(signalNumber(text), number, text)
  t.equal(signalNumber('SIGNONE'), null)
  t.equal(signalNumber(''), null)
})

t.test('an answer that is no container is refused', async t => {
  t.throws(() => parseInspect({ message: 'no such container' }))
})
