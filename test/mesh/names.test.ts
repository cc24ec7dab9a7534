import t from 'tap'
import { describe } from '../../src/status/describe.js'
import { foreignView, hostView } from '../helpers/host-view.js'
import { service } from '../helpers/services.js'
import { hostAddress } from '../helpers/topology.js'
import { webNode } from '../helpers/web-node.js'

t.test('what bears the mesh’s names but is none of its own is told of and left alone', async t => {
  const { topology, mesh, web: one } = await webNode(t, 'one')
  const failures = async () =>
    (await mesh.reconciler.pass('full')).outcomes.flatMap(({ change, error }) =>
      error ? [`${describe(change)}: ${error.message}`] : [],
    )

  await t.test('a link of another kind called mesh0 in the host', async t => {
    mesh.run('host', 'ip link add mesh0 type dummy')
    mesh.run('host', 'ip address add 10.9.9.9/24 dev mesh0')
    mesh.run('host', 'ip link set mesh0 up')
    const link = () => hostView(topology.host).links!.filter(line => line.startsWith('mesh0'))
    const addresses = () => hostView(topology.host).addresses!.filter(line => line.startsWith('mesh0'))
    const before = [link(), addresses()]
    t.match((await failures()).join('\n'), /a link mesh0 of kind dummy, none of the mesh's, is in its way/)
    t.strictSame([link(), addresses()], before)
    mesh.run('host', 'ip link del mesh0')
    t.strictSame(await failures(), [])
    t.equal(
      (await topology.ask(topology.client, hostAddress, 8888)).name,
      'one',
      'once it is gone all is made',
    )
  })

  await t.test('a link of another kind called mesh0 in a container', async t => {
    const two = topology.addContainer('two', { labels: { app: 'two' } })
    await topology.serveTcp(two, 80, 'two')
    mesh.run(two, 'ip link add mesh0 type bridge')
    const before = foreignView(topology.pathOf(two))
    mesh.containers = [one, two]
    mesh.services = [...mesh.services, service('two', ['9999:80'])]
    t.match((await failures()).join('\n'), /a link mesh0 of kind bridge, none of the mesh's, is in its way/)
    t.strictSame(foreignView(topology.pathOf(two)), before)
    t.equal((await topology.ask(topology.client, hostAddress, 8888)).name, 'one', 'the others are served')
    mesh.run(two, 'ip link del mesh0')
    t.strictSame(await failures(), [])
    t.equal((await topology.ask(topology.client, hostAddress, 9999)).name, 'two')
  })

  await t.test('a route to the pool in the host', async t => {
    mesh.run('host', 'ip route del 10.254.0.0/16')
    mesh.run('host', 'ip route add 10.254.0.0/16 dev docker0 proto static')
    t.match((await failures()).join('\n'), /another route to 10.254.0.0\/16 is there \(protocol 4/)
    t.match(mesh.run('host', 'ip route'), '10.254.0.0/16 dev docker0 proto static')
    mesh.run('host', 'ip route del 10.254.0.0/16')
    t.strictSame(await failures(), [])
  })
})
