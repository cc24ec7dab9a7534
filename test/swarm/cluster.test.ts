/**
 * Three nodes as one mesh over etcd: a port that was published on one answers on all of
 * them, for containers of all of them, whatever happens to nodes, agents and etcd.
 */
import t, { type Test } from 'tap'
import { ask, askUdp, Load, type LoadReport } from '../helpers/clients.js'
import { EtcdServers } from '../helpers/etcd.js'
import { KeptConnection } from '../helpers/flows.js'
import { must, type Node, outside, type Running, rareLooks, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { sleep, waitFor } from '../helpers/wait.js'

const labels = { app: 'web' }
const short = (id: string) => id.slice(0, 12)
const since = (start: number) => `${((performance.now() - start) / 1000).toFixed(2)} s`

const nodes = await startNodes(3)
const [one, two, three] = nodes as [Node, Node, Node]
const meshes = new Map(nodes.map(node => [node, new NodeMesh(node)]))
const meshOf = (node: Node) => meshes.get(node)!
/** One client address for each entry node: from one address the same port may be used through two nodes. */
const clientOf = (node: Node) => `192.168.77.20${node.name.slice(-1)}`
for (const node of nodes) await must(['ip', 'addr', 'add', `${clientOf(node)}/24`, 'dev', 'br0'])
const url = (node: Node, port = 8888) => `http://${node.address}:${port}/`

const etcd = await EtcdServers.start(t, { address: outside, members: 1 })
const settings = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(), ...rareLooks]
const agents = new Map<Node, Running>()
t.teardown(async () => {
  for (const agent of agents.values()) agent.kill('SIGTERM')
})
t.afterEach(t => {
  if (!t.passing())
    for (const [node, agent] of agents) t.comment(`${node.name}: ${agent.output.slice(-6000)}`)
})

/** Starts the agent of a node; back when it has made its first pass. */
async function start(node: Node): Promise<void> {
  const agent = node.start('node', 'dist/src/cli/meshd.js', ...settings)
  agents.set(node, agent)
  await waitFor(
    async () => {
      if (agent.hasEnded) throw new Error(`meshd ended:\n${agent.output}`)
      const { healthy, lastPass } = await meshOf(node).client.status()
      return healthy && lastPass !== null
    },
    `the agent of ${node.name}`,
    60,
  )
}

/** Until every node of the list spreads new connections over so many containers. */
async function settled(count: number, seconds = 20, list: readonly Node[] = nodes): Promise<void> {
  for (const node of list) await meshOf(node).settled(8888, count, seconds)
}

/** The containers that answer through a node. */
async function who(node: Node, requests = 9): Promise<string[]> {
  const seen = new Set<string>()
  for (let i = 0; i < requests; i++)
    seen.add((await ask(url(node), { localAddress: clientOf(node) })).container)
  return [...seen].sort()
}

/** A load through each of some nodes, that ends with the test, whatever becomes of it. */
function loadFor(t: Test, entries: readonly Node[], rate: number, timeout = 10) {
  const loads = entries.map(node => new Load([url(node)], rate, { timeout, localAddress: clientOf(node) }))
  const stop = () => Promise.all(loads.map(load => load.stop()))
  t.teardown(stop)
  return { stop }
}

/** How many of all requests failed, and when each of those began. */
function failuresOf(reports: readonly LoadReport[]) {
  const all = reports.reduce((sum, { ok, failed }) => sum + ok + failed, 0)
  return { all, failures: reports.flatMap(({ failures }) => failures) }
}

function noneFailed(t: Test, reports: readonly LoadReport[], what: string): void {
  const { all, failures } = failuresOf(reports)
  t.same(
    failures.map(({ code }) => code),
    [],
    `${what}: 0 of ${all} requests fail`,
  )
}

const webs = await Promise.all(nodes.map(node => node.docker.runContainer({ labels })))
// One after the other, for the numbers and subnets to be those of their names.
for (const node of nodes) await start(node)
await meshOf(one).client.publish(
  { service: 'web', ports: ['8888:80', '5353:80/udp'], selector: 'app=web' },
  60,
)
await settled(3)

t.test('every node answers for the containers of all, which see the client itself', async t => {
  for (const [number, node] of nodes.entries()) {
    t.same(await who(node), webs.map(short).sort(), `${node.name} spreads over all`)
    t.equal((await ask(url(node), { localAddress: clientOf(node) })).client, clientOf(node))
    const seen = new Set<string>()
    for (let i = 0; i < 6; i++) {
      const port = 41_000 + 10 * number + i
      const answer = await askUdp(node.address, 5353, { localAddress: clientOf(node), localPort: port })
      t.match(answer, { client: clientOf(node), clientPort: port }, 'datagrams too')
      seen.add(answer.container)
    }
    t.equal(seen.size, 3)
  }
})

