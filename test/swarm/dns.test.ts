/**
 * Services found by name from real containers, through Docker's own resolver where there is
 * one, as `meshctl dns use` says.
 */
import t from 'tap'
import { rareLooks, startNodes } from '../helpers/lab.js'
import { waitFor } from '../helpers/wait.js'

const [node] = await startNodes(1)
if (!node) throw new Error('no node')
const { docker } = node
let agent = await node.startAgent(...rareLooks)
t.teardown(() => agent.kill('SIGTERM'))
const image = 'mesh-test:1'
const settings = ['--dns', '10.253.0.1', '--dns-search', 'mesh', '--dns-option', 'ndots:2']
const web = await docker.runContainer({ name: 'web1', labels: { app: 'web' } })
await docker.call('POST', '/networks/create', { Name: 'users' })
await docker.call('POST', '/networks/create', { Name: 'closed', Internal: true })

/** Runs a command in a container of its own. */
async function run(options: readonly string[], command: string): Promise<string> {
  const argv = ['docker', 'run', '--rm', ...options, ...settings, image, 'sh', '-c', command]
  const { status, stdout, stderr } = await node!.exec(...argv)
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}: ${stderr}${stdout}`)
  return stdout.trim()
}

t.test('what to set is what is set here', async t => {
  const { status, stderr } = await node.meshctl(
    'publish',
    '8888:80',
    'web',
    '--selector',
    'app=web',
    '--wait',
  )
  t.same({ status, stderr }, { status: 0, stderr: '' })
  t.match((await node.meshctl('dns', 'use')).stdout, `docker run ${settings.join(' ')}`)
  t.match((await node.meshctl('dns', 'lookup', 'web')).stdout, /^web\.mesh A 10\.253\.\d+\.\d+\n$/)
})

t.test('a container reaches a service by its name', async t => {
  const attached = ['--label', 'mesh.attach=true']
  const cases: [string, readonly string[]][] = [
    ['by the bridge', []],
    ['by a network of its own, where Docker forwards what it does not know', ['--network', 'users']],
    ['without any network, on the mesh', ['--network', 'none', ...attached]],
    ['by an internal network, on the mesh', ['--network', 'closed', ...attached]],
  ]
  // The route of one that is on the mesh comes a moment after it has started.
  const command = 'for i in $(seq 50); do wget -qO- http://web/ && exit; sleep 0.2; done; exit 1'
  for (const [what, options] of cases) t.match(await run(options, command), web.slice(0, 12), what)
})

t.test('an agent that was killed answers again when it is back', async t => {
  const asking = await docker.runContainer({ name: 'asking' })
  const { stdout: address } = await node.meshctl('dns', 'lookup', 'web')
  const ask = () => node.exec('docker', 'exec', asking, 'nslookup', 'web.mesh', '10.253.0.1')
  t.equal((await ask()).status, 0)
  agent.kill('SIGKILL')
  await waitFor(() => agent.hasEnded, 'its end', 30)
  t.not((await ask()).status, 0)
  agent = await node.startAgent(...rareLooks)
  t.match((await ask()).stdout, address.trim().split(' ').at(-1)!)
})
