/**
 * Services by the thousand, whose endpoints are containers of other nodes.
 */
import type { RemoteContainer } from '../../src/model/cluster.js'
import type { Service } from '../../src/model/service.js'
import type { Node } from '../../src/model/snapshot.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { idOf } from '../../test/helpers/containers.js'
import { service } from '../../test/helpers/services.js'
import { hostAddress } from '../../test/helpers/topology.js'

/** The pool of VIPs, as it is by default. */
export const vipPool = '10.253.0.0/16'

/** A node with room for all of them in its mesh. */
export const roomyNode: Node = {
  name: 'node1',
  subnet: '10.254.0.0/24',
  pool: '10.0.0.0/8',
  addresses: ['172.17.0.1', hostAddress],
  membership: null,
}

/** `each` containers, up to 15, for each of `count` services, up to 16,384; no two have one address. */
export function remoteContainers(services: readonly Service[], each: number): RemoteContainer[] {
  const containers = services.flatMap(({ name }, i) =>
    Array.from({ length: each }, (_, k): RemoteContainer => {
      const offset = (i << 4) + k + 1
      const address = `10.${64 + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`
      const container = `${name}.${k}`
      return {
        node: `node${2 + (offset % 500)}`,
        id: idOf(container),
        name: container,
        labels: { app: name },
        address,
        state: 'ready',
      }
    }),
  )
  // As they come from the store: texts put together here from pieces would keep those too.
  return JSON.parse(JSON.stringify(containers)) as RemoteContainer[]
}

/** `count` services of one published port each. */
export function publishedServices(count: number): Service[] {
  return Array.from({ length: count }, (_, i) => service(`s${i}`, [`${10_000 + i}:80`]))
}

/** The same of three ports of a VIP, none of them published. */
export function vipServices(count: number): Service[] {
  const vipPorts = ['80', '443', '53/udp'].map(text => parseVipPort(text))
  return Array.from({ length: count }, (_, i) =>
    service(`v${i}`, [], { vip: `10.253.${(i >> 8) + 1}.${i & 255}`, vipPorts }),
  )
}
