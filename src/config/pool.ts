/**
 * Arithmetic on the pools of mesh addresses. Pure.
 */
import { Address4, Address6 } from 'ip-address'
import { InputError } from '../errors.js'

/** An address of this host on one of its links. */
export interface HostAddress {
  readonly link: string
  /** With its prefix length: `192.168.1.5/24`. */
  readonly address: string
}

/**
 * Refuses a pool that shares addresses with a network this host is on: machines
 * there could no longer be reached. `ownLink`, the mesh's own, is left out of it.
 * `setting` is the one that named the pool. Throws InputError.
 */
export function checkPool(
  pool: string,
  addresses: readonly HostAddress[],
  ownLink: string,
  setting = 'pool',
): void {
  const isSix = pool.includes(':')
  for (const { link, address } of addresses) {
    if (link === ownLink || address.includes(':') !== isSix) continue
    if (overlap(pool, address))
      throw new InputError(
        setting,
        pool,
        `it overlaps ${address} on this host's link ${link}`,
        `choose a subnet that is used nowhere on your network, as in ${isSix ? 'fd4d:6573:ff::/96' : '10.201.0.0/16'}, with --${setting}`,
      )
  }
}

/** Whether two subnets of one family share an address. */
export function overlap(some: string, others: string): boolean {
  const [a, b] = [some, others].map(text => (text.includes(':') ? new Address6(text) : new Address4(text)))
  return (
    a!.startAddress().bigInt() <= b!.endAddress().bigInt() &&
    b!.startAddress().bigInt() <= a!.endAddress().bigInt()
  )
}
