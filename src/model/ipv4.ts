/**
 * IPv4 addresses as numbers, and subnets as ranges of them. Pure.
 */

/** `10.254.0.1` → 184418305. */
export function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

/** The address `numberOf` reads. */
export function addressOf(number: number): string {
  return [24, 16, 8, 0].map(shift => Math.floor(number / 2 ** shift) % 256).join('.')
}

/** A subnet's first address, as a number, and how many there are: `10.254.0.0/16` has 65536. */
export function spanOf(subnet: string): { readonly first: number; readonly size: number } {
  const [first = '', prefix = ''] = subnet.split('/')
  return { first: numberOf(first), size: 2 ** (32 - Number(prefix)) }
}

/** How far into the subnet the address lies, from 0; null: not within. */
export function offsetIn(subnet: string, address: string): number | null {
  const { first, size } = spanOf(subnet)
  const offset = numberOf(address) - first
  return offset >= 0 && offset < size ? offset : null
}

/** Whether two subnets share an address. */
export function sharesAddress(a: string, b: string): boolean {
  const one = spanOf(a)
  const other = spanOf(b)
  return one.first < other.first + other.size && other.first < one.first + one.size
}
