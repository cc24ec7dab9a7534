/**
 * The agent killed and started again at awkward moments, while clients outside the node
 * go on asking: no packet needs it, and it goes on where the last one stopped.
 */
import { existsSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { ask, Load } from '../helpers/clients.js'
import { KeptConnection } from '../helpers/flows.js'
import { type Running, rareLooks, startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { sleep, waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const { docker, address: host } = node
const mesh = new NodeMesh(node)
const url = (port: number) => `http://${host}:${port}/`
const ms = (since: number) => `${Math.round(performance.now() - since)} ms`

const stateFile = `/proc/${node.pid}/root/var/lib/mesh/mesh.json`

/** Does not end on SIGTERM, and has a minute to do so. */
const stubborn = { command: ['sh', '-c', 'trap "" TERM; web & wait'], more: { StopTimeout: 60 } }

/** The agent that runs, and all that the former ones have said. */
let agent: Running
let former = ''

/** Starts the agent; back when it has made its first pass and is content. */
async function start(): Promise<void> {
  agent = node!.start('node', 'dist/src/cli/meshd.js', '--log-level', 'debug', ...rareLooks)
  await waitFor(
    async () => {
      if (agent.hasEnded) throw new Error(`meshd ended:\n${agent.output}`)
      const { healthy, lastPass } = await mesh.client.status()
      return healthy && lastPass !== null
    },
    'the agent',
    60,
    0.05,
  )
}

async function end(signal: NodeJS.Signals): Promise<void> {
  agent.kill(signal)
  await agent.ended
  former += agent.output
}

/** What must be true after every restart. */
async function allIsWell(t: Test): Promise<void> {
  t.strictSame(await mesh.client.plan(), [], 'nothing is left to change')
  t.strictSame((await mesh.client.status()).repairs, [], 'nothing was taken for damage')
}

const both = await Promise.all([0, 1].map(() => docker.runContainer({ labels: { app: 'web' } })))
await start()
await mesh.client.publish({ service: 'web', ports: ['8888:80'], selector: 'app=web' }, 60)
await mesh.settled(8888, 2)
const fresh = new Load([url(8888)], 10, { timeout: 10 })
const kept = new Load([url(8888)], 5, { keep: 4, timeout: 10 })

t.teardown(async () => {
  if (!t.passing()) t.comment(`${former}${agent.output}`.slice(-30_000))
  await end('SIGTERM')
})

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  t.test(`an idle agent ended by ${signal} and started again changes nothing`, async t => {
    const before = mesh.destinations(8888).map(({ address, weight }) => `${address} ${weight}`)
    await end(signal)
    t.same(
      mesh.destinations(8888).map(({ address, weight }) => `${address} ${weight}`),
      before,
    )
    await sleep(0.5)
    const begun = performance.now()
    await start()
    t.comment(`back after ${ms(begun)}`)
    t.notMatch(agent.output, /"msg":"change"/, 'the first pass finds nothing to do')
    await allIsWell(t)
  })

/** Moments in the life of a publication, each as a question that is asked all the time. */
const moments: readonly [string, (port: number) => boolean][] = [
  ['it was asked for', () => true],
  ['it began to be stored', () => existsSync(`${stateFile}.new`)],
  ['it was stored', port => readFileSync(stateFile, 'utf8').includes(String(port))],
  ['its virtual service was there', port => mesh.destinations(port).length > 0],
]
for (const [i, [moment, hasCome]] of moments.entries())
  t.test(`an agent killed as soon as ${moment} leaves all of it or nothing`, async t => {
    const port = 8900 + i
    const asked = mesh.client
      .publish({ service: `web${i}`, ports: [`${port}:80`], selector: 'app=web' }, 60)
      .then(
        () => true,
        () => false,
      )
    await Promise.race([asked, waitFor(() => hasCome(port), moment, 30, 0)])
    await end('SIGKILL')
    const answered = await asked
    await start()
    const stored = (await mesh.client.list()).some(({ name }) => name === `web${i}`)
    const answers = await ask(url(port)).then(
      () => true,
      error => (error.code === 'ECONNREFUSED' ? false : error.code),
    )
    t.equal(answers, stored, stored ? 'published' : 'not published')
    if (answered) t.ok(stored, 'what was answered is kept')
    await allIsWell(t)
  })

t.test(
  'an agent killed in the middle of a pass over many containers is followed by one that ends it',
  async t => {
    await mesh.client.publish({ service: 'many', ports: ['8890:80'], selector: 'app=many' }, 60)
    const created = Array.from({ length: 4 }, () =>
      docker.call<{ Id: string }>('POST', '/containers/create', {
        Image: 'mesh-test:1',
        Labels: { app: 'many' },
        HostConfig: { NetworkMode: 'none' },
      }),
    )
    const ids = (await Promise.all(created)).map(({ Id }) => Id)
    const started = Promise.all(ids.map(id => docker.container(id, 'start')))
    await waitFor(
      () => mesh.inSandbox('ip -o link').match(/: p[0-9a-f]{12}/g)!.length > 2,
      'the first links',
      60,
      0.02,
    )
    await end('SIGKILL')
    t.comment(`killed with ${mesh.destinations(8890).length} of 4 destinations`)
    await started
    await start()
    await mesh.settled(8890, 4)
    await allIsWell(t)

    const removed = Promise.all(ids.slice(0, 2).map(id => docker.removeContainer(id)))
    await waitFor(() => mesh.destinations(8890).length < 4, 'the first to go', 60, 0.005)
    await end('SIGKILL')
    t.comment(`killed with ${mesh.destinations(8890).length} destinations left of 4, of which 2 stay`)
    await removed
    await start()
    await mesh.settled(8890, 2)
    await allIsWell(t)
    t.notMatch(mesh.inSandbox('ip route'), 'linkdown')
    t.equal(mesh.inSandbox('ip -o link').match(/: p[0-9a-f]{12}/g)!.length, 4, 'of the gone no link is left')
    await Promise.all(ids.slice(2).map(id => docker.removeContainer(id)))
  },
)

t.test('a drain goes on through the end of the agent', async t => {
  const going = await docker.runContainer({ labels: { app: 'drain' }, ...stubborn })
  await mesh.client.publish({ service: 'drain', ports: ['8891:80'], selector: 'app=drain', drain: '60s' }, 60)
  await mesh.settled(8891, 1)
  const line = await KeptConnection.open(host, 8891)
  await line.ask()
  const address = await mesh.addressOf('drain', going)
  await docker.container(going, 'kill?signal=TERM')
  await waitFor(() => mesh.weight(8891, address) === 0, 'weight 0', 20, 0.01)
  await end('SIGKILL')
  let stop = false
  const weights = new Set<number | null>()
  const watching = (async () => {
    for (; !stop; await sleep(0.005)) weights.add(mesh.weight(8891, address))
  })()
  await line.ask()
  await start()
  await sleep(1.5)
  await line.ask()
  stop = true
  await watching
  t.strictSame([...weights], [0], 'weight 0 stays weight 0')
  line.close()
  await waitFor(() => mesh.weight(8891, address) === null, 'its end', 30, 0.05)
  await allIsWell(t)
  await docker.removeContainer(going)
})

t.test('a stop that began while there was no agent is known to the next one', async t => {
  const going = await docker.runContainer({ labels: { app: 'drain' }, ...stubborn })
  await mesh.settled(8891, 1)
  const line = await KeptConnection.open(host, 8891)
  await line.ask()
  const address = await mesh.addressOf('drain', going)
  await end('SIGKILL')
  const stopped = docker.container(going, 'stop?t=60')
  await sleep(0.3)
  await start()
  t.equal(mesh.weight(8891, address), 0, 'it drains')
  await line.ask()
  line.close()
  await docker.container(going, 'kill')
  await stopped
  await waitFor(() => mesh.weight(8891, address) === null, 'its end', 30, 0.05)
  await allIsWell(t)
  await docker.removeContainer(going)
})

t.test('through all of this no connection was lost or refused', async t => {
  const [first, second] = await Promise.all([fresh.stop(), kept.stop()])
  t.comment(
    `new connections: ${first.ok} answered, ${first.failed} failed, slowest ${Math.round(first.slowest)} ms`,
  )
  t.comment(`kept connections: ${second.ok} answered, ${second.failed} failed`)
  t.strictSame(first.failures, [])
  t.strictSame(second.failures, [])
  await Promise.all(both.map(id => docker.removeContainer(id)))
})
