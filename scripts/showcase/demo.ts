/**
 * The demonstration itself: one node with a Docker Engine, the mesh on it, and a
 * client outside. Runs as root where `scripts/nodes` can make nodes (in the lab, or in
 * namespaces of its own). Every claim it prints was checked a moment before.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)
const node = '192.168.77.1'
const client = '192.168.77.254'
const started = performance.now()
const proven: string[] = []

function say(text: string): void {
  const at = ((performance.now() - started) / 1000).toFixed(0).padStart(3)
  process.stdout.write(`\n\x1b[1m${at} s  ${text}\x1b[0m\n`)
}

function show(text: string): void {
  for (const line of text.trimEnd().split('\n')) process.stdout.write(`       ${line}\n`)
}

function run(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

const nodes = (...args: string[]) => run('scripts/nodes', ...args)
const docker = (...args: string[]) => nodes('cli', 'node1', ...args)
const inNode = (...args: string[]) => nodes('exec', 'node1', ...args)

function meshctl(...args: string[]): string {
  process.stdout.write(`       $ meshctl ${args.join(' ')}\n`)
  return inNode('dist/src/cli/meshctl.js', ...args)
}

function check(good: boolean, claim: string): void {
  if (!good) throw new Error(`this should hold and does not: ${claim}`)
  proven.push(claim)
}

async function until(what: string, condition: () => Promise<boolean> | boolean, seconds = 60): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`)
    await sleep(200)
  }
}

interface Answer {
  readonly container: string
  readonly address: string
}

/** One request on a connection of its own, from outside the node. Rejects with the socket's error. */
function ask(port: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: node, port, agent: false, timeout: 10_000 }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', text => {
        body += text
      })
      response.on('end', () => {
        const [container = '', from = ''] = body.split(' ')
        resolve({ container, address: from.split(':')[0] ?? '' })
      })
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('timeout'))).on('error', reject)
  })
}

async function refused(port: number): Promise<boolean> {
  try {
    await ask(port)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
  }
}

interface Load {
  readonly end: () => Promise<{ ok: number; failed: string[] }>
}

/** New connections at a steady rate until ended; every failure is kept with its reason. */
function load(port: number, perSecond: number): Load {
  let ok = 0
  const failed: string[] = []
  const pending = new Set<Promise<void>>()
  const timer = setInterval(() => {
    const one = ask(port)
      .then(
        () => {
          ok++
        },
        error => {
          failed.push(String((error as NodeJS.ErrnoException).code ?? error))
        },
      )
      .finally(() => pending.delete(one))
    pending.add(one)
  }, 1000 / perSecond)
  return {
    async end() {
      clearInterval(timer)
      await Promise.all(pending)
      return { ok, failed }
    },
  }
}

function outcome(ok: number, failed: readonly string[]): string {
  const reasons = failed.length > 0 ? ` (${[...new Set(failed)].join(', ')})` : ''
  return `${ok} answered, ${failed.length} failed${reasons}`
}

/** Which containers answer on the port, asked often enough to meet them all. */
async function answering(port: number, count: number): Promise<Set<string>> {
  const names = new Set<string>()
  for (let i = 0; i < count * 2; i++) names.add((await ask(port)).container)
  return names
}

