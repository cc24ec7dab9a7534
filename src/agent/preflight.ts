/**
 * What a machine must have before the agent begins, each with its own message.
 */
import { readFileSync } from 'node:fs'
import { MeshError } from '../errors.js'

/** Throws MESH_UNSUPPORTED unless this process may do what an agent does. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `meshd runs as user ${process.getuid?.()}, but changing the kernel's network needs root; start it with sudo, or as a privileged container`,
    )
}

let sctp: string | null | undefined

/**
 * Why this kernel's IPVS cannot balance SCTP, or null when it can. IPVS names no
 * protocols it knows; its symbols do (sctp_dnat_handler, ip_vs_proto_sctp.c).
 */
export async function sctpTrouble(): Promise<string | null> {
  if (sctp !== undefined) return sctp
  const symbols = readFileSync('/proc/kallsyms', 'latin1')
  const known = !symbols.includes('ip_vs_') || symbols.includes(' sctp_dnat_handler')
  sctp = known
    ? null
    : "sctp: this kernel's IPVS was built without SCTP (CONFIG_IP_VS_PROTO_SCTP); publish tcp or udp, or boot a kernel that has it"
  return sctp
}
