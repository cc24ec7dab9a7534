import t from 'tap'
import { familyOf } from '../../src/kernel/objects.js'
import type { Container } from '../../src/model/container.js'
import { families } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, Topology, waitFor } from '../helpers/topology.js'

for (const { name, family, isSix, stack, settings, ip } of families)
  t.test(`the datapath of one node, ${name}`, async t => {
    const { client: clientAddress, host: hostAddress, loopback, bridge } = addresses[family]
    const topology = new Topology(null, isSix)
    const mesh = await MeshNode.create(topology, undefined, settings)
    /** Address of a container on Docker's network, its sandbox's, or its own on the mesh. */
    const dockerAddress = (container: Container) =>
      container.addresses.find(address => familyOf(address) === family)!
    const sandbox = stack.address('10.254.0.1')
    t.teardown(async () => {
      await mesh.clean()
      await topology.destroy()
    })
    const { client, host } = topology
    const one = topology.addContainer('one', { labels: { app: 'web' } })
    const two = topology.addContainer('two', { labels: { app: 'web' } })
    const alone = topology.addContainer('alone', { labels: { app: 'alone' }, attach: 'none' })
    for (const container of [one, two, alone]) {
      await topology.serveTcp(container, 80, container.name)
      await topology.serveUdp(container, 53, container.name)
    }
    mesh.containers = [one, two, alone]
    mesh.services = [
      service('web', ['8888:80', '9999:80', '5353:53/udp', '8100-8199:8100-8199']),
      service('alone', ['8081:80']),
    ]
    await mesh.pass()

    t.test('a client outside reaches every endpoint, and is seen as itself', async t => {
      const answers = [
        await topology.ask(client, hostAddress, 8888),
        await topology.ask(client, hostAddress, 8888),
      ]
      t.strictSame(answers.map(({ name }) => name).sort(), ['one', 'two'])
      for (const { address } of answers) t.equal(address, clientAddress)
    })

    t.test('the node reaches it by its own address and by loopback', async t => {
      t.equal((await topology.ask(host, hostAddress, 8888)).address, hostAddress)
      t.equal((await topology.ask(host, loopback, 8888)).address, stack.address('10.254.0.2'))
    })

    t.test('a container reaches it with its own address, and itself through the sandbox', async t => {
      const path = topology.pathOf(one)
      const answers = [
        await topology.ask(path, hostAddress, 8888),
        await topology.ask(path, hostAddress, 8888),
      ]
      t.equal(answers.find(({ name }) => name === 'two')?.address, dockerAddress(one))
      t.equal(answers.find(({ name }) => name === 'one')?.address, sandbox)
    })

    t.test('a container without any network is an endpoint like any other', async t => {
      t.strictSame((await topology.ask(client, hostAddress, 8081)).address, clientAddress)
    })

    t.test('UDP keeps the client address', async t => {
      const udp = await topology.udpClient(client, 40_000, family)
      t.match(await udp.ask(hostAddress, 5353), { address: clientAddress, port: 40_000 })
    })

    t.test('a range keeps each port', async t => {
      await topology.serveTcp(one, 8142, 'range')
      await topology.serveTcp(two, 8142, 'range')
      t.equal((await topology.ask(client, hostAddress, 8142)).name, 'range')
      t.equal(await topology.refusal(client, hostAddress, 8143), 'ECONNREFUSED', 'no process on that port')
    })

    t.test('equal source ports to two published ports of one endpoint both work', async t => {
      mesh.containers = [one, alone]
      await mesh.pass('fast')
      await mesh.pass()
      const first = await topology.connect(client, hostAddress, 8888, 5555)
      const second = await topology.connect(client, hostAddress, 9999, 5555)
      t.equal(first.answer.name, 'one')
      t.equal(first.answer.port, 5555)
      t.equal(second.answer.name, 'one')
      t.equal(second.answer.address, clientAddress, 'only the port may differ')
      t.not(second.answer.port, 5555)
      t.equal(await first.say('a'), 'a')
      t.equal(await second.say('b'), 'b')
      first.close()
      second.close()
      mesh.containers = [one, two, alone]
      await mesh.pass('fast')
    })

    t.test(
      'a port without a ready endpoint refuses at once, and answers as soon as there is one',
      async t => {
        mesh.containers = [{ ...one, health: 'starting' }, alone]
        await mesh.pass('fast')
        const started = Date.now()
        t.equal(await topology.refusal(client, hostAddress, 8888), 'ECONNREFUSED')
        t.equal(await topology.refusal(host, loopback, 8888), 'ECONNREFUSED')
        t.ok(Date.now() - started < 1000, 'refused, not swallowed')
        mesh.containers = [{ ...one, health: 'healthy' }, alone]
        await mesh.pass('fast')
        t.equal((await topology.ask(client, hostAddress, 8888)).name, 'one')
        mesh.containers = [one, two, alone]
        await mesh.pass('fast')
      },
    )

    t.test('a port that is not published is none of the mesh', async t => {
      t.equal(await topology.refusal(client, hostAddress, 8889), 'ECONNREFUSED')
    })

    t.test('containers cannot reach each other through the sandbox', async t => {
      mesh.run(alone, `${ip} route add default via ${stack.gateway(sandbox)} dev mesh0 onlink`)
      const target = stack.address(mesh.reconciler.addressOf(one.id)!)
      t.equal(await topology.refusal(topology.pathOf(alone), target, 80), 'ECONNREFUSED')
      mesh.run(alone, `${ip} route del default`)
    })

    t.test('a process of the node is an endpoint, and reaches itself', async t => {
      await topology.serveTcp(host, 7000, 'process')
      mesh.services = [
        ...mesh.services,
        service('process', ['8082:80'], { endpoints: [{ address: '127.0.0.1', port: 7000 }] }),
      ]
      await mesh.pass('fast')
      t.strictSame((await topology.ask(client, hostAddress, 8082)).address, clientAddress)
      t.equal((await topology.ask(host, hostAddress, 8082)).name, 'process')
      t.equal((await topology.ask(host, loopback, 8082)).name, 'process')
      t.equal((await topology.ask(topology.pathOf(one), hostAddress, 8082)).address, dockerAddress(one))
    })

    t.test('an external address is an endpoint', async t => {
      await topology.serveTcp(client, 6000, 'external')
      mesh.services = [
        ...mesh.services,
        service('external', ['8083:80'], { endpoints: [{ address: clientAddress, port: 6000 }] }),
      ]
      await mesh.pass('fast')
      t.strictSame(
        await topology.ask(host, loopback, 8083).then(({ name, address }) => ({ name, address })),
        {
          name: 'external',
          address: hostAddress,
        },
      )
      t.equal((await topology.ask(topology.pathOf(one), hostAddress, 8083)).name, 'external')
    })

    t.test('a port bound to an address answers there and nowhere else', async t => {
      const bound = isSix ? `[${hostAddress}]` : hostAddress
      mesh.services = [
        ...mesh.services,
        service(
          'web2',
          ['8084:80', '5354:53/udp'].map(port => `${bound}:${port}`),
          {
            selector: { app: 'web' },
          },
        ),
      ]
      await mesh.pass('fast')
      t.type((await topology.ask(client, hostAddress, 8084)).name, 'string')
      t.equal(await topology.refusal(host, loopback, 8084), 'ECONNREFUSED')
      t.equal(await topology.refusal(topology.pathOf(one), bridge, 8084), 'ECONNREFUSED')
      t.ok(await (await topology.udpClient(client, 0, family)).ask(hostAddress, 5354))
      t.equal(await (await topology.udpClient(topology.pathOf(one), 0, family)).ask(bridge, 5354, 0.5), null)
    })

    t.test('a pass that finds nothing to change changes nothing', async t => {
      await mesh.pass()
      t.strictSame(MeshNode.text(await mesh.pass()), [])
    })

    t.test('a UDP flow moves to another endpoint when its own dies', async t => {
      const udp = await topology.udpClient(client, 41_000, family)
      const before = await udp.ask(hostAddress, 5353)
      const dead = before?.name === 'one' ? one : two
      mesh.containers = mesh.containers.filter(container => container !== dead)
      await mesh.pass('fast')
      const started = Date.now()
      const after = await udp.ask(hostAddress, 5353)
      t.not(after?.name, before?.name)
      t.ok(Date.now() - started < 2000)
      mesh.containers = [one, two, alone]
      await mesh.pass('fast')
    })

    t.test('a UDP flow that found no endpoint is served once there is one', async t => {
      const udp = await topology.udpClient(client, 42_000, family)
      mesh.containers = [alone]
      await mesh.pass('fast')
      t.equal(await udp.ask(hostAddress, 5353, 0.5), null)
      mesh.containers = [one, two, alone]
      await mesh.pass('fast')
      t.match(await udp.ask(hostAddress, 5353), { address: clientAddress, port: 42_000 })
    })

    t.test('unpublishing closes the port and keeps open connections for the drain time', async t => {
      const open = await topology.connect(client, hostAddress, 8081)
      mesh.services = mesh.services.filter(({ name }) => name !== 'alone')
      await mesh.pass('fast')
      t.equal(await topology.refusal(client, hostAddress, 8081), 'ECONNREFUSED')
      t.equal(await open.say('still here'), 'still here')
      await mesh.pass()
      t.equal(await open.say('and still'), 'and still')
      mesh.now += 31
      await mesh.pass()
      await t.rejects(open.say('over', 2), 'the drain time is over')
      t.strictSame(MeshNode.text(await mesh.pass()), [], 'nothing of it is left')
      t.notMatch(mesh.run(alone, 'ip rule') + mesh.run(alone, 'ip -6 rule'), /1090/)
    })

    t.test('a drain ends when the last connection has', async t => {
      mesh.services = [...mesh.services, service('alone', ['8081:80'])]
      await mesh.pass()
      const open = await topology.connect(client, hostAddress, 8081)
      mesh.containers = [one, two, { ...alone, leaving: true }]
      await mesh.pass('fast')
      t.equal(await topology.refusal(client, hostAddress, 8081), 'ECONNREFUSED', 'no new connections')
      t.equal(await open.say('kept'), 'kept')
      mesh.now += 2
      await mesh.pass()
      t.equal(mesh.reconciler.draining, 1)
      open.close()
      await waitFor('the end of the drain', async () => {
        mesh.now += 1
        await mesh.pass()
        return mesh.reconciler.draining === 0
      })
    })
  })
