/**
 * Updates of a Swarm service whose containers stop gracefully, published by a label on
 * two nodes, under a load through both: no request fails, whatever Swarm does.
 */
import type { Test } from 'tap'
import type { Node } from '../../helpers/lab.js'
import type { SwarmMesh } from '../../helpers/swarm-mesh.js'
import { waitFor } from '../../helpers/wait.js'

/**
 * A container serves on after SIGTERM, as a program does that knows of balancers: until nobody
 * has come for so many seconds, for nobody knows how long this machine takes.
 */
const quiet = '2'

export async function updates(t: Test, swarm: SwarmMesh): Promise<void> {
  const { nodes } = swarm
  const [one, two] = nodes as [Node, Node]

  t.teardown(() => swarm.removeServices('web'))
  await one.docker.createService({
    name: 'web',
    replicas: 2,
    command: ['web', '--quiet', quiet],
    container: {
      StopGracePeriod: 120e9,
      // A container runs some time before its server listens; the mesh waits for its health. A look
      // at it takes half a second of the lab's only processor.
      Healthcheck: {
        Test: ['CMD', 'wget', '-q', '-O', '/dev/null', 'http://127.0.0.1:80/health'],
        Interval: 3e9,
        Timeout: 10e9,
        Retries: 30,
      },
    },
    more: {
      Labels: { 'mesh.publish': '8888:80' },
      UpdateConfig: { Parallelism: 2, Order: 'start-first', Monitor: 1e8 },
      RollbackConfig: { Parallelism: 1, Order: 'stop-first', Monitor: 1e8 },
    },
  })
  await one.tasks('web', 2)
  await swarm.settled(8888, 2)

  /** Works under a load, none of whose requests may fail, until both containers serve. */
  const underLoad = (t: Test, work: () => Promise<void>) =>
    swarm.underLoad(t, { port: 8888, allowed: 0 }, async () => {
      await work()
      await swarm.settled(8888, 2)
    })

  /** Until Swarm says so of an update that began after `begun`, milliseconds since 1970. */
  async function updated(state: 'completed' | 'rollback_completed', begun: number): Promise<void> {
    type Status = { UpdateStatus?: { State: string; StartedAt: string } }
    await waitFor(
      async () => {
        const { UpdateStatus } = await one.docker.call<Status>('GET', '/services/web')
        return UpdateStatus?.State === state && Date.parse(UpdateStatus.StartedAt) >= begun
      },
      `update ${state}`,
      180,
      0.2,
    )
  }

  t.test('a forced update, start-first, loses no request', t =>
    underLoad(t, async () => {
      const begun = Date.now()
      await one.docker.updateService('web', spec => {
        spec.TaskTemplate.ForceUpdate++
      })
      await updated('completed', begun)
    }),
  )

  t.test('a rollback, stop-first, loses no request', t =>
    underLoad(t, async () => {
      type Service = { Version: { Index: number }; Spec: object }
      const { Version, Spec } = await one.docker.call<Service>('GET', '/services/web')
      const begun = Date.now()
      await one.docker.call('POST', `/services/web/update?version=${Version.Index}&rollback=previous`, Spec)
      await updated('rollback_completed', begun)
    }),
  )

  t.test('scaling down and up loses no request', t =>
    underLoad(t, async () => {
      await one.docker.scale('web', 1)
      await swarm.settled(8888, 1)
      await one.docker.scale('web', 2)
    }),
  )

  t.test('a node that Swarm drains loses no request', t =>
    underLoad(t, async () => {
      type SwarmNode = {
        ID: string
        Version: { Index: number }
        Spec: object
        Description: { Hostname: string }
      }
      const all = await one.docker.call<SwarmNode[]>('GET', '/nodes')
      const { ID, Version, Spec } = all.find(({ Description }) => Description.Hostname === 'node2')!
      const drained = { ...Spec, Availability: 'drain' }
      await one.docker.call('POST', `/nodes/${ID}/update?version=${Version.Index}`, drained)
      await waitFor(async () => (await swarm.tasksOn(two)).length === 0, 'no task on node2', 120)
    }),
  )
}
