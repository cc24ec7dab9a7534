/**
 * Store and cluster in one etcd, over one connection.
 */

import { EtcdStore } from './etcd.js'
import { EtcdClient, type EtcdOptions } from './etcd-client.js'
import { EtcdCluster } from './etcd-cluster.js'
import { Replica } from './etcd-replica.js'

export interface EtcdSettings extends EtcdOptions {
  /** All keys of this mesh begin with it: `/mesh`. Two meshes in one etcd have two. */
  readonly prefix: string
  /** Time of a node's lease, seconds. */
  readonly lease: number
}

export interface Etcd {
  readonly store: EtcdStore
  readonly cluster: EtcdCluster
  /** Ends store, cluster and connections; the node's lease runs out by itself. */
  close(): Promise<void>
}

/** Throws InputError for settings that do not fit together; connects with the first use. */
export function openEtcd(settings: EtcdSettings): Etcd {
  const client = new EtcdClient(settings)
  const prefix = `${settings.prefix.replace(/\/+$/, '')}/`
  const replica = new Replica(client, prefix)
  const store = new EtcdStore(client, replica, prefix)
  const cluster = new EtcdCluster(client, replica, prefix, settings.lease)
  return {
    store,
    cluster,
    async close() {
      await store.close()
      await cluster.close()
      await replica.stop()
      client.close()
    },
  }
}
