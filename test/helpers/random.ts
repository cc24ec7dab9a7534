/**
 * Pseudo-random numbers from a seed, so that a failing round of a test can be run again.
 */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  /** 0 … 2^32 − 1 (xorshift32). */
  u32(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return this.#state
  }

  /** least … most, both included. */
  between(least: number, most: number): number {
    return least + (this.u32() % (most - least + 1))
  }

  pick<T>(items: readonly T[]): T {
    return items[this.u32() % items.length] as T
  }

  /** Any but those that have several texts. */
  ipv6(): string {
    return `fd4d:${this.between(1, 9999)}::${this.between(1, 9999)}:${this.between(1, 9999)}`
  }

  ipv4(): string {
    return `${this.between(1, 223)}.${this.between(0, 255)}.${this.between(0, 255)}.${this.between(0, 255)}`
  }
}
