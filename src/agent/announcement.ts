/**
 * What this node tells the others: each container of its own that answers for a
 * service, with its mesh address and its state.
 */

import { nodeAddress } from '../planner/addresses.js'
import type { Reconciler } from '../reconcile/reconcile.js'
import type { OwnContainer } from '../store/cluster.js'
import type { Collected } from './inputs.js'

export function announcement(reconciler: Reconciler, collected: Collected): OwnContainer[] {
  const { subnet } = collected.own
  const containers = new Map(collected.containers.containers.map(each => [each.id, each]))
  const own = new Map<string, OwnContainer>()
  for (const { endpoints } of reconciler.mesh.services)
    for (const { id, kind, attachment, state } of endpoints) {
      // Most endpoints of a large mesh are elsewhere.
      if (kind === 'remote' || kind === 'external') continue
      const container = containers.get(id)
      if (!container || own.has(id)) continue
      const address = kind === 'node' ? nodeAddress(subnet) : attachment && reconciler.addressOf(attachment)
      if (address) own.set(id, { id, name: container.name, labels: container.labels, address, state })
    }
  return [...own.values()]
}