/** What an agent says of a node. */
async function nodeOf(asked: Node, name: string) {
  const view = (await meshOf(asked).client.nodes()).find(each => each.name === name)
  if (!view) throw new Error(`${asked.name} knows of no node ${name}`)
  return view
}

t.test('the nodes are listed', async t => {
  const { status, stdout } = await two.meshctl('node', 'ls')
  t.equal(status, 0)
  for (const node of nodes)
    t.match(stdout, new RegExp(`^${node.name}.* ${node.address} .* ready +1 `, 'm'), node.name)
  t.match(stdout, 'node2 (this one)')
})

t.test('an agent that is started beside the one of its node takes nothing from it', async t => {
  const client = etcd.client()
  t.teardown(() => client.close())
  const word = async () => (await client.get('/mesh/alive/node2'))?.value
  const before = await word()
  t.ok(before, 'the agent that runs has said that it is there')
  t.match(await two.exec('timeout', '60', 'node', 'dist/src/cli/meshd.js', ...settings), {
    status: 1,
    stderr: /another meshd answers there/,
  })
  t.equal(await word(), before, 'and still speaks for its node')
})

t.test(
  'a container that starts on one node serves through the others at once, and is gone at once',
  async t => {
    const id = await two.docker.runContainer({ labels })
    const begun = performance.now()
    await settled(4, 20, [one, three])
    t.comment(`there after ${since(begun)}`)
    t.ok((await who(one, 12)).includes(short(id)))
    const killed = performance.now()
    await two.docker.container(id, 'kill')
    await settled(3)
    t.comment(`gone everywhere ${since(killed)} after it was killed`)
    for (const node of nodes) t.same(await who(node), webs.map(short).sort())
  },
)

t.test(
  'of two nodes that publish one port at the same time one wins, and the other says why not',
  async t => {
    const asked = [one, two].map(node =>
      node.meshctl('publish', '8889:80', `rival-${node.name}`, '--selector', 'app=web'),
    )
    const [won, lost] = (await Promise.all(asked)).sort((a, b) => a.status - b.status)
    t.equal(won?.status, 0)
    t.match(lost, { status: 1, stderr: /8889.*rival-node[12]/ })
    const winner = won?.stdout.startsWith('rival-node1') ? 'rival-node1' : 'rival-node2'
    await waitFor(() => ask(url(three, 8889)), 'the port on the third node', 20)
    await meshOf(three).client.unpublish('8889/tcp', winner)
    for (const node of nodes)
      await waitFor(
        async () => (await meshOf(node).client.list()).every(({ name }) => name === 'web'),
        'the end of it',
        20,
      )
  },
)

t.test('a node leaves a port to a process of its own that had it before, and says so', async t => {
  const process = two.start('.lab/web', '8890')
  t.teardown(() => process.kill('SIGKILL'))
  const whose = async (node: Node, port: number) => (await ask(url(node, port))).container
  await waitFor(async () => (await whose(two, 8890).catch(() => '')) === 'node2', 'the process', 20)
  const late = { service: 'late', ports: ['8890:80', '8891:80'], selector: 'app=web' }
  await meshOf(one).client.publish(late, 60)
  const containers = webs.map(short)
  for (const node of nodes) {
    await waitFor(() => whose(node, 8891), `the other port of ${node.name}`, 20)
    const answers = await Promise.all([8890, 8890, 8890, 8891].map(port => whose(node, port)))
    const isOwn = (name: string, i: number) => node === two && i < 3 && name === 'node2'
    t.ok(
      answers.every((name, i) => isOwn(name, i) || (containers.includes(name) && !(node === two && i < 3))),
      `${node.name}: ${answers}`,
    )
  }
  const told =
    /this node does not answer on port 8890\/tcp: it is in use on this node: web \(pid \d+\) listens on/
  t.match(await two.meshctl('inspect', 'late'), { status: 0, stdout: told })
  t.match(await two.meshctl('status'), { status: 0, stdout: told })
  t.notMatch(await three.meshctl('inspect', 'late'), { stdout: told })
  for (const port of ['8890/tcp', '8891/tcp']) await meshOf(one).client.unpublish(port, 'late')
  for (const node of nodes)
    await waitFor(
      async () => (await meshOf(node).client.list()).every(({ name }) => name === 'web'),
      'the end of it',
      20,
    )
})

