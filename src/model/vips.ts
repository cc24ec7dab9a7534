/**
 * Service VIPs: what a person may ask for, and which address out of the pool a service
 * gets. Pure; called inside the store's transaction, where all services are known.
 */
import { InputError, MeshError } from '../errors.js'
import { addressOf, offsetIn, spanOf } from './ipv4.js'
import { isIPv4 } from './ports.js'
import type { Publication } from './publication.js'
import type { Service } from './service.js'

/** Place of the resolver's address in the pool; 0 is the network's own. */
const resolverOffset = 1
/** Places that no service gets: the network's own, the resolver's and the broadcast address. */
const kept = 3

/** The address at which every node's resolver answers: `10.253.0.1` of `10.253.0.0/16`. */
export function resolverAddress(pool: string): string {
  return addressOf(spanOf(pool).first + resolverOffset)
}

/** How many services a pool has VIPs for. */
export function vipsInPool(pool: string): number {
  return Math.max(0, spanOf(pool).size - kept)
}

/** What stands for a VIP at every door: `auto`, `none` or an IPv4 address. Throws InputError. */
export function parseVip(text: string, field = 'vip'): string {
  const word = text.trim()
  if (word === 'auto' || word === 'none' || isIPv4(word)) return word
  throw new InputError(
    field,
    text,
    'this is no VIP',
    'write auto, none, or an IPv4 address of the VIP pool, as in 10.253.1.3',
  )
}

/** Throws InputError unless a service may have the address: one of the pool that is not kept. */
export function checkVip(address: string, pool: string | null, field = 'vip'): void {
  if (pool === null) throw withoutVips(address, field)
  const offset = offsetIn(pool, address)
  if (offset === null)
    throw new InputError(
      field,
      address,
      `it is outside the VIP pool ${pool}`,
      'write auto, or an address of the pool',
    )
  const use = offset === resolverOffset ? "the resolver's own" : 'the first or last of the pool'
  if (offset <= resolverOffset || offset === spanOf(pool).size - 1)
    throw new InputError(
      field,
      address,
      `it is ${use}`,
      `write auto, or an address from ${addressOf(spanOf(pool).first + 2)} on`,
    )
}

/**
 * A free address of the pool: the one that the hash of the name points to, or else the
 * next free one behind it, so that a service that comes back mostly finds its own again.
 * `taken`: address → name of the service that has it. Throws MESH_VIP_TAKEN, with
 * counts, when there is none left.
 */
export function chooseVip(name: string, taken: ReadonlyMap<string, string>, pool: string): string {
  const { first } = spanOf(pool)
  const count = vipsInPool(pool)
  const start = count === 0 ? 0 : hashOf(name) % count
  for (let step = 0; step < count; step++) {
    const address = addressOf(first + 2 + ((start + step) % count))
    if (!taken.has(address)) return address
  }
  throw new MeshError('MESH_VIP_TAKEN', `choose a VIP for service ${name}: ${exhaustion(count, pool)}`)
}

/** What is to be said when all VIPs of the pool are taken. */
export function exhaustion(count: number, pool: string): string {
  return (
    `all ${count} addresses of the VIP pool ${pool} are taken; remove services that are no longer used, ` +
    'give some none (--ip none), or start every meshd with a larger --vip-pool'
  )
}

/** Address → name of the service that has it. */
export function vipsOf(services: Iterable<Pick<Service, 'name' | 'vip'>>): Map<string, string> {
  const taken = new Map<string, string>()
  for (const { name, vip } of services) if (vip !== null) taken.set(vip, name)
  return taken
}

/**
 * The VIP that a publication gets beside `services`, which may have one of its name: what it
 * replaces, whose VIP `auto` goes on with. null: none was asked for, the mesh has none, its
 * name stands for the endpoints themselves, or, for a service that is published besides,
 * the pool is exhausted: a published port needs no VIP. Throws InputError, and
 * MESH_VIP_TAKEN with the owner's name or with counts.
 */
export function settleVip(
  publication: Pick<Publication, 'name' | 'vip' | 'endpointMode' | 'ports'>,
  services: readonly Service[],
  pool: string | null,
): string | null {
  const { name, vip, endpointMode, ports } = publication
  if (vip === 'none') return null
  if (vip !== 'auto') {
    if (endpointMode === 'dnsrr')
      throw new InputError('vip', vip, 'a dnsrr service has none', 'write none, or endpoint mode vip')
    checkVip(vip, pool)
    const owner = services.find(each => each.vip === vip && each.name !== name)
    if (!owner) return vip
    throw new MeshError(
      'MESH_VIP_TAKEN',
      `give ${name} the VIP ${vip}: service ${owner.name} has it; write auto, or another address of the pool`,
    )
  }
  if (endpointMode === 'dnsrr') return null
  if (pool === null && ports.length === 0) throw withoutVips('auto')
  if (pool === null) return null
  const former = services.find(each => each.name === name)?.vip ?? null
  if (former !== null && offsetIn(pool, former) !== null) return former
  try {
    return chooseVip(name, vipsOf(services), pool)
  } catch (error) {
    if (ports.length > 0 && error instanceof MeshError && error.code === 'MESH_VIP_TAKEN') return null
    throw error
  }
}

function withoutVips(value: string, field = 'vip'): InputError {
  const remedy = 'write none and publish a port, or start every meshd with a --vip-pool'
  return new InputError(field, value, 'this mesh has no VIPs', remedy)
}

/** FNV-1a, 32 bits: the same for the same name on every node, for ever. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash
}
