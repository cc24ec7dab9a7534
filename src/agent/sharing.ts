/**
 * Where the wanted state is kept, and with whom it is shared: a file of this machine
 * alone, or an etcd that all nodes of a cluster use.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Settings } from '../config/table.js'
import type { Sockets } from '../drivers/sockets.js'
import { InputError, reasonOf } from '../errors.js'
import type { Places } from '../kernel/driver.js'
import type { KernelObject } from '../kernel/objects.js'
import { type NodeRecord, subnetOfNode } from '../model/cluster.js'
import type { Membership } from '../model/snapshot.js'
import { formerNumber } from '../planner/peers.js'
import type { Cluster } from '../store/cluster.js'
import { EmbeddedStore } from '../store/embedded.js'
import { openEtcd } from '../store/open-etcd.js'
import type { Store } from '../store/store.js'
import { tunnelMtu, underlay } from './underlay.js'

export interface Sharing {
  readonly store: Store
  /** null: this is the only node. */
  readonly cluster: Cluster | null
}

/** Between two attempts to join, milliseconds. */
const joinGap = 1000

/** Throws InputError when settings do not fit together. */
export function sharingOf(settings: Settings): Sharing {
  if (settings.store === 'embedded') return { store: new EmbeddedStore(settings.state), cluster: null }
  return openEtcd({
    endpoints: settings.etcdEndpoints,
    tls: { ca: settings.etcdCa, cert: settings.etcdCert, key: settings.etcdKey },
    user: settings.etcdUser,
    passwordFile: settings.etcdPasswordFile,
    prefix: settings.etcdPrefix,
    lease: settings.lease,
  })
}

/** A node's place in the cluster, as far as it does not change while the agent runs. */
export interface Place {
  readonly record: NodeRecord
  readonly membership: Omit<Membership, 'peers' | 'privateNetworks'>
}

export interface JoinOptions {
  readonly settings: Settings
  readonly sockets: Sockets
  readonly places: Places
  readonly log: Logger
  /** What the kernel has of the mesh. */
  readonly objects: Iterable<KernelObject>
  /** The place turns out to be another one than the kernel's, or is so from now on. */
  readonly onMoved: () => void
}

/**
 * Takes this node's place in the cluster. While the store is out of reach the place
 * is the one that the kernel still has from the agent before, so that a restart in an
 * outage can tell what is wrong; without one it tries until the store answers.
 * Throws InputError when the place is refused.
 */
export async function join(cluster: Cluster, options: JoinOptions): Promise<Place> {
  const { settings, sockets, places, log, objects, onMoved } = options
  const { address } = underlay(settings)
  const { nodeName: name, pool, nodePrefix, vipPool } = settings
  const ipv6 = settings.ipv6 ? { pool: settings.pool6, vipPool: vipPool && settings.vipPool6 } : null
  const claim = { name, address, pool, nodePrefix, vipPool, ipv6 }
  const { vni, vxlanPort: port } = settings
  const mtu = await tunnelMtu(settings, sockets, places)
  const placeOf = (record: NodeRecord): Place => ({
    record,
    membership: { number: record.number, address, vni, port, mtu },
  })
  const former = formerNumber(objects)
  const subnet = former && subnetOfNode(settings.pool, settings.nodePrefix, former)
  const known = former && subnet ? { name, number: former, subnet, address, ipv6 } : null
  let told = ''
  const joined = async (patience: number): Promise<NodeRecord | null> => {
    for (let tries = 0; tries < patience; tries++) {
      try {
        return await cluster.join(claim, onMoved)
      } catch (error) {
        if (error instanceof InputError) throw error
        if (told !== reasonOf(error)) log.warn({ reason: reasonOf(error) }, 'cannot join the cluster yet')
        told = reasonOf(error)
        await sleep(joinGap)
      }
    }
    return null
  }
  const record = await joined(known ? 1 : Number.POSITIVE_INFINITY)
  if (record) return placeOf(record)
  const later = async () => {
    const found = await joined(Number.POSITIVE_INFINITY)
    if (found?.number !== known?.number) onMoved()
  }
  later().catch(error => {
    log.error({ reason: reasonOf(error) }, 'the cluster refuses this node')
    onMoved()
  })
  return placeOf(known!)
}
