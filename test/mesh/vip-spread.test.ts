/**
 * To whom connections to a VIP go, and whose: persistence, weights, scopes.
 */

import dgram from 'node:dgram'
import { closeSync } from 'node:fs'
import t from 'tap'
import { changeKey } from '../../src/kernel/change.js'
import type { Container } from '../../src/model/container.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { parseWeight } from '../../src/model/weights.js'
import { openSocket } from '../../src/netlink/addon.js'
import { MeshNode, service } from '../helpers/mesh-node.js'
import { runIn } from '../helpers/namespaces.js'
import { hostAddress, Topology, waitFor } from '../helpers/topology.js'

const vipPool = '10.253.0.0/16'
const vip = '10.253.0.5'

t.test('who gets the connections of a VIP', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology, undefined, { vipPool })
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client, host } = topology
  const web = (name: string, labels = {}) =>
    topology.addContainer(name, { labels: { app: 'web', ...labels } })
  const endpoints = [web('one'), web('two'), web('three', { version: 'canary' })]
  const team = topology.addContainer('team', { labels: { 'mesh.scope': 'other, team' } })
  const member = topology.addContainer('member', {
    labels: { 'mesh.scope': 'team', 'mesh.attach': 'true' },
    attach: 'none',
  })
  const stranger = topology.addContainer('stranger', { labels: { 'mesh.attach': 'true' } })
  const outsider = topology.addContainer('outsider')
  const all = [...endpoints, team, member, stranger, outsider]
  for (const container of endpoints)
    for (const port of [80, 443]) await topology.serveTcp(container, port, container.name)
  for (const container of endpoints) await topology.serveUdp(container, 53, container.name)
  const pathOf = (container: Container) => topology.pathOf(container)
  mesh.containers = all

  /** Who answers so many connections, each once. */
  const answering = async (path: string, address: string, port: number, times = 6) => {
    const names = new Set<string>()
    for (let i = 0; i < times; i++) names.add((await topology.ask(path, address, port)).name)
    return [...names]
  }

  t.test('with persistence a client has one endpoint at all ports of a VIP', async t => {
    const vipPorts = ['80', '443', '53/udp'].map(text => parseVipPort(text))
    mesh.services = [service('web', ['8888:80', '443:443'], { vip, vipPorts, persistence: 600 })]
    await mesh.pass()
    t.match(mesh.run('mesh', 'ipvsadm -Sn'), /-A -f 1090519045 -s rr -p 600/)
    const chosen: string[] = []
    for (const caller of [team, member, stranger]) {
      const names = await answering(pathOf(caller), vip, 80)
      t.equal(names.length, 1)
      t.strictSame(await answering(pathOf(caller), vip, 443), names, 'the same at its other port')
      chosen.push(...names)
    }
    t.strictSame(chosen.sort(), ['one', 'three', 'two'], 'clients are spread all the same')
    const udp = new Set<string>()
    for (let i = 0; i < 3; i++)
      udp.add((await (await topology.udpClient(pathOf(team), 40_000 + i)).ask(vip, 53))?.name ?? '')
    t.equal(udp.size, 1)
    t.equal(await topology.refusal(pathOf(team), vip, 22), 'ECONNREFUSED')
  })

  t.test('and at a published port, translated or not', async t => {
    for (const port of [8888, 443]) {
      const names = [
        ...(await answering(client, hostAddress, port)),
        ...(await answering(host, hostAddress, port)),
        ...(await answering(pathOf(outsider), hostAddress, port)),
      ]
      t.strictSame(names.sort(), ['one', 'three', 'two'], 'three clients, each with its own')
    }
    mesh.restart()
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'a restarted agent finds it as it should be')
  })

  t.test('an endpoint that leaves gives its clients to another, and keeps their connections', async t => {
    const kept = await topology.connect(pathOf(team), vip, 80)
    const left = kept.answer.name
    mesh.containers = all.map(each => (each.name === left ? { ...each, leaving: true } : each))
    await mesh.pass('fast')
    const [next, ...rest] = await answering(pathOf(team), vip, 443)
    t.not(next, left)
    t.strictSame(rest, [])
    t.strictSame(await answering(pathOf(team), vip, 80), [next])
    t.equal(await kept.say('kept'), 'kept')
    kept.close()
    mesh.containers = all
    await mesh.pass('fast')
  })

  t.test('a canary gets 5 % of 10,000 connections, one of three endpoints', async t => {
    const weights = [parseWeight('version=canary:5%')]
    const vipPorts = [parseVipPort('54:54/udp')]
    mesh.services = [service('web', [], { vip, vipPorts, weights, scheduler: 'wrr' })]
    await mesh.pass()
    // Nobody answers at that port: what counts is to whom IPVS gave each flow.
    for (let port = 10_000; port < 20_000; port++) await sendFrom(pathOf(member), port, vip, 54)
    const canary = mesh.reconciler.addressOf(endpoints[2]!.id)!
    const sum = (counts: Map<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0)
    // The kernel sums its counters up every other second.
    const counts = await waitFor('all to be counted', () => {
      const stats = mesh
        .run('mesh', `ipvsadm -Ln --stats --exact -u ${vip}:54`)
        .matchAll(/-> (\S+):54 +(\d+)/g)
      const found = new Map([...stats].map(([, address = '', count]) => [address, Number(count)]))
      return sum(found) < 10_000 ? null : found
    })
    t.equal(sum(counts), 10_000)
    const share = counts.get(canary)! / sum(counts)
    t.ok(share > 0.04 && share < 0.06, `${share * 100} %`)
  })

  t.test('a weight of 0 takes an endpoint out, and is no drain', async t => {
    mesh.services = [
      service('web', ['8888:80'], {
        vip,
        weights: [parseWeight('version=canary:0'), parseWeight('mesh.container=one:3')],
        scheduler: 'wrr',
      }),
    ]
    await mesh.pass()
    t.strictSame((await answering(pathOf(member), vip, 80)).sort(), ['one', 'two'])
    t.strictSame((await answering(client, hostAddress, 8888)).sort(), ['one', 'two'])
    mesh.now += 40
    mesh.restart()
    await mesh.pass()
    await mesh.pass()
    t.equal(mesh.reconciler.draining, 0)
    const canary = mesh.reconciler.addressOf(endpoints[2]!.id)
    t.match(mesh.run('mesh', `ipvsadm -Sn`), new RegExp(`-a -t ${vip}:80 -r ${canary}:80 -m -w 0`))
    t.strictSame((await answering(pathOf(member), vip, 80)).sort(), ['one', 'two'])
  })

  t.test('a new scoped service is open to strangers at no moment', async t => {
    const web = service('web', ['8888:80'])
    mesh.services = [web]
    await mesh.pass()
    mesh.now += 31
    await mesh.pass()
    const fields = { vip, vipPorts: [parseVipPort('80')], selector: { app: 'web' }, scopes: ['team'] }
    mesh.services = [web, service('closed', [], fields)]
    // An agent that is killed after every other change shows what there is in between.
    for (;;) {
      const made = await mesh.killedPass('full', 2)
      if (made.length === 0) break
      t.equal(await topology.refusal(pathOf(outsider), vip, 80), 'ECONNREFUSED', made.map(changeKey).join())
    }
  })

  t.test('a scoped VIP is refused to all who share no scope, at once', async t => {
    mesh.services = [service('web', ['8888:80'], { vip, scopes: ['team'] })]
    await mesh.pass()
    for (const caller of [team, member])
      t.match(await topology.ask(pathOf(caller), vip, 80), { name: /one|two|three/ }, caller.name)
    const started = Date.now()
    t.match(
      await topology.ask(pathOf(endpoints[0]!), vip, 80),
      { name: /one|two|three/ },
      'its own endpoints share its scopes',
    )
    for (const path of [pathOf(stranger), pathOf(outsider), host])
      t.equal(await topology.refusal(path, vip, 80), 'ECONNREFUSED')
    t.ok(Date.now() - started < 4000, 'refused, not swallowed')
    t.throws(() => runIn(pathOf(outsider), ['busybox', 'ping', '-c', '1', '-W', '2', vip]))
    t.match(
      await topology.ask(client, hostAddress, 8888),
      { name: /one|two|three/ },
      'what is published is open',
    )

    mesh.containers = all.map(each =>
      each === outsider ? { ...each, labels: { 'mesh.scope': 'team' } } : each,
    )
    await mesh.pass('fast')
    t.match(await topology.ask(pathOf(outsider), vip, 80), { name: /one|two|three/ })
    mesh.containers = all
    await mesh.pass('fast')
    t.equal(await topology.refusal(pathOf(outsider), vip, 80), 'ECONNREFUSED')
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    mesh.services = [service('web', ['8888:80'], { vip })]
    await mesh.pass('fast')
    t.match(
      await topology.ask(pathOf(outsider), vip, 80),
      { name: /one|two|three/ },
      'without scopes it is for all',
    )
    t.notMatch(mesh.run('mesh', 'ipset list mesh-allowed'), /10\.253/)
  })
})

/** One datagram from a port of its own. */
async function sendFrom(path: string, localPort: number, address: string, port: number): Promise<void> {
  const fd = openSocket('udp', '0.0.0.0', localPort, path)
  const socket = dgram.createSocket('udp4')
  socket.on('error', () => closeSync(fd))
  await new Promise<void>(resolve => socket.bind({ fd }, resolve))
  await new Promise<void>(resolve => socket.send('x', port, address, () => resolve()))
  socket.close()
}
