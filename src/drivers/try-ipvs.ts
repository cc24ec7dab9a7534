/**
 * What this kernel's IPVS can do, asked before anything depends on it: in a namespace
 * made for the question, which ends with the answer.
 */
import { MeshError, NetlinkError } from '../errors.js'
import type { Driver, Places } from '../kernel/driver.js'
import { byFwmark, type VirtualServiceObject } from '../kernel/objects.js'
import { createNamespace, removeNamespace } from '../netlink/addon.js'
import { createIpvsDriver } from './ipvs.js'
import { Sockets } from './sockets.js'

let asked = 0

async function ask<Answer>(question: (driver: Driver, places: Places) => Promise<Answer>): Promise<Answer> {
  const path = `/run/netns/mesh-try-${process.pid}-${++asked}`
  const sockets = new Sockets()
  createNamespace(path)
  try {
    return await question(createIpvsDriver(sockets), new Map([['mesh', path]]))
  } finally {
    sockets.close()
    removeNamespace(path)
  }
}

/** Throws MESH_UNSUPPORTED when the kernel has no IPVS. */
export async function requireIpvs(): Promise<void> {
  await ask((driver, places) => driver.observe(places))
}

/** Throws MESH_UNSUPPORTED when the kernel has no scheduler of that name. Most are modules, and no list names them. */
export async function requireScheduler(scheduler: string): Promise<void> {
  const object: VirtualServiceObject = {
    kind: 'virtualService',
    match: byFwmark(1),
    scheduler,
    persistence: 0,
  }
  const [outcome] = await ask((driver, places) => driver.apply([{ type: 'add', object }], places))
  const error = outcome?.error
  // What ENOENT means here is in ipvs.ts; of the virtual service that was tried nobody wants to hear.
  if (error?.cause instanceof NetlinkError && error.cause.errnoName === 'ENOENT')
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `the kernel's IPVS has no scheduler ${scheduler}; modprobe ip_vs_${scheduler}, or choose another`,
      { cause: error },
    )
  if (error) throw error
}
