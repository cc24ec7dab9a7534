/**
 * Mesh addresses of one node: who has which address of the node's subnet. Pure;
 * what was handed out before comes from the kernel's own routes.
 */
import { Address4 } from 'ip-address'

/** Numbers within a node's subnet that are not handed out. */
const sandboxOffset = 1
const nodeOffset = 2

function addressAt(subnet: Address4, offset: number): string {
  return Address4.fromBigInt(subnet.startAddress().bigInt() + BigInt(offset)).correctForm()
}

/** The sandbox's own address, `.1`. */
export function sandboxAddress(subnet: string): string {
  return addressAt(new Address4(subnet), sandboxOffset)
}

/** The node's own address on the mesh, `.2`. */
export function nodeAddress(subnet: string): string {
  return addressAt(new Address4(subnet), nodeOffset)
}

/** Whether an address lies in a subnet: `10.254.0.5` in `10.254.0.0/16`. */
export function isInSubnet(address: string, subnet: string): boolean {
  return new Address4(address).isInSubnet(new Address4(subnet))
}

/** How many addresses a subnet has for endpoints. */
export function capacityOf(subnet: string): number {
  return 2 ** (32 - new Address4(subnet).subnetMask) - 1 - (nodeOffset + 1)
}

/**
 * Hands out addresses by attachment id and keeps them while the attachment lives.
 * A released address is the last to be used again, since connections to it may
 * still be on their way.
 */
export class AddressBook {
  private readonly subnet: Address4
  private readonly last: number
  private readonly byId = new Map<string, string>()
  private readonly taken = new Set<string>()
  private next = nodeOffset + 1

  constructor(subnet: string) {
    this.subnet = new Address4(subnet)
    this.last = nodeOffset + capacityOf(subnet)
  }

  /** The address of an attachment; null when the subnet is exhausted. */
  assign(id: string): string | null {
    const has = this.byId.get(id)
    if (has) return has
    for (let tries = nodeOffset; tries < this.last; tries++) {
      const address = addressAt(this.subnet, this.next)
      this.next = this.next === this.last ? nodeOffset + 1 : this.next + 1
      if (this.taken.has(address)) continue
      this.claim(id, address)
      return address
    }
    return null
  }

  /** Records what the kernel already holds. Addresses outside the subnet are ignored. */
  claim(id: string, address: string): void {
    if (!new Address4(address).isInSubnet(this.subnet) || this.taken.has(address)) return
    this.byId.set(id, address)
    this.taken.add(address)
    const offset = Number(new Address4(address).bigInt() - this.subnet.startAddress().bigInt())
    if (offset >= this.next) this.next = offset >= this.last ? nodeOffset + 1 : offset + 1
  }

  get(id: string): string | undefined {
    return this.byId.get(id)
  }

  /** Whose address this is. */
  ownerOf(address: string): string | undefined {
    for (const [id, has] of this.byId) if (has === address) return id
    return undefined
  }

  /** Releases every address whose attachment is not in `living`. */
  keepOnly(living: ReadonlySet<string>): void {
    for (const [id, address] of this.byId) {
      if (living.has(id)) continue
      this.byId.delete(id)
      this.taken.delete(address)
    }
  }
}
