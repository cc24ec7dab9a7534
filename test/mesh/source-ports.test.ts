/**
 * One client address and source port, open through several nodes at the same time: to a
 * service with one endpoint these are several connections of one and the same client.
 */
import t, { type Test } from 'tap'
import { families } from '../helpers/families.js'
import { meshCluster, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, type Conversation } from '../helpers/topology.js'

t.test('one source port through three nodes', async t => {
  const [, both] = families
  const cluster = await meshCluster(3, {}, () => {}, [1, 64, 4095], both!.settings)
  t.teardown(() => cluster.destroy())
  const { topologies, meshes } = cluster
  const [first, second] = topologies
  const [, two] = meshes
  const { client } = first

  const web = second.addContainer('web', { labels: { app: 'web' } })
  await second.serveTcp(web, 80, 'web')
  await second.serveTcp(web, 8005, 'web')
  await second.serveUdp(web, 53, 'web')
  two.containers = [web]
  const ports = ['8888:80', '9999:80', '5353:53/udp', '9005:8005', '8000-8010:8000-8010']
  for (const mesh of meshes) mesh.services = [service('web', ports)]
  await two.pass()
  for (const mesh of meshes) {
    if (mesh === two) continue
    mesh.remote = [told(two, web)]
    await mesh.pass()
  }

  for (const { name, family, isSix } of families) {
    const clientAddress = addresses[family].client
    const doors = topologies.map(topology => topology.addressIn(family))

    /** Opens connections from one port in this order; all are served, as those of the client, and go on. */
    const openAll = async (t: Test, localPort: number, order: readonly (readonly [number, number])[]) => {
      const open: Conversation[] = []
      for (const [door, port] of order) {
        const conversation = await first.connect(client, doors[door]!, port, localPort)
        t.equal(conversation.answer.address, clientAddress, `node${door + 1}, port ${port}`)
        open.push(conversation)
      }
      t.equal(new Set(open.map(({ answer }) => answer.port)).size, order.length, 'only the port differs')
      t.equal(open[0]!.answer.port, localPort, 'and the first has its own')
      for (const round of ['one', 'two'])
        for (const [i, conversation] of open.entries()) {
          const line = `${round} of ${i}`
          t.equal(await conversation.say(line), line)
        }
      // What is left goes on when others end.
      while (open.length > 0) {
        open.shift()!.close()
        for (const [i, conversation] of open.entries())
          t.equal(await conversation.say(`left ${i}`), `left ${i}`)
      }
    }

    t.test(`first by the node of the endpoint, ${name}`, async t => {
      await openAll(t, 41_001, [
        [1, 8888],
        [0, 8888],
        [2, 8888],
        [0, 9999],
        [1, 9999],
        [2, 9999],
      ])
    })

    t.test(`last by the node of the endpoint, ${name}`, async t => {
      await openAll(t, 41_002, [
        [2, 9999],
        [0, 8888],
        [2, 8888],
        [0, 9999],
        [1, 8888],
        [1, 9999],
      ])
    })

    t.test(`a port of a range, and another one that leads to it, ${name}`, async t => {
      await openAll(t, 41_003, [
        [0, 9005],
        [0, 8005],
        [1, 9005],
        [2, 8005],
        [1, 8005],
      ])
    })

    t.test(`datagrams, ${name}`, async t => {
      const udp = await first.udpClient(client, isSix ? 42_002 : 42_001, family)
      for (const door of [0, 1, 2, 1, 0, 2])
        t.match(await udp.ask(doors[door]!, 5353), { name: 'web', address: clientAddress }, `node${door + 1}`)
    })
  }

  t.test('nothing is left to repair', async t => {
    for (const mesh of meshes) t.strictSame(MeshNode.text(await mesh.pass()), [])
  })
})
