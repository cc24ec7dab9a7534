/**
 * What is particular to VXLAN devices: the IFLA_INFO_DATA of a link (link.ts) of
 * kind `vxlan`, written as the mesh wants its own and read from anybody's.
 */
import { attributes, binary, flag, ipv4, u8, u16be, u32 } from './attributes.js'
import { familyOf, inet, ip } from './ip.js'

/** IFLA_VXLAN_*, linux/if_link.h. */
const vxlanAttributes = attributes({
  vni: [1, u32], // IFLA_VXLAN_ID
  remote: [2, ipv4], // IFLA_VXLAN_GROUP      destination of packets to unknown MACs
  underlayLink: [3, u32], // IFLA_VXLAN_LINK
  local: [4, ipv4], // IFLA_VXLAN_LOCAL
  learning: [7, u8], // IFLA_VXLAN_LEARNING   the kernel's own choice is 1
  port: [15, u16be], // IFLA_VXLAN_PORT       network order
  remote6: [16, binary], // IFLA_VXLAN_GROUP6
  local6: [17, ip], // IFLA_VXLAN_LOCAL6
  groupPolicy: [23, flag], // IFLA_VXLAN_GBP  the packet's mark travels along, 16 bits of it
  external: [25, u8], // IFLA_VXLAN_COLLECT_METADATA
})

export interface VxlanConfiguration {
  /** 1–16777215 (24 bits). */
  readonly vni: number
  /** UDP port, 1–65535. */
  readonly port: number
  /** Source address of what is sent, and the one that is listened on; of IPv4 or IPv6, as those of the other nodes. */
  readonly local: string
}

export interface VxlanReading {
  readonly vni: number
  readonly port: number
  /** null: any. */
  readonly local: string | null
  /** Whether it learns where MACs are from what arrives. */
  readonly learning: boolean
  /** Whether marks travel along. */
  readonly groupPolicy: boolean
  /** Whether its entries alone decide where a packet goes: no default destination, link or other steering. */
  readonly byEntriesOnly: boolean
}

/** A device with group policy, without learning and without a default destination. */
export function encodeVxlan({ vni, port, local }: VxlanConfiguration): Buffer {
  const source = familyOf(local) === inet ? { local } : { local6: local }
  return vxlanAttributes.encode({ vni, ...source, learning: 0, port, groupPolicy: true })
}

export function decodeVxlan(data: Buffer): VxlanReading {
  const values = vxlanAttributes.decode(data)
  return {
    vni: values.vni ?? 0,
    port: values.port ?? 0,
    local: values.local ?? values.local6 ?? null,
    learning: values.learning === 1,
    groupPolicy: values.groupPolicy === true,
    byEntriesOnly:
      values.remote === undefined &&
      values.remote6 === undefined &&
      !values.underlayLink &&
      values.external !== 1,
  }
}
