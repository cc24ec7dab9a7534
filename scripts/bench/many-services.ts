/**
 * Services by the thousand, with endpoints that need no containers.
 */
import type { Service } from '../../src/model/service.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { service } from '../../test/helpers/mesh-node.js'

/** The pool of VIPs, as it is by default. */
export const vipPool = '10.253.0.0/16'

/** The `i`th of some addresses, 16 for each service. */
function endpointsOf(i: number, count: number): Service['endpoints'] {
  return Array.from({ length: count }, (_, k) => {
    const offset = (i << 4) + k + 1
    return { address: `10.${64 + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`, port: 80 }
  })
}

/** `count` services, up to 16,384, of one published port and so many endpoints each, up to 15, no two alike. */
export function publishedServices(count: number, each: number): Service[] {
  return Array.from({ length: count }, (_, i) =>
    service(`s${i}`, [`${10_000 + i}:80`], { endpoints: endpointsOf(i, each) }),
  )
}

/** The same of three ports of a VIP, none of them published. */
export function vipServices(count: number, each: number): Service[] {
  const vipPorts = ['80', '443', '53/udp'].map(text => parseVipPort(text))
  return Array.from({ length: count }, (_, i) =>
    service(`v${i}`, [], {
      vip: `10.253.${(i >> 8) + 1}.${i & 255}`,
      vipPorts,
      // An endpoint without a port of its own answers at each of the three.
      endpoints: endpointsOf(i, each).map(({ address }) => ({ address, port: null })),
    }),
  )
}
