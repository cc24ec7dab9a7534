/**
 * What Swarm is about to stop takes no new connection on any node, before the Engine of its
 * node has done anything about it: there, containerd is held up meanwhile, without which no
 * container gets a signal.
 */
import type { Test } from 'tap'
import { ask } from '../../helpers/clients.js'
import type { Node } from '../../helpers/lab.js'
import type { SwarmMesh } from '../../helpers/swarm-mesh.js'
import { waitFor } from '../../helpers/wait.js'

const port = 8877

export async function endings(t: Test, swarm: SwarmMesh): Promise<void> {
  const { nodes } = swarm
  const [one] = nodes as [Node, Node]

  const signalled = async (signal: 'STOP' | 'CONT') => {
    for (const node of nodes) {
      const pid = (await node.must('pgrep', '-x', 'containerd')).trim()
      await node.must('kill', `-${signal}`, pid)
    }
  }
  t.teardown(async () => {
    await signalled('CONT')
    await swarm.removeServices('shop')
  })
  await one.docker.createService({
    name: 'shop',
    replicas: 2,
    more: { Labels: { 'mesh.publish': `${port}:80` } },
  })
  await one.tasks('shop', 2)
  await swarm.settled(port, 2)

  /** Until each node sees the service's endpoints in these states, in whatever order. */
  async function seen(...states: string[]): Promise<void> {
    for (const node of nodes)
      await waitFor(
        async () => {
          const { endpoints } = await swarm.of(node).client.inspect('shop')
          return (
            endpoints
              .map(({ state }) => state)
              .sort()
              .join() === states.join()
          )
        },
        `${states.join()} on ${node.name}`,
        60,
        0.05,
      )
  }

  /** Names of the containers that answer, each node asked four times. */
  async function answering(): Promise<Set<string>> {
    const names = new Set<string>()
    for (const node of nodes)
      for (let i = 0; i < 4; i++) {
        const { container } = await ask(`http://${node.address}:${port}/`, {
          localAddress: swarm.clientOf(node),
        })
        names.add(container)
      }
    return names
  }

  t.test('one of two: all new connections go to the other', async t => {
    await signalled('STOP')
    await one.docker.scale('shop', 1)
    await seen('leaving', 'ready')
    t.equal((await answering()).size, 1)
    await signalled('CONT')
    await seen('ready')
    t.equal((await answering()).size, 1)
  })

  t.test('all of them: they stand in until they are told to stop', async t => {
    await signalled('STOP')
    await one.docker.scale('shop', 0)
    await waitFor(async () => (await one.docker.runningTasks('shop')).length === 0, 'Swarm to want none', 30)
    await waitFor(
      () => swarm.agents.get(one)!.output.split('is about to stop').length > 2,
      'the agent to hear of it',
      30,
    )
    t.equal((await answering()).size, 1)
    await seen('ready')
    await signalled('CONT')
    await seen()
  })
}
