/**
 * To whom connections to a VIP go, and whose: persistence, weights, scopes.
 */

import dgram from 'node:dgram'
import { closeSync } from 'node:fs'
import t from 'tap'
import { changeKey } from '../../src/kernel/change.js'
import { atPort, familyOf } from '../../src/kernel/objects.js'
import type { Container } from '../../src/model/container.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { parseWeight } from '../../src/model/weights.js'
import { openSocket } from '../../src/netlink/addon.js'
import { families, vipPool } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { runIn } from '../helpers/namespaces.js'
import { service } from '../helpers/services.js'
import { Topology, waitFor } from '../helpers/topology.js'

/** As the store has it. */
const vip = '10.253.0.5'

/** Of IPv4; one is enough to see that the other family has the same weights. */
const flows = { inet: 10_000, inet6: 1000 } as const

t.test('who gets the connections of a VIP', async t => {
  const [, both] = families
  const topology = new Topology(null, true)
  const mesh = await MeshNode.create(topology, undefined, { ...both!.settings, vipPool })
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client, host } = topology
  const doors = families.map(({ name, family, isSix, vips }) => ({
    name,
    family,
    isSix,
    door: topology.addressIn(family),
    own: vips.address(vip),
  }))
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
    for (const { name, family, isSix, own } of doors) {
      const chosen: string[] = []
      for (const caller of [team, member, stranger]) {
        const names = await answering(pathOf(caller), own, 80)
        t.equal(names.length, 1, name)
        t.strictSame(await answering(pathOf(caller), own, 443), names, 'the same at its other port')
        chosen.push(...names)
      }
      t.strictSame(chosen.sort(), ['one', 'three', 'two'], 'clients are spread all the same')
      const udp = new Set<string>()
      for (let i = 0; i < 3; i++) {
        const sender = await topology.udpClient(pathOf(team), (isSix ? 40_010 : 40_000) + i, family)
        udp.add((await sender.ask(own, 53))?.name ?? '')
      }
      t.equal(udp.size, 1)
      t.equal(await topology.refusal(pathOf(team), own, 22), 'ECONNREFUSED')
    }
  })

  t.test('and at a published port, translated or not', async t => {
    for (const { name, door } of doors)
      for (const port of [8888, 443]) {
        const names = [
          ...(await answering(client, door, port)),
          ...(await answering(host, door, port)),
          ...(await answering(pathOf(outsider), door, port)),
        ]
        t.strictSame(names.sort(), ['one', 'three', 'two'], `three clients, each with its own, ${name}`)
      }
    mesh.restart()
    t.strictSame(MeshNode.text(await mesh.pass()), [], 'a restarted agent finds it as it should be')
  })

  t.test('an endpoint that leaves gives its clients to another, and keeps their connections', async t => {
    for (const { name, own } of doors) {
      const kept = await topology.connect(pathOf(team), own, 80)
      const left = kept.answer.name
      mesh.containers = all.map(each => (each.name === left ? { ...each, leaving: true } : each))
      await mesh.pass('fast')
      const [next, ...rest] = await answering(pathOf(team), own, 443)
      t.not(next, left, name)
      t.strictSame(rest, [])
      t.strictSame(await answering(pathOf(team), own, 80), [next])
      t.equal(await kept.say('kept'), 'kept')
      kept.close()
      mesh.containers = all
      await mesh.pass('fast')
    }
  })

  t.test('a canary gets 5 % of 10,000 connections, one of three endpoints', async t => {
    const weights = [parseWeight('version=canary:5%')]
    const vipPorts = [parseVipPort('54:54/udp')]
    mesh.services = [service('web', [], { vip, vipPorts, weights, scheduler: 'wrr' })]
    await mesh.pass()
    // Nobody answers at that port: what counts is to whom IPVS gave each flow.
    for (const { family, own } of doors)
      for (let i = 0; i < flows[family]; i++) await sendFrom(pathOf(member), 10_000 + i, own, 54)
    const canary = mesh.reconciler.addressOf(endpoints[2]!.id)!
    const sum = (counts: Map<string, number>) => [...counts.values()].reduce((a, b) => a + b, 0)
    for (const { name, family, stack, vips } of families) {
      const own = atPort(vips.address(vip), 54)
      // The kernel sums its counters up every other second.
      const counts = await waitFor('all to be counted', () => {
        const stats = mesh
          .run('mesh', `ipvsadm -Ln --stats --exact -u ${own}`)
          .matchAll(/-> \[?([^\s\]]+)\]?:54 +(\d+)/g)
        const found = new Map([...stats].map(([, address = '', count]) => [address, Number(count)]))
        return sum(found) < flows[family] ? null : found
      })
      t.equal(sum(counts), flows[family])
      const share = counts.get(stack.address(canary))! / sum(counts)
      t.ok(share > 0.04 && share < 0.06, `${share * 100} %, ${name}`)
    }
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
    const taking = async () => {
      for (const { name, own, door } of doors) {
        t.strictSame((await answering(pathOf(member), own, 80)).sort(), ['one', 'two'], name)
        t.strictSame((await answering(client, door, 8888)).sort(), ['one', 'two'], name)
      }
    }
    await taking()
    mesh.now += 40
    mesh.restart()
    await mesh.pass()
    await mesh.pass()
    t.equal(mesh.reconciler.draining, 0)
    const canary = mesh.reconciler.addressOf(endpoints[2]!.id)!
    const saved = mesh.run('mesh', 'ipvsadm -Sn')
    for (const { stack, vips } of families) {
      const destination = `-r ${atPort(stack.address(canary), 80)} -m -w 0`
      t.ok(saved.includes(`-a -t ${atPort(vips.address(vip), 80)} ${destination}`))
    }
    await taking()
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
      for (const { own } of doors)
        t.equal(await topology.refusal(pathOf(outsider), own, 80), 'ECONNREFUSED', made.map(changeKey).join())
    }
  })

  t.test('a scoped VIP is refused to all who share no scope, at once', async t => {
    mesh.services = [service('web', ['8888:80'], { vip, scopes: ['team'] })]
    await mesh.pass()
    const open = { name: /one|two|three/ }
    for (const { name, family, door, own } of doors) {
      for (const caller of [team, member])
        t.match(await topology.ask(pathOf(caller), own, 80), open, `${caller.name}, ${name}`)
      const started = Date.now()
      t.match(await topology.ask(pathOf(endpoints[0]!), own, 80), open, 'its own endpoints share its scopes')
      for (const path of [pathOf(stranger), pathOf(outsider), host])
        t.equal(await topology.refusal(path, own, 80), 'ECONNREFUSED')
      t.ok(Date.now() - started < 4000, 'refused, not swallowed')
      const ping = ['busybox', family === 'inet' ? 'ping' : 'ping6', '-c', '1', '-W', '2', own]
      t.throws(() => runIn(pathOf(outsider), ping))
      t.match(await topology.ask(client, door, 8888), open, 'what is published is open')
    }

    mesh.containers = all.map(each =>
      each === outsider ? { ...each, labels: { 'mesh.scope': 'team' } } : each,
    )
    await mesh.pass('fast')
    for (const { own } of doors) t.match(await topology.ask(pathOf(outsider), own, 80), open)
    mesh.containers = all
    await mesh.pass('fast')
    for (const { own } of doors) t.equal(await topology.refusal(pathOf(outsider), own, 80), 'ECONNREFUSED')
    t.strictSame(MeshNode.text(await mesh.pass()), [])
    mesh.services = [service('web', ['8888:80'], { vip })]
    await mesh.pass('fast')
    for (const { own } of doors)
      t.match(await topology.ask(pathOf(outsider), own, 80), open, 'without scopes it is for all')
    for (const set of ['mesh-allowed', 'mesh-allowed6'])
      t.notMatch(mesh.run('mesh', `ipset list ${set}`), /10\.253|68:1:/)
  })
})

/** One datagram from a port of its own. */
async function sendFrom(path: string, localPort: number, address: string, port: number): Promise<void> {
  const four = familyOf(address) === 'inet'
  const fd = openSocket('udp', four ? '0.0.0.0' : '::', localPort, path)
  const socket = dgram.createSocket(four ? 'udp4' : 'udp6')
  socket.on('error', () => closeSync(fd))
  await new Promise<void>(resolve => socket.bind({ fd }, resolve))
  await new Promise<void>(resolve => socket.send('x', port, address, () => resolve()))
  socket.close()
}
