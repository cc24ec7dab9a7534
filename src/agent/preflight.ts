/**
 * What a machine must have before the agent begins, and what its kernel must have for
 * a service, each with its own message.
 */
import { readFileSync } from 'node:fs'
import { requireScheduler } from '../drivers/try-ipvs.js'
import { MeshError } from '../errors.js'
import type { Publication } from '../model/publication.js'

/** Throws MESH_UNSUPPORTED unless this process may do what an agent does. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `meshd runs as user ${process.getuid?.()}, but changing the kernel's network needs root; start it with sudo, or as a privileged container`,
    )
}

/** Throws MESH_UNSUPPORTED when this kernel cannot do what the publication asks for. */
export async function requireOfKernel({ ports, scheduler }: Publication): Promise<void> {
  if (ports.some(({ protocol }) => protocol === 'sctp') && !hasSctp())
    throw new MeshError(
      'MESH_UNSUPPORTED',
      "sctp: this kernel's IPVS was built without SCTP (CONFIG_IP_VS_PROTO_SCTP); publish tcp or udp, or boot a kernel that has it",
    )
  if (known.has(scheduler)) return
  await requireScheduler(scheduler)
  known.add(scheduler)
}

/** Schedulers that the kernel was found to have. */
const known = new Set<string>()

/** IPVS names no protocols it knows; its symbols do (sctp_dnat_handler, ip_vs_proto_sctp.c). */
function hasSctp(): boolean {
  const symbols = readFileSync('/proc/kallsyms', 'latin1')
  return !symbols.includes('ip_vs_') || symbols.includes(' sctp_dnat_handler')
}
