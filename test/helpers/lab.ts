/**
 * Whole nodes with Docker Engines, for tests that run inside the lab (the swarm
 * layer). A thin face over scripts/nodes; the test's own process is outside the
 * nodes, at 192.168.77.254, and so are its clients (clients.ts).
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createClient } from '../../src/cli/client.js'
import { DockerApi } from './docker-api.js'
import { waitFor } from './wait.js'

export const outside = '192.168.77.254'
const nodesScript = 'scripts/nodes'

export interface Finished {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * For an agent that has nothing to repair: a look for damage takes it most of a second of the
 * lab's only processor, every four unless it is told so.
 */
export const rareLooks = ['--resync', '60']

/** Runs a program to its end; a status other than 0 is a result, not an error. */
export function run(argv: readonly string[], seconds = 120): Promise<Finished> {
  const [file = '', ...args] = argv
  return new Promise(resolve => {
    const options = { encoding: 'utf8' as const, timeout: seconds * 1000, maxBuffer: 1 << 26 }
    execFile(file, args, options, (error, stdout, stderr) => {
      const status = error ? (typeof error.code === 'number' ? error.code : 125) : 0
      resolve({ status, stdout, stderr: status === 125 && error ? `${stderr}${error.message}` : stderr })
    })
  })
}

/** Runs a program that has to succeed; its output. */
export async function must(argv: readonly string[], seconds = 120): Promise<string> {
  const { status, stdout, stderr } = await run(argv, seconds)
  if (status !== 0) throw new Error(`${argv.join(' ')}: status ${status}: ${stderr || stdout}`)
  return stdout
}

/** A program that goes on running in a node, and all it has printed. */
export class Running {
  output = ''
  /** Its exit status once it has ended; 128 and more after a signal, as a shell has it. */
  readonly ended: Promise<number>
  constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    this.ended = new Promise(resolve => {
      child.on('close', (status, signal) => resolve(status ?? (signal === 'SIGKILL' ? 137 : 143)))
    })
  }
  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }
  /** scripts/nodes becomes nsenter, which starts the program as its child: that one gets the signal. */
  kill(signal: NodeJS.Signals): void {
    const pid = this.child.pid
    if (pid === undefined || this.hasEnded) return
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    for (const target of children[0] ? children.map(Number) : [pid]) process.kill(target, signal)
  }
}

export class Node {
  readonly address: string
  readonly docker: DockerApi
  constructor(readonly name: string) {
    this.address = `192.168.77.${name.replace('node', '')}`
    this.docker = new DockerApi(() => `/proc/${this.pid}/root/run/docker.sock`)
  }

  /** Its first process, as the lab numbers it. */
  get pid(): number {
    return Number(readFileSync(`/run/nodes/${this.name}/pid`, 'utf8'))
  }

  /** Runs a command in the node to its end. */
  exec(...argv: string[]): Promise<Finished> {
    return run([nodesScript, 'exec', this.name, ...argv])
  }

  /** The same for a command that has to succeed; its output. */
  must(...argv: string[]): Promise<string> {
    return must([nodesScript, 'exec', this.name, ...argv])
  }

  /** Starts a command in the node and lets it run. */
  start(...argv: string[]): Running {
    return new Running(
      spawn(nodesScript, ['exec', this.name, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] }),
    )
  }

  /** Starts the agent as users do, back when its socket answers. */
  async startAgent(...flags: string[]): Promise<Running> {
    const agent = this.start('node', 'dist/src/cli/meshd.js', ...flags)
    // Asked over the socket itself: meshctl, started again and again, would take the agent's own time.
    const client = createClient(`/proc/${this.pid}/root/run/mesh/mesh.sock`)
    await waitFor(
      async () => agent.hasEnded || (await client.status()).healthy,
      `meshd of ${this.name}`,
      60,
    ).catch(error => {
      agent.kill('SIGKILL')
      throw new Error(`${error.message}\n${agent.output}`)
    })
    if (agent.hasEnded) throw new Error(`meshd of ${this.name} ended:\n${agent.output}`)
    return agent
  }

  meshctl(...args: string[]): Promise<Finished> {
    return this.exec('node', 'dist/src/cli/meshctl.js', ...args)
  }

  /** `meshctl … -o json`, parsed; has to succeed. */
  async meshctlJson<Answer = unknown>(...args: string[]): Promise<Answer> {
    const { status, stdout, stderr } = await this.meshctl(...args, '-o', 'json')
    if (status !== 0) throw new Error(`meshctl ${args.join(' ')}: status ${status}: ${stderr || stdout}`)
    return JSON.parse(stdout) as Answer
  }

  /** Starts the Engine, at first or after its end. `options` are dockerd's. */
  async startDocker(options = ''): Promise<void> {
    // A daemon that was killed, or whose node lost its power, has a lot to clear up before it answers.
    await must(['env', `NODES_DOCKERD=${options}`, nodesScript, 'docker', this.name], 330)
  }

  /** Power cut, and power again; link down, and up. */
  async power(state: 'off' | 'on'): Promise<void> {
    await must([nodesScript, state, this.name])
  }
  async link(state: 'cut' | 'heal'): Promise<void> {
    await must([nodesScript, state, this.name])
  }

  /** Until the service has so many tasks that run on whatever node; asked of this one, a manager. */
  async tasks(service: string, count: number, seconds = 120): Promise<void> {
    await waitFor(
      async () => (await this.docker.runningTasks(service)).length === count,
      `${count} tasks of ${service}`,
      seconds,
      0.3,
    )
  }
}

export interface NodesOptions {
  /** A Docker Engine in each; default true. `string`: with these options. */
  readonly docker?: boolean | string
  /** Managers of a swarm of all; default 0, no swarm. */
  readonly managers?: number
}

/** Boots nodes node1 … nodeCOUNT. They end with the lab. */
export async function startNodes(count: number, options: NodesOptions = {}): Promise<Node[]> {
  if (process.env.LAB !== '1') throw new Error('nodes need the lab: npm test -- swarm, or scripts/lab node …')
  const docker = options.docker ?? true
  await must([nodesScript, 'up', String(count)])
  if (docker !== false)
    await must(['env', `NODES_DOCKERD=${docker === true ? '' : docker}`, nodesScript, 'docker'])
  if (options.managers) await must([nodesScript, 'swarm', String(options.managers)])
  return Array.from({ length: count }, (_, i) => new Node(`node${i + 1}`))
}
