/**
 * Which addresses other nodes answer for.
 */
import type { RemoteContainer } from '../model/cluster.js'
import { differences } from '../model/differences.js'
import type { Inputs } from './pass.js'

/** Mesh addresses that other nodes answer for; there may be a hundred thousand, and mostly nobody asks. */
export class RemoteAddresses {
  private containers: readonly RemoteContainer[] = []
  /** How many containers have it. */
  private readonly counts = new Map<string, number>()

  has(address: string, { remote = [], hosts = [] }: Inputs): boolean {
    if (remote !== this.containers) {
      const { gone, come } = differences(this.containers, remote)
      for (const each of gone) this.count(each.address, -1)
      for (const each of come) this.count(each.address, 1)
      this.containers = remote
    }
    return (
      this.counts.has(address) ||
      hosts.some(({ meshAddress, state }) => state !== null && meshAddress === address)
    )
  }

  private count(address: string, more: number): void {
    const count = (this.counts.get(address) ?? 0) + more
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}
