/**
 * `meshctl node`, as a child process: output, stderr, exit status.
 */
import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { aNode } from '../../helpers/agent-double.js'
import { serve } from '../../helpers/meshctl-server.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

t.test('node ls is a table for people and JSON for programs', async t => {
  const { agent, run } = await serve(t)
  agent.nodeViews = [
    aNode(1),
    aNode(2, { draining: true, connections: 0 }),
    aNode(3, { live: false, reach: 'lost', containers: 0, connections: 0 }),
    aNode(4, { live: false, draining: true }),
    aNode(5, { reach: 'quiet', connections: 0, notes: ['nothing comes back from node node5'] }),
  ]
  t.same(await run('node', 'ls'), {
    status: 0,
    stdout: [
      'NODE              NUMBER  ADDRESS       SUBNET         STATE             CONTAINERS  CONNECTIONS',
      'node1 (this one)  1       192.168.77.1  10.254.0.0/24  ready             2           3',
      'node2             2       192.168.77.2  10.254.1.0/24  draining          2           0',
      'node3             3       192.168.77.3  10.254.2.0/24  gone              0           0',
      'node4             4       192.168.77.4  10.254.3.0/24  silent, draining  2           3',
      'node5             5       192.168.77.5  10.254.4.0/24  unreachable       2           0',
      '',
      'note: nothing comes back from node node5',
      '',
    ].join('\n'),
    stderr: '',
  })
  t.same(JSON.parse((await run('node', 'ls', '-o', 'json')).stdout), agent.nodeViews)
  agent.nodeViews = [aNode(1, { number: null, address: null })]
  t.match((await run('node', 'ls')).stdout, /^node1 \(this one\) +- +- +10\.254\.0\.0\/24 +ready/m)
})

t.test('node drain and its --undo ask the agent and say what is so', async t => {
  const { agent, run } = await serve(t)
  agent.nodeViews = [aNode(1), aNode(2)]
  t.same(await run('node', 'drain', 'node2'), {
    status: 0,
    stdout: 'containers of node2 take no new connections; 3 connections through this node left\n',
    stderr: '',
  })
  t.match(agent.nodeViews[1], { draining: true })
  t.same(await run('node', 'drain', 'node2', '--undo'), {
    status: 0,
    stdout: 'containers of node2 take new connections\n',
    stderr: '',
  })
  t.match(agent.nodeViews[1], { draining: false })
  t.match(await run('node', 'drain', 'node9'), { status: 1, stderr: /node9: there is no such node/ })
})

t.test('node rm removes a node, and the refusal of the agent is told', async t => {
  const { agent, run } = await serve(t)
  agent.nodeViews = [aNode(1), aNode(2)]
  t.same(await run('node', 'rm', 'node2'), {
    status: 0,
    stdout: 'node2 is no longer part of the mesh; 10.254.1.0/24 is free again\n',
    stderr: '',
  })
  t.equal(agent.nodeViews.length, 1)
  agent.failure = new InputError('node', 'node1', 'its agent is running', 'stop meshd there first')
  t.same(await run('node', 'rm', 'node1'), {
    status: 2,
    stdout: '',
    stderr: 'meshctl: node "node1": its agent is running; stop meshd there first\n',
  })
})

t.test('what is missing or not there is told', async t => {
  const { run } = await serve(t)
  t.match(await run('node'), { status: 2, stderr: 'see meshctl node --help' })
  t.match(await run('node', 'drain'), { status: 2, stderr: 'see meshctl node --help' })
  t.match(await run('node', 'rm', ''), { status: 2, stderr: 'node "": it is empty' })
  t.match(await run('node', 'frob'), { status: 2, stderr: 'frob' })
})
