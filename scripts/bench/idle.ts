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

/** A figure of /proc/PID/status, KiB. */
function kibibytes(pid: number, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

export async function idle({ quick }: Options): Promise<Section[]> {
  const count = quick ? 3 : 20
  const seconds = quick ? 10 : 30
  const { node, agentPid, containers } = await dockerNode(count, 120)
  for (let i = 0; i < count; i++) {
    const { status, stderr } = await node.meshctl('publish', `${9000 + i}:80`, `web${i}`)
    if (status !== 0) throw new Error(stderr)
  }
  await waitFor(
    async () => {
      const { stdout } = await node.exec('ip', 'netns', 'exec', 'mesh', 'ipvsadm', '-Ln')
      return stdout.split('Masq').length - 1 === containers
    },
    'all destinations',
    30,
  )
  await sleep(5000)
  const used = meter(node, agentPid)
  const before = used()
  await sleep(seconds * 1000)
  const spent = (used() - before) / 1000
  return [
    {
      title: `The agent idle for ${seconds} s, ${containers} containers, ${count} services`,
      rows: [
        { name: 'processor time, its programs included', unit: 'ms', samples: [spent] },
        { name: 'of one processor', unit: '%', samples: [spent / seconds / 10] },
        { name: 'memory (RSS)', unit: 'MiB', samples: [kibibytes(agentPid, 'VmRSS') / 1024] },
        { name: 'most memory so far', unit: 'MiB', samples: [kibibytes(agentPid, 'VmHWM') / 1024] },
      ],
    },
  ]
}
