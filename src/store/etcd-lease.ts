/**
 * Keeps one lease of etcd alive, and says when it is lost. What hangs on the lease
 * vanishes for everybody when this process dies or is cut off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf } from '../errors.js'
import type { EtcdClient } from './etcd-client.js'

/** Renewals within the time of one lease: so many may fail before it is lost. */
const renewals = 4

export class EtcdLease {
  readonly id: string
  readonly #client: EtcdClient
  readonly #gap: number
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  #renewedAt = performance.now()

  private constructor(client: EtcdClient, id: string, seconds: number, onLost: (lease: EtcdLease) => void) {
    this.id = id
    this.#client = client
    this.#gap = (seconds * 1000) / renewals
    this.#running = this.#keep(onLost)
  }

  /**
   * `seconds` is what is asked for; etcd may give longer. `onLost` is called once, when
   * the lease turns out to be gone: run out while etcd was out of reach, or revoked.
   */
  static async take(
    client: EtcdClient,
    seconds: number,
    onLost: (lease: EtcdLease) => void,
  ): Promise<EtcdLease> {
    const granted = await client.grant(seconds)
    return new EtcdLease(client, granted.id, granted.seconds, onLost)
  }

  /** When the last successful renewal was asked for, by performance.now(). */
  get renewedAt(): number {
    return this.#renewedAt
  }

  /** Renews it no more: it runs out in its own time. */
  async release(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** Ends it and what hangs on it now; where that cannot be done it runs out by itself. */
  async revoke(): Promise<void> {
    await this.release()
    await this.#client.revoke(this.id).catch(reasonOf)
  }

  async #keep(onLost: (lease: EtcdLease) => void): Promise<void> {
    const { signal } = this.#stop
    for (;;) {
      await sleep(this.#gap, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const asked = performance.now()
      // A failure is the replica's to tell. Trying goes on at the same pace: when etcd is back, each moment counts.
      const rest = await this.#client
        .keepAlive(this.id, { attempt: Math.max(300, this.#gap), total: this.#gap * renewals })
        .catch(() => null)
      if (signal.aborted) return
      if (rest === 0) {
        onLost(this)
        return
      }
      if (rest !== null) this.#renewedAt = asked
    }
  }
}
