/**
 * Whether the other nodes can be reached, found out where it matters: through the
 * tunnel, from sandbox to sandbox. A TCP connection to a port where nobody listens is
 * refused by the other node's kernel, whether or not an agent runs there; nothing comes
 * back from a node that is dead or cut off, whatever the store believes.
 *
 * What counts is probes without an answer, not time: an agent that was held up itself
 * has sent none, and suspects nobody.
 */
import { Socket } from 'node:net'
import type { Reach } from '../model/cluster.js'
import { openSocket } from '../netlink/addon.js'

export interface Peer {
  /** Name of the node. */
  readonly name: string
  /** IPv4 address of its sandbox. */
  readonly address: string
}

export interface PeerWatchOptions {
  /** Path of this node's sandbox. */
  readonly sandbox: string
  readonly onChange: () => void
}

/** Between two probes of a node that is in doubt, milliseconds. */
const gap = 250
/** So many nodes that are not in doubt are probed at a time; with more of them each has to wait its turn. */
const atOnce = 25
/** Probes in a row without an answer: 1 s, and 5 s. */
const quietAfter = 4
const lostAfter = 20
/** tcpmux: the sandbox has no listener, and the mesh publishes what comes in by the host's link alone. */
const closedPort = 1

interface Watched extends Peer {
  unanswered: number
  reach: Reach
}

export class PeerWatch {
  private readonly options: PeerWatchOptions
  private peers = new Map<string, Watched>()
  private turn = 0
  private timer: NodeJS.Timeout | null = null

  constructor(options: PeerWatchOptions) {
    this.options = options
  }

  /** From now on these; what is known of those that were watched before is kept. */
  watch(peers: readonly Peer[]): void {
    const before = this.peers
    this.peers = new Map(
      peers.map(({ name, address }) => {
        const known = before.get(name)
        if (known?.address === address) return [name, known]
        return [name, { name, address, unanswered: 0, reach: 'reached' }]
      }),
    )
    if (this.peers.size > 0) this.timer ??= setInterval(() => this.tick(), gap)
    else this.stop()
  }

  /** A node of which nothing is known yet is taken for reached, like one that is not watched. */
  reachOf(name: string): Reach {
    return this.peers.get(name)?.reach ?? 'reached'
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer)
    this.timer = null
  }

  private tick(): void {
    const all = [...this.peers.values()]
    const sure = all.filter(({ unanswered }) => unanswered === 0)
    const due = all.filter(({ unanswered }) => unanswered > 0)
    for (let i = 0; i < Math.min(atOnce, sure.length); i++) due.push(sure[this.turn++ % sure.length]!)
    let changed = false
    for (const peer of due) {
      changed = this.judge(peer) || changed
      this.probe(peer)
    }
    if (changed) this.options.onChange()
  }

  /** Whether that is news. */
  private judge(peer: Watched): boolean {
    const { unanswered, reach } = peer
    peer.reach = unanswered >= lostAfter ? 'lost' : unanswered >= quietAfter ? 'quiet' : 'reached'
    return peer.reach !== reach
  }

  private probe(peer: Watched): void {
    let descriptor: number
    try {
      descriptor = openSocket('tcp', null, 0, this.options.sandbox)
    } catch {
      return // without a sandbox of our own nothing is learnt about others
    }
    peer.unanswered++
    const socket = new Socket({ fd: descriptor })
    socket.setTimeout(gap * lostAfter, () => socket.destroy())
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code !== 'ECONNREFUSED') return
      peer.unanswered = 0
      if (this.judge(peer)) this.options.onChange()
    })
    socket.connect(closedPort, peer.address, () => socket.destroy())
    socket.unref()
  }
}
