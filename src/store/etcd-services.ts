/**
 * Services as keys of etcd: `PREFIX/services/NAME` holds one service, and the marker
 * `PREFIX/services` is written with every change of any. Pure.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { MeshError } from '../errors.js'
import { formatRange, overlaps, type PublishedPort } from '../model/ports.js'
import type { Service } from '../model/service.js'
import {
  type Compare,
  type KeyValue,
  noneNewer,
  type Operation,
  put,
  remove,
  unchanged,
} from './etcd-wire.js'
import { issueOf, serviceForm } from './service-form.js'
import type { Fence } from './store.js'

/** Version of the form; raised when an older meshd could misread a newer one's keys. */
const formVersion = 1

const marker = z.looseObject({ version: z.int().min(1), change: z.string().optional() })

/** What stands under the marker and its services at one revision. */
export interface StoredServices {
  /** Sorted by name. */
  readonly services: readonly Service[]
  /** Key → what is wrong with it. Left alone and left out. */
  readonly damaged: ReadonlyMap<string, string>
  /** Id of the change that was written last; null: none ever was. */
  readonly change: string | null
}

export function servicesKey(prefix: string): string {
  return `${prefix}services`
}

/** The first key after marker and services. */
export function servicesEnd(prefix: string): string {
  return `${prefix}services0` // '0' follows '/'
}

export function isOfServices(prefix: string, key: string): boolean {
  return key === servicesKey(prefix) || key.startsWith(`${prefix}services/`)
}

/**
 * Reads keys; others than those of services are passed over. `former` has the service
 * each key stood for when it was last read, so that unchanged ones keep their identity.
 * Throws MESH_STORE if a newer version wrote them.
 */
export function readServices(
  prefix: string,
  entries: Iterable<KeyValue>,
  former = new WeakMap<KeyValue, Service>(),
): StoredServices {
  const services: Service[] = []
  const damaged = new Map<string, string>()
  let change: string | null = null
  for (const entry of entries) {
    if (entry.key === servicesKey(prefix)) {
      const head = marker.safeParse(jsonOf(entry.value))
      if (head.success && head.data.version > formVersion)
        throw new MeshError(
          'MESH_STORE',
          `services in etcd are of format ${head.data.version}, written by a newer meshd, and this one reads ` +
            `format ${formVersion}; run that version on every node`,
        )
      change = head.data?.change ?? ''
    } else if (entry.key.startsWith(`${prefix}services/`)) {
      const known = former.get(entry)
      const parsed = known
        ? { success: true as const, data: known }
        : serviceForm.safeParse(jsonOf(entry.value))
      if (!parsed.success) damaged.set(entry.key, issueOf(parsed.error))
      else if (entry.key !== keyOf(prefix, parsed.data.name))
        damaged.set(entry.key, 'name: not that of its key')
      else {
        former.set(entry, parsed.data)
        services.push(parsed.data)
      }
    }
  }
  return { services: services.sort(byName), damaged, change }
}

/**
 * The transaction from `before`, as read at `revision`, to `after`; null when they are
 * the same. It fails if anybody wrote or removed a service since (a removal through the
 * mesh writes the marker), or if the role of `fence` changed hands. Throws MESH_PORT_TAKEN,
 * MESH_VIP_TAKEN or MESH_STORE for a result that must not be.
 */
export function changeOf(
  prefix: string,
  before: readonly Service[],
  after: readonly Service[],
  revision: number,
  change: string,
  fence: Fence | null = null,
): { readonly conditions: Compare[]; readonly operations: Operation[] } | null {
  const former = new Map(before.map(service => [service.name, service]))
  const next = new Map(after.map(service => [service.name, service]))
  if (next.size < after.length) throw new MeshError('MESH_STORE', 'write services: a name is there twice')
  const changed = after.filter(service => !isDeepStrictEqual(former.get(service.name), service))
  const gone = before.filter(({ name }) => !next.has(name))
  if (changed.length + gone.length === 0) return null
  for (const service of changed) checkChanged(service, after)
  return {
    conditions: [
      noneNewer(servicesKey(prefix), servicesEnd(prefix), revision),
      ...(fence ? [unchanged(fence.key, fence.revision)] : []),
    ],
    operations: [
      put(servicesKey(prefix), JSON.stringify({ version: formVersion, change })),
      ...changed.map(service => put(keyOf(prefix, service.name), JSON.stringify(service))),
      ...gone.map(({ name }) => remove(keyOf(prefix, name))),
    ],
  }
}

/** What could not be read back, and what would take another service's port or VIP, must not be written. */
function checkChanged(service: Service, all: readonly Service[]): void {
  const parsed = serviceForm.safeParse(service)
  if (!parsed.success)
    throw new MeshError('MESH_STORE', `write service ${service.name}: ${issueOf(parsed.error)}`)
  const owner = all.find(other => other !== service && other.vip !== null && other.vip === service.vip)
  if (owner)
    throw new MeshError(
      'MESH_VIP_TAKEN',
      `give ${service.name} the VIP ${service.vip}: service ${owner.name} has it`,
    )
  for (const [index, port] of service.ports.entries())
    for (const other of all) {
      const held = (other === service ? service.ports.slice(0, index) : other.ports).find(each =>
        clash(each, port),
      )
      if (held)
        throw new MeshError(
          'MESH_PORT_TAKEN',
          `publish ${formatRange(port.published)}/${port.protocol}: service ${other.name} publishes it`,
        )
    }
}

function clash(a: PublishedPort, b: PublishedPort): boolean {
  return a.protocol === b.protocol && overlaps(a.published, b.published)
}

function keyOf(prefix: string, name: string): string {
  return `${prefix}services/${name}`
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function byName(a: Service, b: Service): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
