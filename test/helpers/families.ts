/**
 * Both families as tables of tests run over them: a mesh of IPv4 alone, and one of both
 * that is asked in IPv6.
 */
import type { PlanSettings } from '../../src/planner/base.js'
import { ipv4, ipv6, type Stack } from '../../src/planner/stack.js'
import type { addresses } from './topology.js'

export const pool6 = 'fd4d:6573:68::/96'
export const vipPool = '10.253.0.0/16'
export const vipPool6 = 'fd4d:6573:68:1::/96'

export interface TestFamily {
  /** For titles. */
  readonly name: string
  readonly family: keyof typeof addresses
  readonly isSix: boolean
  /** From the mesh's addresses of IPv4 to those of the family. */
  readonly stack: Stack
  /** The same for VIPs. */
  readonly vips: Stack
  readonly settings: Partial<PlanSettings>
  /** `ip route` or `ip -6 route`. */
  readonly ip: string
}

export const families: readonly TestFamily[] = [
  { name: 'IPv4', family: 'inet', isSix: false, stack: ipv4, vips: ipv4, settings: {}, ip: 'ip' },
  {
    name: 'IPv6',
    family: 'inet6',
    isSix: true,
    stack: ipv6('10.254.0.0/16', pool6),
    vips: ipv6(vipPool, vipPool6),
    settings: { ipv6: { pool: pool6, formers: [] }, vipPool6 },
    ip: 'ip -6',
  },
]
