/**
 * What two agents make of the network between them: its size, and damage done to what
 * comes through it; and a process of one node as an endpoint of both.
 */
import { createServer } from 'node:net'
import t from 'tap'
import { openSocket } from '../../src/netlink/addon.js'
import { ask } from '../helpers/clients.js'
import { EtcdServers } from '../helpers/etcd.js'
import { must, type Node, outside, type Running, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { sendFrames } from '../helpers/tunnel-frames.js'
import { waitFor } from '../helpers/wait.js'

const nodes = await startNodes(2)
const [one, two] = nodes as [Node, Node]
const [first, second] = nodes.map(node => new NodeMesh(node)) as [NodeMesh, NodeMesh]
const etcd = await EtcdServers.start(t, { address: outside, members: 1 })
const agents: Running[] = []
const closing: (() => void)[] = []
t.teardown(() => {
  for (const close of closing) close()
  for (const agent of agents) agent.kill('SIGTERM')
})
t.afterEach(t => {
  if (!t.passing()) for (const agent of agents) t.comment(agent.output.slice(-6000))
})
// One after the other, for the numbers and subnets to be those of their names.
const sharing = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join()]
for (const node of nodes) agents.push(await node.startAgent(...sharing))

/** A process of a node that answers on port 9000 in both families; the addresses of the clients it sees. */
async function serve(mesh: NodeMesh, name: string): Promise<string[]> {
  const seen: string[] = []
  const server = createServer(socket => {
    seen.push(socket.remoteAddress?.replace('::ffff:', '') ?? '')
    socket.on('error', () => {}).end(`HTTP/1.1 200 OK\r\n\r\n${name} 192.0.2.1:1 9000\n`)
  })
  await new Promise<void>(done => server.listen({ fd: openSocket('tcp', '::', 9000, mesh.host) }, done))
  closing.push(() => server.close())
  return seen
}

t.test('a process of one node answers through both, and sees the client', async t => {
  const seen = await serve(first, 'process')
  const { service } = await first.client.publish(
    {
      service: 'process',
      ports: ['9100:9000'],
      endpoints: ['node:9000'],
    },
    60,
  )
  t.match(service.endpoints, [{ address: '10.254.0.2', port: 9000, state: 'ready' }])
  await second.settled(9100, 1)
  t.match(second.destinations(9100), [{ address: '240.2.0.2', port: 9000 }], 'by an address of its own')
  for (const { address } of nodes)
    t.equal((await ask(`http://${address}:9100/`)).container, 'process', `through ${address}`)
  t.same(seen, [outside, outside])
})

t.test('the tunnel follows the size of the link between nodes', async t => {
  const sized = (bytes: number) =>
    waitFor(
      () => first.inSandbox('ip -o link show mesh-vxlan').includes(` mtu ${bytes} `),
      `a tunnel of ${bytes} bytes`,
      60,
    )
  await sized(1450)
  await one.must('ip', 'link', 'set', 'eth0', 'mtu', '1400')
  await sized(1350)
  t.same((await first.client.status()).troubles, [])
  t.equal((await ask(`http://${two.address}:9100/`)).container, 'process')
  await one.must('ip', 'link', 'set', 'eth0', 'mtu', '1500')
  await sized(1450)
  t.pass('and back')
})

t.test('damage done in the tunnel is told of where it arrives', async t => {
  const [to, from] = [one, two].map(({ address }, i) => ({
    number: i + 1,
    subnet: `10.254.${i}.0/24`,
    address,
  })) as [Parameters<typeof sendFrames>[1], Parameters<typeof sendFrames>[1]]
  const tunnel = { vni: 4097, port: 8473 }
  const told = async () =>
    (await first.client.status()).troubles.find(({ subject }) => subject === 'checksums')?.message
  t.equal(await told(), undefined)
  const message = await waitFor(
    async () => {
      await sendFrames(second.host, from, to, tunnel, { count: 2, damaged: true })
      return told()
    },
    'the trouble',
    60,
    1,
  )
  t.match(message, /wrong checksums .* ethtool -K mesh-vxlan tx off/)
  t.match((await second.client.status()).troubles, [], 'whoever sends it cannot know')
})

const sixOf = (node: Node) => `fd77::${node.name.replace('node', '')}`

t.test('a node that has IPv6 beside one that has it not', async t => {
  for (const node of nodes) await node.must('ip', 'addr', 'add', `${sixOf(node)}/64`, 'dev', 'eth0', 'nodad')
  await must(['ip', 'addr', 'add', 'fd77::254/64', 'dev', 'br0', 'nodad'])
  agents[0]!.kill('SIGTERM')
  await agents[0]!.ended
  agents[0] = await one.startAgent(...sharing, '--ipv6', 'on')
  await serve(second, 'other')
  await second.client.publish({ service: 'other', ports: ['9102:9000'], endpoints: ['node:9000'] }, 60)
  await first.settled(9102, 1)
  for (const { address } of nodes)
    for (const [port, container] of [
      [9100, 'process'],
      [9102, 'other'],
    ] as const)
      t.equal((await ask(`http://${address}:${port}/`)).container, container, 'IPv4 is as ever')
  t.equal((await ask(`http://[${sixOf(one)}]:9100/`)).container, 'process', 'its own endpoint')
  for (const [node, port] of [
    [one, 9102],
    [two, 9100],
    [two, 9102],
  ] as const)
    await t.rejects(ask(`http://[${sixOf(node)}]:${port}/`), { code: 'ECONNREFUSED' }, `${node.name}:${port}`)
  await second.client.unpublish('9102', 'other')
})

t.test('nodes that have nothing but IPv6 between them', async t => {
  const flags = (node: Node) => [...sharing, '--ipv6', 'on', '--node-address', sixOf(node)]
  const leave = async (node: Node, agent: Running) => {
    t.equal((await node.meshctl('clean')).status, 0)
    await agent.ended
  }
  await leave(one, agents[0]!)
  const { status, stderr } = await one.exec('node', 'dist/src/cli/meshd.js', ...flags(one))
  t.equal(status, 2)
  t.match(stderr, /node-address "fd77::1": the live node node2 is reached at 192\.168\.77\.2/)
  await leave(two, agents[1]!)
  for (const node of nodes) agents.push(await node.startAgent(...flags(node)))
  for (const { client } of [first, second])
    await waitFor(async () => (await client.status()).lastPass !== null, 'the first pass', 60)
  await first.client.publish({ service: 'six', ports: ['9101:9000'], endpoints: ['node:9000'] }, 60)
  await second.settled(9101, 1)
  for (const node of nodes) t.equal((await ask(`http://[${sixOf(node)}]:9101/`)).container, 'process')
  t.equal((await ask(`http://${two.address}:9101/`)).container, 'process', 'IPv4 goes through it too')
  const [mine] = await first.client.nodes()
  t.match(mine, { address: sixOf(one), reach: 'reached' })
  const sandbox = (command: string) => second.inSandbox(command)
  t.match(sandbox('bridge fdb show dev mesh-vxlan'), /02:6d:65:00:00:01 dst fd77::1 /)
  t.match(sandbox('ip -d link show mesh-vxlan'), / mtu 1430 .* local fd77::2 /s)
  t.same((await first.client.status()).troubles, [])
})
