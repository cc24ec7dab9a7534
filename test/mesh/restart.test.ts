import assert from 'node:assert/strict'
import t from 'tap'
import { attachmentLink, fwmarkOf } from '../../src/kernel/ownership.js'
import { families } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { addresses, type Conversation, Topology, waitFor } from '../helpers/topology.js'
import { webNode } from '../helpers/web-node.js'

/** A mesh of both families, each of which is asked. */
const [, both] = families

t.test('an agent that starts anew', async t => {
  const topology = new Topology(null, true)
  const mesh = await MeshNode.create(topology, undefined, both!.settings)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client } = topology
  const [door, door6] = families.map(({ family }) => topology.addressIn(family)) as [string, string]
  const doors = [door, door6]
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
  /** The destinations of port 8888, address of IPv4 → weight; the same in both families. */
  const weights = () => {
    const [four, six] = families.map(({ isSix, stack }) => {
      const lines = mesh
        .run('mesh', `ipvsadm -Ln -f ${fwmarkOf('tcp', 8888)}${isSix ? ' -6' : ''}`)
        .matchAll(/-> \[?([^\s\]]+)\]?:80 +\w+ +(\d+)/g)
      return Object.fromEntries(
        [...lines].map(([, address = '', weight]) => [stack.ipv4(address), Number(weight)]),
      )
    })
    assert.deepEqual(six, four, 'in both families')
    return four!
  }
  /** Who answers a new connection to 8888, of several; in both families. */
  const answering = async () => {
    const [four, six] = await Promise.all(
      doors.map(async door => {
        const names = new Set<string>()
        for (let i = 0; i < 4; i++) names.add((await topology.ask(client, door, 8888)).name)
        return [...names].sort()
      }),
    )
    assert.deepEqual(six, four, 'in both families')
    return four!
  }
  /** Connections to the one container that has the first of them, one in each family. */
  const keep = async (port: number): Promise<Conversation[]> => {
    const first = await topology.connect(client, door, port)
    for (;;) {
      const other = await topology.connect(client, door6, port)
      if (other.answer.name === first.answer.name) return [first, other]
      other.close()
    }
  }
  /** Has each say something. */
  const say = async (kept: readonly Conversation[]) => {
    for (const each of kept) assert.equal(await each.say('kept'), 'kept')
  }

  await t.test('changes nothing in an unchanged world, and no flow notices', async t => {
    const kept = await keep(8888)
    const udp = await Promise.all(
      families.map(({ family }, i) => topology.udpClient(client, 40_000 + i, family)),
    )
    const before = await Promise.all(udp.map((each, i) => each.ask(doors[i]!, 5353)))
    const own = [one, two].map(addressOf)
    mesh.restart()
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    t.strictSame([one, two].map(addressOf), own, 'addresses stay')
    await say(kept)
    t.strictSame(await Promise.all(udp.map((each, i) => each.ask(doors[i]!, 5353))), before)
    for (const each of kept) each.close()
  })

  await t.test('leaves a drain at weight 0 and ends it', async t => {
    const kept = await keep(8888)
    const leaving = kept[0]!.answer.name === 'one' ? one : two
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
    await say(kept)
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
    const kept = await keep(8888)
    const leaving = kept[0]!.answer.name === 'one' ? one : two
    mesh.containers = [one, two].map(each => (each === leaving ? { ...each, leaving: true } : each))
    await mesh.pass('fast')
    const stays = { [addressOf(leaving)]: 0, [addressOf(leaving === one ? two : one)]: 1 }
    for (const seconds of [10, 10, 9]) {
      mesh.now += seconds
      mesh.restart()
      await mesh.pass()
      t.strictSame(weights(), stays)
    }
    await say(kept)
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
    const kept = await keep(8081)
    mesh.services = [web]
    mesh.restart()
    await mesh.pass()
    for (const door of doors) t.equal(await topology.refusal(client, door, 8081), 'ECONNREFUSED')
    await say(kept)
    mesh.restart()
    await mesh.pass()
    await say(kept)
    mesh.now += 32
    await mesh.pass()
    for (const each of kept) await t.rejects(each.say('over', 1))
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    for (const ip of ['ip', 'ip -6'])
      t.notMatch(mesh.run(alone, `${ip} rule`), /109\d/, 'nothing is left in the container')
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
    for (const { family } of families)
      t.equal(
        (await topology.ask(client, topology.addressIn(family), 8888)).address,
        addresses[family].client,
      )
    t.strictSame(MeshNode.text(await mesh.pass()), [])
  })

  await t.test('forgets a container that was removed meanwhile', async t => {
    const link = attachmentLink(one.id)
    const udp = await Promise.all(
      families.map(({ family }, i) => topology.udpClient(client, 41_000 + i, family)),
    )
    for (const [i, door] of doors.entries())
      await waitFor('the flow to go to one', async () => {
        const answer = await udp[i]!.ask(door, 5353)
        if (answer?.name === 'one') return true
        mesh.run('mesh', `conntrack -D -p udp -f ${families[i]!.isSix ? 'ipv6' : 'ipv4'}`)
        return false
      })
    await topology.removeContainer(one)
    mesh.containers = [two]
    mesh.restart()
    await mesh.pass()
    t.strictSame(Object.keys(weights()), [addressOf(two)])
    t.strictSame(await answering(), ['two'])
    for (const [i, door] of doors.entries())
      t.equal((await udp[i]!.ask(door, 5353))?.name, 'two', 'a UDP flow moves')
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
    const before = await udp.ask(door, 5353)
    const dead = before?.name === 'one' ? one : two
    const left = dead === one ? two : one
    mesh.containers = [left]
    // All changes are made, but the flows they leave stale are not forgotten yet.
    await mesh.killedPass('fast', 1000)
    await mesh.pass()
    const started = Date.now()
    t.equal((await udp.ask(door, 5353))?.name, left.name)
    t.ok(Date.now() - started < 2000)
    mesh.containers = [one, two]
    await mesh.pass()
  })

  await t.test('opens a UDP port to a sender that was there before, though killed in between', async t => {
    const udp = await topology.udpClient(client, 43_000)
    t.equal(await udp.ask(door, 5454, 0.3), null, 'nobody is there')
    mesh.services = [web, service('late', ['5454:53/udp'], { selector: { app: 'web' } })]
    await mesh.killedPass('fast', 1000)
    await mesh.pass()
    t.match(await udp.ask(door, 5454), { address: addresses.inet.client, port: 43_000 })
    mesh.services = [web]
    await mesh.pass()
  })
})

t.test('a container that is restarted between two looks of a running agent', async t => {
  const { topology, mesh, web } = await webNode(t, 'one')
  let one = web
  await mesh.pass()
  for (const round of ['first', 'second']) {
    one = await topology.restartContainer(one)
    await topology.serveTcp(one, 80, round)
    mesh.containers = [one]
    await mesh.pass('fast')
    t.equal(
      (await topology.ask(topology.client, topology.address, 8888)).name,
      round,
      'served after the fast pass',
    )
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'the full one has nothing to add')
  }
})
