/**
 * A port that a Swarm of two managers publishes becomes a port of the mesh, and Docker's
 * again, under a load through both nodes: no request fails, but for those of the moment
 * in which Docker's own mesh does not know yet on every node where its tasks are.
 */
import type { Test } from 'tap'
import { ask } from '../../helpers/clients.js'
import type { Node } from '../../helpers/lab.js'
import type { SwarmMesh } from '../../helpers/swarm-mesh.js'
import { waitFor } from '../../helpers/wait.js'

const port = 8080

type Spec = { Labels: Record<string, string>; EndpointSpec: { Ports?: { PublishedPort: number }[] } }

export async function adopt(t: Test, swarm: SwarmMesh): Promise<void> {
  const { nodes } = swarm
  const [one, two] = nodes as [Node, Node]
  const url = (node: Node) => `http://${node.address}:${port}/`
  const client = (node: Node) => swarm.of(node).client

  const specOf = async () => (await one.docker.call<{ Spec: Spec }>('GET', '/services/web')).Spec
  const containers = async () =>
    (await one.docker.runningTasks('web')).map(task => task.Status.ContainerStatus!.ContainerID).sort()

  t.teardown(() => swarm.removeServices('web', 'names'))
  await one.docker.createService({
    name: 'web',
    replicas: 2,
    command: ['web', '--quiet', '2'],
    container: { StopGracePeriod: 120e9 },
    more: {
      UpdateConfig: { Parallelism: 2, Order: 'start-first', Monitor: 1e8 },
      EndpointSpec: {
        Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: port, PublishMode: 'ingress' }],
      },
    },
  })
  await one.tasks('web', 2)
  for (const node of nodes)
    await waitFor(() => ask(url(node), { timeout: 2 }), `Docker's port on ${node.name}`, 60)

  /** Works under a load, of whose requests so many may fail. */
  const underLoad = (t: Test, allowed: number, work: () => Promise<void>) =>
    swarm.underLoad(t, { port, allowed }, work)

  /** Whether the mesh answers on a node: Docker's ingress hides the client's address. */
  async function byMesh(node: Node): Promise<boolean> {
    const localAddress = swarm.clientOf(node)
    return (await ask(url(node), { localAddress, timeout: 20 })).client === localAddress
  }

  t.test('--keep takes the port over and replaces no task', t =>
    underLoad(t, 0, async () => {
      const before = await containers()
      const { stdout, stderr, status } = await one.meshctl('adopt', 'web', '--keep')
      t.same(
        { status, stdout, stderr },
        {
          status: 0,
          stdout: `the mesh answers on ${port}:80/tcp for web; Docker's own publication stays behind it\n`,
          stderr: '',
        },
      )
      await swarm.settled(port, 2)
      for (const node of nodes) t.ok(await byMesh(node), `the mesh answers on ${node.name}`)
      t.same(await containers(), before)
      const { Labels, EndpointSpec } = await specOf()
      t.match(
        { Labels, EndpointSpec },
        {
          Labels: { 'mesh.publish': `${port}:80/tcp` },
          EndpointSpec: { Ports: [{ PublishedPort: port }] },
        },
      )
    }),
  )

  t.test('adopt removes the publication of Docker as well', t =>
    underLoad(t, 0, async () => {
      const before = await containers()
      t.match(await client(one).adopt('web', {}), { name: 'web', ports: [`${port}:80/tcp`], replacing: true })
      t.same((await specOf()).EndpointSpec.Ports ?? [], [])
      await waitFor(
        async () => {
          const now = await containers()
          return now.length === 2 && !now.some(id => before.includes(id))
        },
        'other tasks',
        60,
      )
      await swarm.settled(port, 2)
      for (const node of nodes) t.ok(await byMesh(node), `the mesh answers on ${node.name}`)
    }),
  )

  // Nobody can ask Docker whether its gossip has reached every node: the mesh waits a while, and a
  // busy machine may take longer. So much is a second of all requests.
  t.test('release gives the port to Docker when that leads somewhere', t =>
    underLoad(t, 40, async () => {
      t.match(await client(two).release('web'), { name: 'web', ports: [`${port}:80/tcp`] })
      const { Labels, EndpointSpec } = await specOf()
      t.notOk(Labels['mesh.publish'])
      t.match(EndpointSpec.Ports, [{ PublishedPort: port, TargetPort: 80 }])
      await swarm.published('web')
      for (const node of nodes)
        await waitFor(async () => !(await byMesh(node)), `Docker's answer on ${node.name}`, 30)
    }),
  )

  t.test('what Docker refuses changes nothing', async t => {
    await one.docker.createService({
      name: 'names',
      replicas: 0,
      more: { Labels: { 'mesh.publish': '9000:80' }, EndpointSpec: { Mode: 'dnsrr' } },
    })
    await swarm.published('names', '9000:80/tcp')
    await t.rejects(client(one).release('names'), { message: /can't be used with dnsrr mode/ })
    await swarm.published('names', '9000:80/tcp')
    await t.rejects(client(one).adopt('names', {}), { message: /its ports are the mesh’s already/ })
    await t.rejects(client(one).adopt('nobody', {}), { code: 'MESH_NOT_FOUND' })
  })
}
