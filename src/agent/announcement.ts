/**
 * What this node tells the others: each container of its own that answers for a
 * service, with its mesh address and its state.
 */

import type { Mesh } from '../model/mesh.js'
import { nodeAddress } from '../planner/addresses.js'
import type { Reconciler } from '../reconcile/reconcile.js'
import type { OwnContainer } from '../store/cluster.js'
import type { Collected } from './inputs.js'

/**
 * `mesh`: the one in force, or the next. Left out are containers that wait to be started, and
 * those that are not attached yet in the mesh in force: others could not reach them.
 */
export function announcement(mesh: Mesh, reconciler: Reconciler, collected: Collected): OwnContainer[] {
  const attached = new Map(reconciler.mesh.attachments.map(({ id, pid }) => [id, pid]))
  const next = new Map(mesh.attachments.map(({ id, pid }) => [id, pid]))
  const { subnet } = collected.own
  const containers = new Map(collected.containers.containers.map(each => [each.id, each]))
  const own = new Map<string, OwnContainer>()
  for (const { endpoints } of mesh.services)
    for (const { id, kind, attachment, state } of endpoints) {
      // Most endpoints of a large mesh are elsewhere.
      if (kind === 'remote' || kind === 'external') continue
      const container = containers.get(id)
      if (!container || container.state === 'created' || own.has(id)) continue
      if (attachment && attached.get(attachment) !== next.get(attachment)) continue
      const address = kind === 'node' ? nodeAddress(subnet) : attachment && reconciler.addressOf(attachment)
      if (address) own.set(id, { id, name: container.name, labels: container.labels, address, state })
    }
  return [...own.values()]
}