function startAgent(): ChildProcess {
  return spawn('scripts/nodes', ['exec', 'node1', 'dist/src/cli/meshd.js', '--log-level', 'warn'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

/** Asked without waiting in between: the load of this process must go on meanwhile. */
async function agentAnswers(): Promise<void> {
  const argv = ['exec', 'node1', 'dist/src/cli/meshctl.js', 'status', '-o', 'json']
  await until('the agent', async () => {
    try {
      return JSON.parse((await execFileAsync('scripts/nodes', argv)).stdout).healthy === true
    } catch {
      return false
    }
  })
}

/** Whatever of the mesh an operator's own tools show on the host. */
function traces(): string[] {
  return ['iptables-save', 'ipset list', 'ip rule', 'ip route show table all', 'ip -br link', 'ip netns']
    .flatMap(command => inNode(...command.split(' ')).split('\n'))
    .filter(line => /mesh|10\.254\.|1090/i.test(line))
}

say('A node with a Docker Engine of its own, and a swarm of that one node')
nodes('up', '1')
nodes('docker')
nodes('swarm')

say('A Swarm service "web" of 3 replicas, without --publish, and a plain container "solo"')
docker('network', 'create', '-d', 'overlay', 'net')
docker(
  'service',
  'create',
  '-d',
  '--no-resolve-image',
  '--network',
  'net',
  '--name',
  'web',
  '--replicas',
  '3',
  'mesh-test:1',
  'web',
  '80',
)
docker('run', '-d', '--name', 'solo', 'mesh-test:1', 'web', '80')
const running = () =>
  docker('ps', '-q', '--filter', 'label=com.docker.swarm.service.name=web').split('\n').length - 1
await until('3 replicas', () => running() === 3)
show(docker('ps', '--format', 'table {{.ID}}\t{{.Names}}\t{{.Ports}}'))

say('The agent starts: it makes the sandbox namespace and its few rules, and publishes nothing yet')
let agent = startAgent()
await agentAnswers()

say('Port 8888 of the node becomes port 80 of web; no container is restarted for it')
show(meshctl('publish', '8888:80', 'web', '--wait'))
await until('3 endpoints', async () => (await answering(8888, 3)).size === 3)

say('Six requests from a client outside the node: who answers, and which address it sees')
for (let i = 0; i < 6; i++) {
  const answer = await ask(8888)
  show(`container ${answer.container} saw ${answer.address}`)
  check(answer.address === client, "the client's own address reaches the container")
}
show(`from the node itself: ${inNode('curl', '-s', 'http://127.0.0.1:8888/').trim()}`)
proven.push('127.0.0.1 works on the node')

say('A plain `docker run` container is published the same way')
show(meshctl('publish', '9999:80', 'solo', '--wait'))
check((await ask(9999)).address === client, 'plain containers too')

say('Scaled up to 5 and down to 2: the mesh follows Docker')
for (const count of [5, 2]) {
  docker('service', 'scale', '-d', `web=${count}`)
  await until(
    `${count} endpoints`,
    async () => (await answering(8888, count).catch(() => new Set())).size === count,
  )
  show(`${count} replicas, ${count} containers answer`)
}
check(true, 'scaling is followed')

say('A container is killed with SIGKILL under 100 new connections a second')
{
  const under = load(8888, 100)
  await sleep(1000)
  const victim = (await ask(8888)).container
  docker('kill', victim)
  await sleep(3000)
  const { ok, failed } = await under.end()
  show(`${outcome(ok, failed)}; ${victim} is gone`)
  check(failed.length * 20 < ok, 'a killed container costs at most what it was just serving')
}
// The new container runs some time before its server listens; it has no health check to tell.
await until('Swarm to replace it', async () => (await answering(8888, 4).catch(() => new Set())).size === 2)

say('The agent itself is killed with SIGKILL and started again, under the same load')
{
  const under = load(8888, 100)
  await sleep(500)
  inNode('pkill', '-KILL', '-f', 'dist/src/cli/[m]eshd.js')
  await sleep(1000)
  agent = startAgent()
  await agentAnswers()
  const { ok, failed } = await under.end()
  show(outcome(ok, failed))
  check(failed.length === 0, 'no packet needs the agent')
}

say('What is published, and where it goes')
show(meshctl('ls'))
show(meshctl('inspect', 'web'))

say('Unpublished: the port is refused again, the containers go on')
show(meshctl('unpublish', '8888', 'web'))
check(await refused(8888), 'an unpublished port refuses')
check((await ask(9999)).address === client, 'other ports go on')

say('Everything of the mesh is taken off the host')
const removed = meshctl('clean').trimEnd().split('\n')
show(`… ${removed.at(-1)}`)
await until('the agent to end', () => agent.exitCode !== null || agent.signalCode !== null)
check(traces().length === 0, 'nothing of it is left in rules, sets, routes, links and namespaces')

say('Done')
process.stdout.write(`\nProven: ${[...new Set(proven)].join('; ')}.\n`)
process.exit(0)
