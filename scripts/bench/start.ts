/**
 * A container starts under a real Engine: from the time Docker stamps on its `start`
 * event to the destination in the sandbox's own table, with the agent as it ships.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { runInNamespace } from '../../src/netlink/addon.js'
import { waitFor } from '../../test/helpers/wait.js'
import { dockerNode, epoch, eventTime } from './docker-node.js'
import type { Options } from './parts.js'
import type { Section } from './report.js'

/** The sandbox's IPVS table: the file stays open, since it belongs to the namespace it was opened in. */
class Table {
  private readonly descriptor: number
  private readonly buffer = Buffer.alloc(1 << 16)

  constructor(sandbox: string) {
    this.descriptor = runInNamespace(sandbox, () => openSync('/proc/thread-self/net/ip_vs', 'r'))
  }

  /** How many destinations it holds. */
  get destinations(): number {
    let text = ''
    for (let at = 0; ; ) {
      const length = readSync(this.descriptor, this.buffer, 0, this.buffer.length, at)
      if (length === 0) break
      text += this.buffer.toString('latin1', 0, length)
      at += length
    }
    return text.split('\n  -> ').length - 2 // one is the heading's
  }

  close(): void {
    closeSync(this.descriptor)
  }
}

export async function start({ quick }: Options): Promise<Section[]> {
  const repeats = quick ? 5 : 20
  const { node, containers } = await dockerNode(quick ? 5 : 100, 300)
  const { Id: id } = await node.docker.call<{ Id: string }>('POST', '/containers/create?name=one', {
    Image: 'mesh-test:1',
    Labels: { app: 'web' },
  })
  const published = await node.meshctl(
    'publish',
    '8888:80',
    'web',
    '--selector',
    'app=web',
    '--drain',
    '0s',
    '--vip',
    'none',
  )
  if (published.status !== 0) throw new Error(published.stderr)
  const table = new Table(`/proc/${node.pid}/root/run/netns/mesh`)
  await waitFor(() => table.destinations === containers, 'all destinations', 60)

  const latencies: number[] = []
  const gaps: number[] = []
  for (let i = -1; i < repeats; i++) {
    let last = epoch()
    let appeared = 0
    let ended = false
    const starting = node.docker.container(id, 'start')
    const watching = (async () => {
      while (appeared === 0 && !ended) {
        await sleep(1)
        const at = epoch()
        if (table.destinations > containers) {
          appeared = at
          if (i >= 0) gaps.push(at - last)
        }
        last = at
      }
    })()
    await starting
    const late = setTimeout(() => {
      ended = true
    }, 20_000)
    await watching
    clearTimeout(late)
    if (appeared === 0) throw new Error('the destination never came')
    const stamp = await eventTime(node, id, 'start')
    if (i >= 0) latencies.push(appeared - stamp)
    await node.docker.container(id, 'kill')
    await waitFor(() => table.destinations === containers, 'the end of the destination', 20)
    await sleep(1000)
  }
  table.close()
  return [
    {
      title: `From Docker's start event to the destination, ${containers} other containers running`,
      rows: [
        { name: 'event → destination', unit: 'ms', samples: latencies, goal: 50 },
        { name: 'look at the table every', unit: 'ms', samples: gaps },
      ],
      remarks: [
        'The Engine, containerd, runc, the agent and this bench share one CPU here, and a system call takes ten times its usual time.',
      ],
    },
  ]
}
