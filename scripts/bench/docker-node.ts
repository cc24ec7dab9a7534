/**
 * A node with a real Docker Engine and the agent, for parts that measure the whole.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { type Node, type Running, startNodes } from '../../test/helpers/lab.js'

export interface DockerNode {
  readonly node: Node
  readonly agent: Running
  /** The agent's process, as the lab numbers it. */
  readonly agentPid: number
}

/** Process whose command line holds `word`, in the PID namespace of the lab. */
function processWith(word: string): number {
  for (const entry of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const argv = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
      if (argv[0] === 'node' && argv.some(argument => argument.endsWith(word))) return Number(entry)
    } catch {} // it has ended
  }
  throw new Error(`no process ${word}`)
}

/** Milliseconds since 1970, with fractions. */
export function epoch(): number {
  return performance.timeOrigin + performance.now()
}

/** Time stamp of the last such event of a container within a minute, milliseconds since 1970. */
export function eventTime(node: Node, id: string, action: string): Promise<number> {
  const filters = encodeURIComponent(JSON.stringify({ container: [id], event: [action] }))
  const now = epoch() / 1000
  const path = `/v1.41/events?since=${Math.floor(now) - 60}&until=${Math.ceil(now)}&filters=${filters}`
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: `/proc/${node.pid}/root/run/docker.sock`, path }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', part => {
        text += part
      })
      answer.on('end', () => resolve(Number(/"timeNano":(\d+)\D*$/.exec(text.trim())?.[1]) / 1e6))
    })
    call.on('error', reject)
    call.end()
  })
}

/** Boots node1 with an Engine and `count` containers labelled `app=web`, then starts the agent. */
export async function dockerNode(count: number, limit: number): Promise<DockerNode & { containers: number }> {
  const [node] = await startNodes(1)
  if (!node) throw new Error('no node')
  const containers = await runContainers(node, count, limit)
  const agent = await node.startAgent()
  return { node, agent, agentPid: processWith('dist/src/cli/meshd.js'), containers }
}

/** Starts containers, two at a time, until there are `count` or `limit` seconds are over; how many there are. */
async function runContainers(node: Node, count: number, limit: number): Promise<number> {
  const end = performance.now() + limit * 1000
  let running = 0
  let next = 0
  const work = async () => {
    while (next < count && performance.now() < end) {
      await node.docker.runContainer({ name: `web${next++}`, labels: { app: 'web' } })
      running++
    }
  }
  await Promise.all([work(), work()])
  return running
}

/** Processor time of a process and the programs it starts from now on, by a cgroup of their own; microseconds. */
export function meter(node: Node, pid: number): () => number {
  const group = `/sys/fs/cgroup/${node.name}/meter`
  mkdirSync(group)
  writeFileSync(`${group}/cgroup.procs`, String(pid))
  return () => Number(/^usage_usec (\d+)/m.exec(readFileSync(`${group}/cpu.stat`, 'utf8'))?.[1])
}
