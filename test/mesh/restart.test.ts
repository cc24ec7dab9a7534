import t from 'tap'
import { attachmentLink, fwmarkOf } from '../../src/kernel/ownership.js'
import { MeshNode, service } from '../helpers/mesh-node.js'
import { clientAddress, hostAddress, Topology, waitFor } from '../helpers/topology.js'

t.test('an agent that starts anew', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client } = topology
  let one = topology.addContainer('one', { labels: { app: 'web' } })
  let two = topology.addContainer('two', { labels: { app: 'web' } })
  const serve = async (container: typeof one) => {
    await topology.serveTcp(container, 80, container.name)
    await topology.serveUdp(container, 53, container.name)
  }
  await serve(one)
  await serve(two)
  const web = service('web', ['8888:80', '9999:80', '5353:53/udp', '8100-8103:8100-8103'])
  mesh.containers = [one, two]
  mesh.services = [web]
  await mesh.pass()
  const addressOf = (container: typeof one) => mesh.reconciler.addressOf(container.id)!
  /** The destinations of port 8888, address → weight. */
  const weights = () => {
    const lines = mesh
      .run('mesh', `ipvsadm -Ln -f ${fwmarkOf('tcp', 8888)}`)
      .matchAll(/-> (\S+):80 +\w+ +(\d+)/g)
    return Object.fromEntries([...lines].map(([, address, weight]) => [address, Number(weight)]))
  }
  /** Who answers a new connection to 8888, of several. */
  const answering = async () => {
    const names = new Set<string>()
    for (let i = 0; i < 4; i++) names.add((await topology.ask(client, hostAddress, 8888)).name)
    return [...names].sort()
  }

  await t.test('changes nothing in an unchanged world, and no flow notices', async t => {
    const kept = await topology.connect(client, hostAddress, 8888)
    const udp = await topology.udpClient(client, 40_000)
    const before = await udp.ask(hostAddress, 5353)
    const addresses = [one, two].map(addressOf)
    mesh.restart()
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    t.strictSame([one, two].map(addressOf), addresses, 'addresses stay')
    t.equal(await kept.say('a'), 'a')
    t.strictSame(await udp.ask(hostAddress, 5353), before)
    kept.close()
  })

  await t.test('leaves a drain at weight 0 and ends it', async t => {
    const kept = await topology.connect(client, hostAddress, 8888)
    const leaving = kept.answer.name === 'one' ? one : two
    const address = addressOf(leaving)
    mesh.containers = [one, two].map(each => (each === leaving ? { ...each, leaving: true } : each))
    await mesh.pass('fast')
    t.equal(weights()[address], 0)
    // Docker does not tell a new agent that the container was sent its stop signal.
    mesh.containers = [one, two]
    mesh.now += 2
    mesh.restart()
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'the drain goes on as it is')
    t.equal(weights()[address], 0)
    t.equal(await kept.say('kept'), 'kept')
    const rest = leaving === one ? 'two' : 'one'
    t.strictSame(await answering(), [rest], 'no new connections')
    mesh.now += 5
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'nor does a later pass end it')
    mesh.containers = mesh.containers.filter(({ id }) => id !== leaving.id)
    await topology.removeContainer(leaving)
    await mesh.pass('fast')
    t.notOk(address in weights(), 'it ends with the container')
    const again = topology.addContainer(leaving.name, { labels: { app: 'web' } })
    await serve(again)
    if (leaving === one) one = again
    else two = again
    mesh.containers = [one, two]
    await mesh.pass()
    t.strictSame(await answering(), ['one', 'two'])
  })

  await t.test('goes on to drain a container that still leaves, for the rest of its time', async t => {
    const kept = await topology.connect(client, hostAddress, 8888)
    const leaving = kept.answer.name === 'one' ? one : two
    mesh.containers = [one, two].map(each => (each === leaving ? { ...each, leaving: true } : each))
    await mesh.pass('fast')
    const stays = { [addressOf(leaving)]: 0, [addressOf(leaving === one ? two : one)]: 1 }
    for (const seconds of [10, 10, 9]) {
      mesh.now += seconds
      mesh.restart()
      await mesh.pass()
      t.strictSame(weights(), stays)
    }
    t.equal(await kept.say('kept'), 'kept')
    mesh.now += 2
    mesh.restart()
    await mesh.pass()
    t.notOk(addressOf(leaving) in weights(), '30 s after it began, not after the last start')
    mesh.containers = [one, two]
    await mesh.pass()
    t.strictSame(await answering(), ['one', 'two'])
  })

  await t.test('gives a container that did not leave after all its share again', async t => {
    mesh.containers = [{ ...one, leaving: true }, two]
    await mesh.pass('fast')
    mesh.containers = [one, two]
    mesh.now += 1
    mesh.restart()
    await mesh.pass()
    t.equal(weights()[addressOf(one)], 0, 'it may be on its way out')
    mesh.now += 14
    const pass = await mesh.pass()
    t.equal(weights()[addressOf(one)], 1)
    t.strictSame(pass.repairs, [], 'that is no repair')
    t.strictSame(await answering(), ['one', 'two'])
  })

  await t.test('drains and removes a service that was unpublished meanwhile', async t => {
    const alone = topology.addContainer('alone', { labels: { app: 'alone' }, attach: 'none' })
    await serve(alone)
    mesh.containers = [one, two, alone]
    mesh.services = [web, service('alone', ['8081:80', '5081:53/udp'])]
    await mesh.pass()
    const kept = await topology.connect(client, hostAddress, 8081)
    mesh.services = [web]
    mesh.restart()
    await mesh.pass()
    t.equal(await topology.refusal(client, hostAddress, 8081), 'ECONNREFUSED')
    t.equal(await kept.say('kept'), 'kept')
    mesh.restart()
    await mesh.pass()
    t.equal(await kept.say('still'), 'still', 'after a second start, too')
    mesh.now += 32
    await mesh.pass()
    await t.rejects(kept.say('over', 1))
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    t.notMatch(mesh.run(alone, 'ip rule'), /109\d/, 'nothing is left in the container')
    t.notMatch(mesh.run(alone, 'ip link'), /mesh0/)
    t.notMatch(mesh.run('mesh', 'ip link'), attachmentLink(alone.id))
    t.notMatch(mesh.run('mesh', 'ipvsadm -Ln'), String(fwmarkOf('tcp', 8081)))
    mesh.containers = [one, two]
    await topology.removeContainer(alone)
  })

  await t.test('attaches a container again that was restarted meanwhile', async t => {
    one = await topology.restartContainer(one)
    await serve(one)
    mesh.containers = [one, two]
    mesh.restart()
    await mesh.pass()
    t.strictSame(await answering(), ['one', 'two'])
    t.equal((await topology.ask(client, hostAddress, 8888)).address, clientAddress)
    t.strictSame(MeshNode.text(await mesh.pass()), [])
  })

  await t.test('forgets a container that was removed meanwhile', async t => {
    const link = attachmentLink(one.id)
    const udp = await topology.udpClient(client, 41_000)
    await waitFor('the flow to go to one', async () => {
      const answer = await udp.ask(hostAddress, 5353)
      if (answer?.name === 'one') return true
      mesh.run('mesh', 'conntrack -D -p udp')
      return false
    })
    await topology.removeContainer(one)
    mesh.containers = [two]
    mesh.restart()
    await mesh.pass()
    t.strictSame(Object.keys(weights()), [addressOf(two)])
    t.strictSame(await answering(), ['two'])
    t.equal((await udp.ask(hostAddress, 5353))?.name, 'two', 'a UDP flow moves')
    t.notMatch(mesh.run('mesh', 'ip link'), link)
    t.notMatch(mesh.run('mesh', 'ipset list mesh-hairpin'), one.addresses[0]!)
    t.strictSame(MeshNode.text(await mesh.pass()), [])
  })

  await t.test('moves a UDP flow whose endpoint went just before the agent was killed', async t => {
    one = topology.addContainer('one', { labels: { app: 'web' } })
    await serve(one)
    mesh.containers = [one, two]
    await mesh.pass()
    const udp = await topology.udpClient(client, 42_000)
    const before = await udp.ask(hostAddress, 5353)
    const dead = before?.name === 'one' ? one : two
    const left = dead === one ? two : one
    mesh.containers = [left]
    // All changes are made, but the flows they leave stale are not forgotten yet.
    await mesh.killedPass('fast', 1000)
    await mesh.pass()
    const started = Date.now()
    t.equal((await udp.ask(hostAddress, 5353))?.name, left.name)
    t.ok(Date.now() - started < 2000)
    mesh.containers = [one, two]
    await mesh.pass()
  })

  await t.test('opens a UDP port to a sender that was there before, though killed in between', async t => {
    const udp = await topology.udpClient(client, 43_000)
    t.equal(await udp.ask(hostAddress, 5454, 0.3), null, 'nobody is there')
    mesh.services = [web, service('late', ['5454:53/udp'], { selector: { app: 'web' } })]
    await mesh.killedPass('fast', 1000)
    await mesh.pass()
    t.match(await udp.ask(hostAddress, 5454), { address: clientAddress, port: 43_000 })
    mesh.services = [web]
    await mesh.pass()
  })
})

t.test('a container that is restarted between two looks of a running agent', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  let one = topology.addContainer('one', { labels: { app: 'web' } })
  await topology.serveTcp(one, 80, 'one')
  mesh.containers = [one]
  mesh.services = [service('web', ['8888:80'])]
  await mesh.pass()
  for (const round of ['first', 'second']) {
    one = await topology.restartContainer(one)
    await topology.serveTcp(one, 80, round)
    mesh.containers = [one]
    await mesh.pass('fast')
    t.equal(
      (await topology.ask(topology.client, hostAddress, 8888)).name,
      round,
      'served after the fast pass',
    )
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'the full one has nothing to add')
  }
})
