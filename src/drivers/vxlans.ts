/**
 * Making, repairing and removing VXLAN devices, for links.ts. The kernel is asked in
 * the host's namespace, where the device's socket stays, and puts the device into the
 * sandbox in the same message: it is never seen in the host.
 */
import { closeSync } from 'node:fs'
import { MeshError, NetlinkError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import { isRemade } from '../kernel/diff.js'
import type { Places } from '../kernel/driver.js'
import type { Place, VxlanObject } from '../kernel/objects.js'
import { addVxlan, deleteLink, listLinks, setLink } from '../netlink/link.js'
import type { Request } from '../netlink/message.js'
import { ownVxlans } from './overlay-objects.js'
import { groupByPlace, type Outcomes } from './places.js'
import { loadModule } from './programs.js'
import { openNamespace, type Sockets } from './sockets.js'

/** Makes new devices and repairs changed ones. Failures go into `outcomes`. */
export async function makeVxlans(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  outcomes: Outcomes,
): Promise<void> {
  for (const change of changes) {
    const vxlan = change.object as VxlanObject
    const making =
      change.type === 'update' && !isRemade(vxlan, change.from)
        ? adjust(vxlan, change.from as VxlanObject, sockets, places)
        : replace(vxlan, sockets, places)
    await making.catch(error => outcomes.fail(change, explain(error, vxlan)))
  }
}

/** Sends requests into a place; throws the first error but those of `passing`. */
async function send(
  sockets: Sockets,
  places: Places,
  place: Place,
  requests: readonly Request[],
  passing: readonly string[] = [],
): Promise<void> {
  const errors = await sockets.use('route', places, place, connection => connection.request(requests))
  for (const error of errors) if (error && !passing.includes(error.errnoName)) throw error
}

/** A MAC that is set costs the device its neighbours, even the same one. */
async function adjust(
  vxlan: VxlanObject,
  from: VxlanObject,
  sockets: Sockets,
  places: Places,
): Promise<void> {
  const { name, place, mtu, mac } = vxlan
  const change = { up: true, mtu, ...(mac === from.mac ? {} : { hardwareAddress: mac }) }
  await send(sockets, places, place, [setLink(name, change)])
}

/** Makes the device; what is in its way goes, and a kernel that knows no VXLAN is taught. */
async function replace(vxlan: VxlanObject, sockets: Sockets, places: Places): Promise<void> {
  try {
    await create(vxlan, sockets, places)
  } catch (error) {
    if (hasErrno(error, 'EEXIST', 'EADDRINUSE')) await clearWay(vxlan, sockets, places)
    else if (!hasErrno(error, 'EOPNOTSUPP') || !(await loadModule('vxlan'))) throw error
    await create(vxlan, sockets, places)
  }
}

async function create(vxlan: VxlanObject, sockets: Sockets, places: Places): Promise<void> {
  const namespace = openNamespace(places, vxlan.place)
  try {
    await send(sockets, places, 'host', [addVxlan({ ...vxlan, namespace })])
  } finally {
    closeSync(namespace)
  }
}

/**
 * Removes the former device of the name, those of ours that hold the VNI or the port,
 * and a stray one in the host.
 */
async function clearWay(vxlan: VxlanObject, sockets: Sockets, places: Places): Promise<void> {
  for (const place of ['mesh', 'host'] as const) {
    await sockets.use('route', places, place, async connection => {
      const own = ownVxlans(place, await connection.dump(listLinks()))
      const blocking = own.filter(
        link => place === 'host' || link.vxlan?.vni === vxlan.vni || link.vxlan?.port === vxlan.port,
      )
      await connection.request(blocking.map(({ index }) => deleteLink(index)))
    })
  }
  // in the sandbox nobody else's link may bear the name; in the host it may
  await send(sockets, places, vxlan.place, [deleteLink(vxlan.name)], ['ENODEV'])
}

function hasErrno(error: unknown, ...names: string[]): error is NetlinkError {
  return error instanceof NetlinkError && names.includes(error.errnoName)
}

/** What an errno means here and what can be done. */
function explain(error: unknown, { vni, port }: VxlanObject): unknown {
  if (hasErrno(error, 'EADDRINUSE'))
    return new MeshError(
      'MESH_UNSUPPORTED',
      `${error.message}: UDP port ${port} of this host is taken by another socket, or by VXLAN devices without group policy; choose another port for the mesh`,
      { cause: error },
    )
  if (hasErrno(error, 'EEXIST'))
    return new MeshError(
      'MESH_UNSUPPORTED',
      `${error.message}: a link of somebody else's has that name in the host, or VNI ${vni} with UDP port ${port}; remove it, or choose another VNI for the mesh`,
      { cause: error },
    )
  if (hasErrno(error, 'EOPNOTSUPP'))
    return new MeshError(
      'MESH_UNSUPPORTED',
      `${error.message}: kernel without VXLAN: modprobe vxlan did not help; boot a kernel with CONFIG_VXLAN`,
      { cause: error },
    )
  return error
}

/** Removes devices, wherever they are. */
export async function removeVxlans(
  changes: readonly Change[],
  sockets: Sockets,
  places: Places,
  outcomes: Outcomes,
): Promise<void> {
  for (const [place, own] of groupByPlace(changes)) {
    try {
      const requests = own.map(change => deleteLink((change.object as VxlanObject).name))
      const errors = await sockets.use('route', places, place, connection => connection.request(requests))
      for (const [i, error] of errors.entries())
        if (error && error.errnoName !== 'ENODEV') outcomes.fail(own[i]!, error)
    } catch (error) {
      outcomes.failAll(own, error)
    }
  }
}