t.test('a draining node takes no new connections, keeps those it has, and is let in again', async t => {
  const open = await Promise.all(Array.from({ length: 3 }, () => KeptConnection.open(one.address, 8888)))
  const firsts = await Promise.all(open.map(each => each.ask()))
  const kept = open[firsts.findIndex(({ container }) => container === short(webs[1]!))]
  if (!kept) return t.fail('no connection to node2')
  const load = loadFor(t, [one, two], 10)
  t.match(await meshOf(one).client.drainNode('node2', true), { name: 'node2', draining: true })
  for (const node of nodes)
    await waitFor(
      async () =>
        meshOf(node)
          .destinations(8888)
          .filter(({ weight }) => weight > 0).length === 2,
      `the drain on ${node.name}`,
      20,
    )
  for (const node of nodes) t.notOk((await who(node)).includes(short(webs[1]!)), `none through ${node.name}`)
  t.match((await kept.ask()).container, short(webs[1]!), 'the kept connection goes on')
  t.match((await meshOf(three).client.nodes())[1], { name: 'node2', draining: true, live: true })
  await t.rejects(meshOf(two).client.removeNode('node2'), { message: /its agent is running/ })
  await meshOf(three).client.drainNode('node2', false)
  await settled(3)
  t.ok((await who(one)).includes(short(webs[1]!)), 'let in again')
  t.match((await kept.ask()).container, short(webs[1]!), 'with the connection still there')
  for (const each of open) each.close()
  noneFailed(t, await load.stop(), 'meanwhile')
})

t.test('an agent killed and started again is not noticed by clients of other nodes', async t => {
  const load = loadFor(t, [one, two], 20)
  await sleep(1)
  agents.get(two)!.kill('SIGKILL')
  await agents.get(two)!.ended
  await waitFor(async () => (await nodeOf(one, 'node2')).live === false, 'the end of its lease', 20)
  t.match(await nodeOf(one, 'node2'), { reach: 'reached', containers: 1 }, 'its kernel goes on without it')
  t.match((await meshOf(one).client.status()).notes, [/agent of node node2 is silent/])
  const begun = performance.now()
  await start(two)
  t.comment(`back after ${since(begun)}`)
  await settled(3)
  await sleep(1)
  noneFailed(t, await load.stop(), 'through node1 and node2')
})

t.test('while etcd stands still traffic goes on, and status says what is wrong', async t => {
  const load = loadFor(t, nodes, 10)
  etcd.members[0].freeze()
  const begun = performance.now()
  for (const node of nodes)
    await waitFor(async () => !(await meshOf(node).client.status()).healthy, `${node.name} to notice`, 30)
  t.comment(`noticed after ${since(begun)}`)
  const { troubles, healthy } = await meshOf(one).client.status()
  t.notOk(healthy)
  t.match(troubles.map(({ message }) => message).join('\n'), /etcd/)
  await sleep(Math.max(0, 6 - (performance.now() - begun) / 1000))
  for (const node of nodes) t.same(await who(node), webs.map(short).sort(), `through ${node.name}`)
  etcd.members[0].thaw()
  const healed = performance.now()
  for (const node of nodes)
    await waitFor(async () => (await meshOf(node).client.status()).healthy, `${node.name} to heal`, 20)
  t.comment(`healed after ${since(healed)}`)
  await sleep(4)
  await settled(3)
  noneFailed(t, await load.stop(), 'all along')
})

t.test('a node that loses power is soon out of the mesh', async t => {
  const load = loadFor(t, [one, two], 20, 1)
  await sleep(1)
  const begun = performance.now()
  agents.delete(three)
  await three.power('off')
  await settled(2, 30, [one, two])
  t.comment(`gone from the kernels of the others after ${since(begun)}`)
  await sleep(2)
  const { all, failures } = failuresOf(await load.stop())
  const late = failures.filter(({ began }) => began > begun).map(({ began }) => began - begun)
  const clean = late.length === 0 ? 0 : Math.max(...late) / 1000
  t.comment(`${failures.length} of ${all} failed; clean after ${clean.toFixed(2)} s`)
  t.ok(clean < 10, 'clean within 10 s, on a machine that is busy with other things')
  await waitFor(async () => (await nodeOf(one, 'node3')).live === false, 'the end of its lease', 20)
  t.match(await nodeOf(one, 'node3'), { containers: 0 })
  await meshOf(one).client.removeNode('node3')
  await waitFor(
    () => !meshOf(two).inSandbox('ip route').includes('via 10.254.2.1'),
    'the way to it to go',
    20,
  )
})

t.test('a node that joins answers on what is published, and its containers serve', async t => {
  await three.power('on')
  await three.startDocker()
  const begun = performance.now()
  await start(three)
  const joined = performance.now()
  await settled(2)
  t.comment(`its agent was ready after ${since(begun)}, and what is published ${since(joined)} later`)
  t.same(await who(three), webs.slice(0, 2).map(short).sort(), 'at once, with containers of others')
  const id = await three.docker.runContainer({ labels })
  await settled(3)
  for (const node of nodes) t.ok((await who(node)).includes(short(id)), `through ${node.name}`)
})

t.test('clean leaves nothing on the nodes', async t => {
  for (const node of nodes) {
    await meshOf(node).client.clean()
    t.equal(await agents.get(node)!.ended, 0)
    agents.delete(node)
    t.notMatch(await node.must('iptables-save'), /MESH|mesh/)
    t.notMatch(await node.must('ip', 'link'), /mesh/)
    t.equal((await node.exec('ip', 'netns', 'exec', 'mesh', 'true')).status === 0, false)
  }
})
