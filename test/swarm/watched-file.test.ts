/**
 * A compose file that meshd watches: what it says is published for as long as it says so,
 * and what becomes of it as it is edited, spoilt, taken away and put back.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { ask } from '../helpers/clients.js'
import { startNodes } from '../helpers/lab.js'
import { NodeMesh } from '../helpers/node-mesh.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const mesh = new NodeMesh(node)
const directory = '/tmp/shop'
const file = `${directory}/compose.yaml`
const labels = { 'com.docker.compose.project': 'store', 'com.docker.compose.service': 'web' }
const web = await node.docker.runContainer({ labels })

/** The file with these ports for `web`. */
function write(ports: string): void {
  writeFileSync(file, `services:\n  web:\n    image: web\n    ports: [${ports}]\n`)
}

/** Until the port is answered by the container, or refused. */
async function until(port: number, is: 'answered' | 'refused'): Promise<void> {
  const seen = async () => {
    try {
      return web.startsWith((await ask(`http://${node!.address}:${port}/`)).container) && 'answered'
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' && 'refused'
    }
  }
  await waitFor(async () => (await seen()) === is, `port ${port} to be ${is}`, 60, 0.1)
}

/** Until the agent itself has it so: it tells of a pass when that is over. */
async function listed(): Promise<void> {
  const states = async () =>
    (await mesh.client.list()).map(({ name, origin, endpoints }) => [
      name,
      origin,
      ...endpoints.map(({ state }) => state),
    ])
  const wanted = ['store/web', file, 'ready'].join()
  await waitFor(async () => (await states()).join() === wanted, wanted, 60, 0.1)
}

const troubles = async () =>
  (await mesh.client.status()).troubles.map(({ subject, message }) => `${subject}: ${message}`)

mkdirSync(directory)
writeFileSync(`${directory}/.env`, 'COMPOSE_PROJECT_NAME=store\nWEB_PORT=8401\n')
write('"$WEB_PORT:80"')
const agent = node.start('node', 'dist/src/cli/meshd.js', '--file', file)
t.teardown(() => agent.kill('SIGTERM'))

t.test('what the file says is published, with the variables of .env beside it', async () => {
  await until(8401, 'answered')
  await listed()
})

t.test('edited variables and an edited file are in force at once', async () => {
  writeFileSync(`${directory}/.env`, 'COMPOSE_PROJECT_NAME=store\nWEB_PORT=8405\n')
  await until(8405, 'answered')
  await until(8401, 'refused')
  write('"8402:80"')
  await until(8402, 'answered')
  await until(8405, 'refused')
})

t.test('a file that is spoilt or away takes nothing away, and status says so', async t => {
  write('"8403:')
  await waitFor(async () => (await troubles()).some(each => each.includes(file)), 'the trouble', 60, 0.2)
  t.match(await ask(`http://${node.address}:8402/`), { container: web.slice(0, 12) })
  rmSync(directory, { recursive: true })
  await waitFor(async () => (await troubles()).some(each => each.includes('ENOENT')), 'its words', 60, 0.2)
  t.match(await ask(`http://${node.address}:8402/`), { container: web.slice(0, 12) })
})

t.test('a file in a directory of its own anew is read, and watched', async () => {
  mkdirSync(directory)
  writeFileSync(`${directory}/.env`, 'COMPOSE_PROJECT_NAME=store\n')
  for (const port of [8403, 8404]) {
    write(`"${port}:80"`)
    await until(port, 'answered')
  }
  await until(8402, 'refused')
  await waitFor(async () => (await troubles()).length === 0, 'no trouble any more', 60, 0.2)
  await listed()
})

t.test('a port that a process of the node has stays its own until that ends', async t => {
  const process = node.start('.lab/web', '8406')
  t.teardown(() => process.kill('SIGKILL'))
  const own = async () =>
    (await ask(`http://${node.address}:8406/`).catch(() => null))?.container === node.name
  await waitFor(own, 'the process', 60, 0.1)
  write('"8406:80", "8407:80"')
  await until(8407, 'answered')
  t.ok(await own())
  const service = (await mesh.client.list())[0]
  t.match(service, {
    ports: [{ spec: '8407:80/tcp' }],
    problems: [/port 8406\/tcp: it is in use .* web \(pid/],
  })
  process.kill('SIGKILL')
  await until(8406, 'answered')
  await waitFor(
    async () => (await mesh.client.list())[0]?.problems.length === 0,
    'no problem any more',
    60,
    0.1,
  )
})
