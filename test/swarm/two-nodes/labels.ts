/**
 * Two managers of a swarm as one mesh over etcd: what labels of Swarm's services declare
 * is published, changed and taken away, whichever agent lives; wrong ones hurt nothing.
 */
import type { Test } from 'tap'
import { ask } from '../../helpers/clients.js'
import type { Node } from '../../helpers/lab.js'
import type { SwarmMesh } from '../../helpers/swarm-mesh.js'
import { waitFor } from '../../helpers/wait.js'

const since = (start: number) => `${((performance.now() - start) / 1000).toFixed(2)} s`

export async function labels(t: Test, swarm: SwarmMesh): Promise<void> {
  const { nodes } = swarm
  const [one, two] = nodes as [Node, Node]
  const client = (node: Node) => swarm.of(node).client

  t.teardown(() => swarm.removeServices('web', 'api'))
  await one.docker.createService({ name: 'web', replicas: 2 })
  await one.docker.createService({ name: 'api', replicas: 1 })
  await one.tasks('web', 2)
  await one.tasks('api', 1)

  t.test('a label publishes on every node, changes, and takes away', async t => {
    const begun = performance.now()
    await swarm.label('web', { 'mesh.publish': '8888:80/tcp', 'mesh.drain': '20s' })
    await swarm.settled(8888, 2, 20)
    t.comment(`published on both nodes after ${since(begun)}`)
    for (const node of nodes) {
      const localAddress = swarm.clientOf(node)
      t.equal((await ask(`http://${node.address}:8888/`, { localAddress })).client, localAddress)
    }
    t.match(await client(two).inspect('web'), { origin: 'swarm', drain: 20, problems: [] })
    await swarm.label('web', { 'mesh.publish': '8888:80,8889:80' })
    await swarm.published('web', '8888:80/tcp', '8889:80/tcp')
    await swarm.label('api', { 'mesh.publish': ':80' })
    await swarm.published('api', '30000:80/tcp')
    await swarm.label('api', { 'mesh.publish': '80,9000:80' })
    await swarm.published('api', '30000:80/tcp', '9000:80/tcp')
    await swarm.label('web', { 'mesh.publish': '8888:80' })
    await swarm.published('web', '8888:80/tcp')
    const { vip } = await client(one).inspect('api')
    t.match(vip, /^10\.253\.\d+\.\d+$/)
    await swarm.label('api', { 'mesh.publish': null, 'mesh.port': '8080:80', 'mesh.scope': 'team-a' })
    await swarm.published('api')
    for (const node of nodes)
      t.match(await client(node).inspect('api'), {
        vip,
        vipPorts: [{ spec: '8080:80/tcp' }],
        scopes: ['team-a'],
      })
    const gone = performance.now()
    await swarm.label('api', { 'mesh.port': null, 'mesh.scope': null })
    for (const node of nodes)
      await waitFor(async () => (await client(node).list()).length === 1, `one service on ${node.name}`, 30)
    t.comment(`unpublished on both nodes after ${since(gone)}`)
    t.same(
      (await client(one).list()).map(({ name }) => name),
      ['web'],
    )
    t.equal(swarm.writers().length, 1, 'exactly one agent writes')
  })

  t.test('a wrong label is told of on every node and changes nothing', async t => {
    await swarm.label('web', { 'mesh.publish': '8888:80,99999:80', 'mesh.shceduler': 'lc' })
    await swarm.label('api', { 'mesh.publish': '8888:80' })
    for (const node of nodes) {
      const reasons = async (name: string) => (await client(node).inspect(name)).problems.join('\n')
      const web =
        /mesh\.shceduler: .* did you mean mesh\.scheduler\?\n.*mesh\.publish: "99999:80": 99999 is outside/
      await waitFor(async () => web.test(await reasons('web')), `the reasons on ${node.name}`, 30)
      const api = 'service web publishes it'
      await waitFor(async () => (await reasons('api')).includes(api), `the conflict on ${node.name}`, 30)
      const { healthy, notes } = await client(node).status()
      t.ok(healthy, 'no trouble of the node')
      t.match(notes.join('\n'), /service api: publish 8888\/tcp.*\nservice web: label mesh\.shceduler/)
    }
    t.match((await one.meshctl('inspect', 'web')).stdout, /^problem +label mesh\.publish: "99999:80"/m)
    await swarm.published('web', '8888:80/tcp')
    await ask(`http://${one.address}:8888/`)
    await swarm.label('web', { 'mesh.publish': '8888:80', 'mesh.shceduler': null })
    await swarm.label('api', { 'mesh.publish': '8890:80' })
    await swarm.published('api', '8890:80/tcp')
    t.same((await client(one).inspect('api')).problems, [])
  })

  t.test('meshctl and labels do not change what the other has published', async t => {
    const { status, stderr } = await two.meshctl('unpublish', '8888', 'web')
    t.equal(status, 2)
    t.match(stderr, 'docker service update --label-rm mesh.publish web')
    await t.rejects(client(one).publish({ service: 'web', ports: ['8891:80'] }, 10), {
      message: /labels of the Swarm service declare it; .*--label-add mesh\.publish=8891:80\/tcp web/,
    })
    await swarm.label('api', { 'mesh.publish': null })
    await swarm.published('api')
    await client(two).publish({ service: 'api', ports: ['8892:80'] }, 30)
    await swarm.label('api', { 'mesh.publish': '8890:80' })
    const reason = 'meshctl unpublish 8892:80/tcp api'
    await waitFor(
      async () => (await client(one).inspect('api')).problems.join().includes(reason),
      'the reason',
      30,
    )
    await swarm.published('api', '8892:80/tcp')
    await client(two).unpublish('8892/tcp', 'api')
    await swarm.published('api', '8890:80/tcp')
    t.equal((await client(two).inspect('api')).origin, 'swarm')
  })

  t.test('when the agent that writes is killed, the other one takes over', async t => {
    const [former] = swarm.writers()
    const heir = former === one ? two : one
    await swarm.killAgent(former!)
    const begun = performance.now()
    await swarm.label('api', { 'mesh.publish': '8893:80' })
    await waitFor(
      async () => (await client(heir).inspect('api')).ports[0]?.spec === '8893:80/tcp',
      'the change',
      60,
    )
    t.comment(`the other agent wrote ${since(begun)} after the writer was killed`)
    await swarm.startAgent(former!)
    await swarm.published('api', '8893:80/tcp')
    t.same(swarm.writers(), [heir], 'it stays so when the former one is back')
  })

  t.test('a service that is removed takes its ports along', async t => {
    await one.docker.removeService('api')
    await swarm.published('api')
    t.same(
      (await client(two).list()).map(({ name }) => name),
      ['web'],
    )
  })
}
