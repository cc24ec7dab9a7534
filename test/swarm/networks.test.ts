/**
 * Endpoints on every kind of network, and off any, asked from everywhere: whoever
 * answers must have seen the client's own address, over TCP and UDP.
 */
import { spawn } from 'node:child_process'
import t from 'tap'
import { createClient } from '../../src/cli/client.js'
import { type Answer, ask, askUdp } from '../helpers/clients.js'
import { askIn, askUdpIn, namespaceOf } from '../helpers/inside.js'
import { must, outside, rareLooks, startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1, { managers: 1 })
if (!node) throw new Error('no node')
const { docker } = node
const mesh = createClient(`/proc/${node.pid}/root/run/mesh/mesh.sock`)
const sandbox = '10.254.0.1'
const own = '10.254.0.2'

/** Bound to no address: it leaves the source of a datagram's answer to the kernel, as most servers do. */
const command = ['web', '80']
const network = (name: string, fields: object) =>
  docker.call('POST', '/networks/create', { Name: name, ...fields })
await network('users', {})
await network('closed', { Internal: true })
await network('across', { Driver: 'overlay', Attachable: true })

/** Service → the container that answers for it. */
const containers = new Map<string, string>()
for (const [name, where] of Object.entries({
  docker0: 'bridge',
  'user-bridge': 'users',
  internal: 'closed',
  none: 'none',
  overlay: 'across',
}))
  containers.set(name, await docker.runContainer({ name, network: where, command }))
const shared = containers.get('docker0')!
await docker.runContainer({ name: 'sidecar', network: `container:${shared}`, command: ['web', '81'] })
await docker.runContainer({ name: 'hostly', network: 'host', command: ['web', '8090'] })
const client = await docker.runContainer({ name: 'client' })
const agent = await node.startAgent(...rareLooks)
t.teardown(() => agent.kill('SIGTERM'))
const host = await namespaceOf(node)
const other = await namespaceOf(node, client)
const otherAddress = (await docker.inspect(client)).NetworkSettings.IPAddress

/** Answers over TCP and UDP, once there are any. */
async function both(tcp: () => Promise<Answer>, udp: () => Promise<Answer>): Promise<Answer[]> {
  return [await waitFor(tcp, 'an answer', 5), await waitFor(udp, 'an answer by UDP', 5)]
}
const clients = (answers: readonly Answer[]) => answers.map(({ client }) => client)

let next = 8100
for (const [name, id] of containers)
  t.test(`a container on the network ${name}`, async t => {
    const port = next++
    const { warnings } = await mesh.publish({ service: name, ports: [`${port}:80`, `${port}:80/udp`] }, 60)
    t.same(warnings, [])
    const fromOutside = await both(
      () => ask(`http://${node.address}:${port}/`),
      () => askUdp(node.address, port),
    )
    t.same(clients(fromOutside), [outside, outside], 'is seen by a client outside with its own address')
    for (const answer of fromOutside) t.equal(answer.container, id.slice(0, 12))
    for (const address of [node.address, '127.0.0.1']) {
      const answers = await both(
        () => askIn(host, address, port),
        () => askUdpIn(host, address, port),
      )
      t.same(
        clients(answers),
        address === '127.0.0.1' ? [own, own] : [address, address],
        `by the node at ${address}`,
      )
    }
    const fromOther = await both(
      () => askIn(other, node.address, port),
      () => askUdpIn(other, node.address, port),
    )
    // A datagram from a neighbour on its own bridge would be answered directly, from an address not asked.
    t.same(
      clients(fromOther),
      [otherAddress, name === 'docker0' ? sandbox : otherAddress],
      'by another container',
    )
    if (name === 'none' || name === 'internal') return // they have no way to the node's address
    const itself = await namespaceOf(node, id)
    const fromItself = await both(
      () => askIn(itself, node.address, port),
      () => askUdpIn(itself, node.address, port),
    )
    t.same(clients(fromItself), [sandbox, sandbox], 'and by itself')
  })

t.test('a container in the network of another one', async t => {
  await mesh.publish({ service: 'sidecar', ports: ['8200:81'] }, 60)
  const answer = await ask(`http://${node.address}:8200/`)
  t.match(answer, { container: shared.slice(0, 12), client: outside, port: 81 })
})

t.test('a container in the network of the node', async t => {
  await mesh.publish({ service: 'hostly', ports: ['8201:8090', '8201:8090/udp'] }, 60)
  t.match(await ask(`http://${node.address}:8201/`), { container: 'node1', client: outside, port: 8090 })
  t.match(await askUdp(node.address, 8201), { container: 'node1', port: 8090 })
  for (const address of [node.address, '127.0.0.1'])
    t.match(
      await askIn(host, address, 8201),
      { container: 'node1', port: 8090 },
      `from the node at ${address}`,
    )
  t.match(await askIn(other, node.address, 8201), { container: 'node1', client: otherAddress })
})

t.test('a process of the node', async t => {
  const process = node.start('.lab/web', '8091')
  t.teardown(() => process.kill('SIGKILL'))
  await mesh.publish({ service: 'process', ports: ['8202:80'], endpoints: ['127.0.0.1:8091'] }, 60)
  const answer = await waitFor(() => ask(`http://${node.address}:8202/`), 'an answer', 5)
  t.match(answer, { container: 'node1', client: outside, port: 8091 })
  t.match(await askIn(host, '127.0.0.1', 8202), { container: 'node1', port: 8091 })
  t.match(await askIn(other, node.address, 8202), { container: 'node1', client: otherAddress })
})

t.test('an address that is none of the mesh', async t => {
  const server = spawn('.lab/web', ['8092'])
  t.teardown(() => server.kill('SIGKILL'))
  await mesh.publish({ service: 'outer', ports: ['8203:80'], endpoints: [`${outside}:8092`] }, 60)
  const answer = await waitFor(() => askIn(host, node.address, 8203), 'an answer', 5)
  t.match(answer, { client: node.address, port: 8092 }, 'the node speaks for the client')
  t.match(await askIn(host, '127.0.0.1', 8203), { client: node.address, port: 8092 })
  t.match(await askIn(other, node.address, 8203), { client: node.address, port: 8092 })
  // Another machine asks: one of its own making, since outside is the server's already.
  await must(['ip', 'address', 'add', '192.168.77.253/24', 'dev', 'br0'])
  t.match(await ask(`http://${node.address}:8203/`, { localAddress: '192.168.77.253' }), { port: 8092 })
})

t.test('all of it is served without a trouble or a repair', async t => {
  t.match(await mesh.status(), { healthy: true, troubles: [] })
})
