/**
 * Who is outside may write any source into a packet, and scopes go by sources: addresses of the
 * mesh are good only where they come from the mesh.
 */
import dgram from 'node:dgram'
import t from 'tap'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { openSocket } from '../../src/netlink/addon.js'
import { families, vipPool } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { runIn } from '../helpers/namespaces.js'
import { service } from '../helpers/services.js'
import { addresses, Topology, waitFor } from '../helpers/topology.js'

for (const { name, family, isSix, stack, vips, settings, ip } of families)
  t.test(`sources of the mesh on packets from outside, ${name}`, async t => {
    const topology = new Topology(null, isSix)
    const mesh = await MeshNode.create(topology, undefined, { ...settings, vipPool })
    t.teardown(async () => {
      await mesh.clean()
      await topology.destroy()
    })
    const { client } = topology
    const door = addresses[family].host
    const vip = vips.address('10.253.0.5')
    const dns = topology.addContainer('dns', { labels: { app: 'dns' } })
    const friend = topology.addContainer('friend', { labels: { 'mesh.attach': 'true', 'mesh.scope': 'a' } })
    mesh.containers = [dns, friend]
    mesh.services = [
      service('dns', ['5353:53/udp'], {
        vip: '10.253.0.5',
        vipPorts: [parseVipPort('53/udp')],
        scopes: ['a'],
      }),
    ]
    await mesh.pass()

    const heard: string[] = []
    const any = addresses[family].any
    const openAt = async (path: string, address: string, port: number) => {
      const socket = dgram.createSocket(isSix ? 'udp6' : 'udp4').on('error', () => {})
      const fd = openSocket('udp', address, port, path)
      await new Promise<void>(resolve => socket.bind({ fd }, resolve))
      t.teardown(() => socket.close())
      return socket
    }
    const server = await openAt(topology.pathOf(dns), any, 53)
    server.on('message', message => heard.push(message.toString()))

    const sources = {
      'of an attached container': stack.address(mesh.reconciler.addressOf(friend.id)!),
      'that nobody has': stack.address('10.254.0.77'),
      'of the node': stack.address('10.254.0.2'),
      'of a VIP': vips.address('10.253.0.9'),
    }
    runIn(client, [...ip.split(' '), 'route', 'add', vips.subnet(vipPool), 'via', door])
    for (const address of Object.values(sources)) {
      const noTrial = isSix ? ['nodad'] : []
      runIn(client, ['ip', 'addr', 'add', `${address}${stack.whole}`, 'dev', 'wire', ...noTrial])
    }

    const honest = await openAt(client, any, 0)
    for (const [kind, source] of Object.entries(sources))
      for (const [where, address, port] of [
        ['a VIP', vip, 53],
        ['a published port', door, 5353],
      ] as const)
        t.test(`${kind}, to ${where}`, async t => {
          const socket = await openAt(client, source, 0)
          const text = `from ${source} to ${where}`
          socket.send(text, port, address)
          // What is sent after it arrives after it.
          await waitFor('a datagram with a true source', () => {
            honest.send(`after ${text}`, 5353, door)
            return heard.includes(`after ${text}`)
          })
          t.notOk(heard.includes(text))
        })

    t.test('the container itself is served as ever', async t => {
      const socket = await openAt(topology.pathOf(friend), any, 0)
      await waitFor('its datagram', () => {
        socket.send('friend', 53, vip)
        return heard.includes('friend')
      })
      t.ok(heard.includes('friend'))
    })
  })
