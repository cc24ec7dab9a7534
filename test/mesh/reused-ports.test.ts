/**
 * Clients that open one short connection after the other come back to source ports whose last
 * connection the kernel has not forgotten yet. Such a first segment must neither be dropped,
 * which costs a second, nor follow the last one to an endpoint that has gone.
 */
import { readFileSync } from 'node:fs'
import net from 'node:net'
import t from 'tap'
import { openSocket, runInNamespace } from '../../src/netlink/addon.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { hostAddress, Topology } from '../helpers/topology.js'

/** First segments that were sent again, in a namespace. */
function sentAgain(path: string): number {
  const text = runInNamespace(path, () => readFileSync('/proc/thread-self/net/netstat', 'utf8'))
  const [names = [], values = []] = text
    .split('\n')
    .filter(line => line.startsWith('TcpExt:'))
    .map(line => line.split(' '))
  return Number(values[names.indexOf('TCPSynRetrans')])
}

t.test('source ports that are used again and again', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  const servers: net.Server[] = []
  t.teardown(async () => {
    for (const server of servers) server.close()
    await mesh.clean()
    await topology.destroy()
  })
  /** Ends each connection itself as soon as it has said its name: the client's port is free at once. */
  const serve = async (name: string) => {
    const container = topology.addContainer(name, { labels: { app: 'web' } })
    const server = net.createServer(socket => socket.on('error', () => {}).end(name))
    const fd = openSocket('tcp', '0.0.0.0', 80, topology.pathOf(container))
    await new Promise<void>(resolve => server.listen({ fd }, resolve))
    servers.push(server)
    return container
  }
  const ask = (port: number) =>
    new Promise<string>((resolve, reject) => {
      const socket = new net.Socket({ fd: openSocket('tcp', '0.0.0.0', port, topology.client) })
      let name = ''
      socket.setEncoding('utf8').on('data', text => {
        name += text
      })
      socket.on('error', reject).on('close', () => resolve(name))
      socket.connect({ port: 8888, host: hostAddress })
    })
  const [one, two] = [await serve('one'), await serve('two')]
  mesh.containers = [one, two]
  mesh.services = [service('web', ['8888:80'])]
  await mesh.pass()

  const ports = Array.from({ length: 200 }, (_, i) => 20_000 + i)
  const round = async () => {
    const names: string[] = []
    for (const port of ports) names.push(await ask(port))
    return names
  }

  await t.test('are served at once, ten times each', async t => {
    const before = sentAgain(topology.client)
    for (let i = 0; i < 10; i++) t.strictSame([...new Set(await round())].sort(), ['one', 'two'])
    // A machine that stands still for a second may send one again.
    t.ok(sentAgain(topology.client) - before < 10, `${sentAgain(topology.client) - before} sent again`)
  })

  await t.test('lead to who is left when an endpoint goes', async t => {
    mesh.containers = [two]
    await mesh.pass('fast')
    const before = sentAgain(topology.client)
    t.strictSame([...new Set(await round())], ['two'])
    t.ok(sentAgain(topology.client) - before < 10, `${sentAgain(topology.client) - before} sent again`)
  })
})
