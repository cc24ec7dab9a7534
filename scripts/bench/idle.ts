/**
 * What the agent costs when nothing happens: processor time, with that of the
 * programs it starts, and memory.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../../test/helpers/wait.js'
import { dockerNode, meter } from './docker-node.js'
import type { Options } from './parts.js'
import type { Section } from './report.js'

/** Most memory, MB, and most of one processor, %. */
const goals = { memory: 90, cpu: 0.5 }

/** A figure of /proc/PID/status, MB. */
function megabytes(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return (Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024) / 1e6
}

export async function idle({ quick }: Options): Promise<Section[]> {
  const count = quick ? 3 : 20
  const seconds = quick ? 10 : 60
  const rounds = quick ? 1 : 3
  const { node, agentPid, containers } = await dockerNode(count, 120)
  for (let i = 0; i < count; i++) {
    const { status, stderr } = await node.meshctl('publish', `${9000 + i}:80`, `web${i}`)
    if (status !== 0) throw new Error(stderr)
  }
  await waitFor(
    async () => {
      const { stdout } = await node.exec('ip', 'netns', 'exec', 'mesh', 'ipvsadm', '-Ln')
      // Each by its published port, and by the VIP.
      return stdout.split('Masq').length - 1 === 2 * containers
    },
    'all destinations',
    60,
  )
  await sleep(5000)
  const used = meter(node, agentPid)
  const spent: number[] = []
  for (let round = 0; round < rounds; round++) {
    const before = used()
    await sleep(seconds * 1000)
    spent.push((used() - before) / 1000)
  }
  return [
    {
      title: `The agent idle for ${seconds} s, ${containers} containers, ${count} services`,
      rows: [
        { name: 'processor time, its programs included', unit: 'ms', samples: spent },
        { name: 'of one processor', unit: '%', samples: spent.map(ms => ms / seconds / 10), goal: goals.cpu },
        { name: 'memory (RSS)', unit: 'MB', samples: [megabytes(agentPid, 'VmRSS')], goal: goals.memory },
        { name: 'most memory so far', unit: 'MB', samples: [megabytes(agentPid, 'VmHWM')] },
      ],
      remarks: [
        'One minute after the other: the first has to clear up what the beginning has left. The lab counts processor time in steps of 10 ms.',
      ],
    },
  ]
}
