/**
 * What of the tunnel nobody tells of: how much it carries, and whether what comes through
 * it is whole. Looked at before each full pass.
 */
import type { Logger } from 'pino'
import { reasonOf } from '../errors.js'
import { ChecksumWatch, readChecksumErrors } from '../health/checksums.js'
import type { Loop } from './loop.js'

export interface TunnelOptions {
  readonly loop: Loop
  /** Path of the sandbox. */
  readonly sandbox: string
  /** Largest packet that it carries now, bytes. */
  readonly mtu: () => Promise<number>
  readonly log: Logger
}

export class Tunnel {
  /** Packets with a wrong checksum that came to the sandbox since it was made. */
  damaged = 0
  private readonly checksums = new ChecksumWatch()

  async look({ loop, sandbox, mtu, log }: TunnelOptions): Promise<void> {
    const tell = (subject: string, message: string | null) => {
      if (loop.troubles.set(subject, message) && message) log.error(message)
    }
    try {
      loop.collected.putTunnelMtu(await mtu())
      tell('underlay', null)
    } catch (error) {
      tell('underlay', reasonOf(error))
    }
    try {
      this.damaged = readChecksumErrors(sandbox)
    } catch {
      return // there is no sandbox yet, or none any more; the pass makes one
    }
    const lately = this.checksums.look(this.damaged, performance.now() / 1000)
    tell('checksums', lately === 0 ? null : damage)
  }
}

const damage =
  'packets with wrong checksums come through the tunnel: the network card or hypervisor of another node does not sum them up right; ' +
  'on the node that, by `meshctl status`, hears nothing from others, run `ip netns exec mesh ethtool -K mesh-vxlan tx off`, ' +
  'or for good `ethtool -K LINK tx-checksum-ip-generic off` for the link between nodes'
