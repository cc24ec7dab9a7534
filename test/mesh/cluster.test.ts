import t from 'tap'
import { families } from '../helpers/families.js'
import { meshCluster, nodeOf, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, type Topology } from '../helpers/topology.js'

for (const { name, family, isSix, stack, settings, ip } of families)
  t.test(`three nodes, ${name}`, async t => {
    const { client: clientAddress, loopback } = addresses[family]
    const cluster = await meshCluster(3, {}, () => {}, [1, 64, 65_535], settings)
    t.teardown(() => cluster.destroy())
    const { topologies, records: all, meshes } = cluster
    const first = topologies[0] as Topology
    const { client } = first
    const doors = topologies.map(topology => topology.addressIn(family))
    const [door, , lastDoor] = doors as [string, string, string]
    const [one, two, three] = meshes as readonly [MeshNode, MeshNode, MeshNode]

    const web = topologies[1]!.addContainer('web', { labels: { app: 'web' } })
    await topologies[1]!.serveTcp(web, 80, 'web')
    await topologies[1]!.serveUdp(web, 53, 'web')
    two.containers = [web]
    for (const mesh of meshes) mesh.services = [service('web', ['8888:80', '5353:53/udp'])]
    await two.pass()
    const remote = told(two, web)
    for (const mesh of [one, three]) {
      mesh.remote = [remote]
      await mesh.pass()
    }

    t.test('every node answers, and the endpoint sees the client itself', async t => {
      for (const address of doors)
        t.match(await first.ask(client, address, 8888), { name: 'web', address: clientAddress }, address)
    })

    t.test('clients through different nodes are served at the same time', async t => {
      const open = await Promise.all(doors.map(address => first.connect(client, address, 8888)))
      for (const [i, conversation] of open.entries()) {
        t.equal(conversation.answer.address, clientAddress)
        t.equal(await conversation.say(`through node${i + 1}`), `through node${i + 1}`)
        conversation.close()
      }
    })

    t.test('datagrams find their way back through the node they came in by', async t => {
      for (const [i, address] of doors.entries()) {
        const udp = await first.udpClient(client, 43_000 + i, family)
        t.match(await udp.ask(address, 5353), { name: 'web', address: clientAddress, port: 43_000 + i })
      }
    })

    t.test('a client may ask from one port through one node and then another', async t => {
      const udp = await first.udpClient(client, 43_010, family)
      for (const address of [door, lastDoor, door])
        t.match(await udp.ask(address, 5353), { name: 'web', address: clientAddress })
    })

    t.test('the node itself and its containers reach endpoints of other nodes', async t => {
      t.equal((await topologies[0]!.ask(one.topology.host, loopback, 8888)).name, 'web')
      t.equal((await topologies[0]!.ask(one.topology.host, door, 8888)).address, door)
      const caller = topologies[0]!.addContainer('caller')
      const answer = await topologies[0]!.ask(topologies[0]!.pathOf(caller), door, 8888)
      t.equal(answer.address, stack.address('10.254.0.1'), 'other nodes have the network 172.17.0.0/16 too')
    })

    t.test('more than a packet can hold goes through the tunnel', async t => {
      const conversation = await first.connect(client, door, 8888)
      const line = 'x'.repeat(1_000_000)
      t.equal((await conversation.say(line, 20)).length > 0, true)
      conversation.close()
    })

    t.test('who is no node cannot send into the tunnel', async t => {
      const [save, nodes] = isSix ? ['ip6tables-save', 'mesh-nodes6'] : ['iptables-save', 'mesh-nodes']
      const rules = first.run(one.topology.host, save, '-t', 'filter').split('\n')
      const tunnel = '-A MESH-INPUT -p udp -m udp --dport 8473'
      t.ok(rules.includes(`${tunnel} -m set --match-set ${nodes} src -j ACCEPT`))
      t.ok(rules.includes(`${tunnel} -j DROP`))
    })

    t.test('a remote endpoint that leaves keeps its connections for the drain time', async t => {
      const open = await first.connect(client, door, 8888)
      one.remote = [{ ...remote, state: 'leaving' }]
      await one.pass('fast')
      t.equal(await first.refusal(client, door, 8888), 'ECONNREFUSED')
      t.equal(await open.say('still'), 'still')
      open.close()
      one.remote = [remote]
      await one.pass('fast')
      t.equal((await first.ask(client, door, 8888)).name, 'web')
    })

    t.test('a node that is removed leaves nothing behind on the others', async t => {
      one.remote = []
      one.node = nodeOf(all[0]!, [all[0]!, all[2]!])
      await one.pass('fast')
      t.strictSame(MeshNode.text(await one.pass()), [])
      const gone = stack.address('10.254.1.1')
      t.notOk(one.run('mesh', `${ip} route show table all`).includes(gone.slice(0, -1)))
      t.notOk(first.run(one.settings.sandboxPath, 'bridge', 'fdb').includes(`dst ${doors[1]} `))
    })

    t.test('a pass that finds nothing to change changes nothing', async t => {
      for (const mesh of meshes) t.strictSame(MeshNode.text(await mesh.pass()), [])
    })
  })
