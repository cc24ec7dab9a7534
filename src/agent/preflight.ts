/**
 * What a machine must have before the agent begins, and what its kernel must have for
 * a service, each with its own message.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { dirname } from 'node:path'
import { requireScheduler } from '../drivers/try-ipvs.js'
import { MeshError } from '../errors.js'
import { sandboxPath } from '../kernel/ownership.js'
import { formatPort } from '../model/ports.js'
import type { Publication } from '../model/publication.js'

/** Throws MESH_UNSUPPORTED unless this process, and its container if it is in one, may do what an agent does. */
export function requireRoot(program = 'meshd'): void {
  if (process.getuid?.() !== 0)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `${program} runs as user ${process.getuid?.()}, but changing the kernel's network needs root; start it with sudo, or as a privileged container`,
    )
  const lacking = inContainer() ? lackingOptions() : []
  if (lacking.length > 0)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `meshd's container lacks ${lacking.join(' and ')}; run it with these options of docker run`,
    )
}

/** As nice(2) has it, from -20 to 19; other programs have 0. */
const niceness = -10

/**
 * Takes precedence over what is not as urgent. The agent needs little of a processor, but on a
 * machine that starts dozens of containers it would wait seconds for it: long enough to lose its
 * lease, and with it the other nodes' trust. Programs that it starts inherit it.
 */
export function takePrecedence(): void {
  try {
    setPriority(niceness)
  } catch {} // not allowed to: as good as any other
}

/** Whether this is a container of Docker's. */
export function inContainer(): boolean {
  return existsSync('/.dockerenv')
}

/** What a container needs to be as good as the host, and this one was not given. */
function lackingOptions(): string[] {
  // With processes of its own it would take other processes for those that Docker names.
  if (process.pid === 1) return ['--pid host']
  const lacking: string[] = []
  if (readlinkSync('/proc/1/ns/net') !== readlinkSync('/proc/self/ns/net')) lacking.push('--network host')
  // Mounted in the container alone, the sandbox would end with it.
  if (!isShared(readFileSync('/proc/self/mountinfo', 'utf8'), dirname(sandboxPath)))
    lacking.push('--volume /run:/run:rshared')
  return lacking
}

/** Whether what is mounted at `path` shows in other mount namespaces too, by the text of /proc/PID/mountinfo. */
export function isShared(mountinfo: string, path: string): boolean {
  let longest = ''
  let shared = false
  for (const line of mountinfo.split('\n')) {
    const [point = '', , ...rest] = line.split(' ').slice(4)
    const holds = point === '/' || path === point || path.startsWith(`${point}/`)
    // Of two at one point the later one lies on top.
    if (point === '' || !holds || point.length < longest.length) continue
    longest = point
    shared = rest.slice(0, rest.indexOf('-')).some(field => field.startsWith('shared:'))
  }
  return shared
}

/** Throws MESH_UNSUPPORTED when this kernel has no IPv6. */
export function requireIpv6(): void {
  if (!existsSync('/proc/sys/net/ipv6'))
    throw new MeshError(
      'MESH_UNSUPPORTED',
      "this kernel's IPv6 is off; boot without ipv6.disable=1, or start meshd with --ipv6 off",
    )
}

/** Throws MESH_UNSUPPORTED when the publication asks for an address of IPv6, which this node's mesh has not. */
function requireFamily({ ports }: Publication): void {
  const bound = ports.find(({ address }) => address?.includes(':'))
  if (bound)
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `publish ${formatPort(bound)}: the mesh of this node has no IPv6; start meshd with --ipv6 on`,
    )
}

/** The check of publications on this node; `ipv6`: whether its mesh has IPv6. */
export function requirementsOf(ipv6: boolean): (publication: Publication) => Promise<void> {
  return async publication => {
    if (!ipv6) requireFamily(publication)
    await requireOfKernel(publication)
  }
}

/** Throws MESH_UNSUPPORTED when this kernel cannot do what the publication asks for. */
async function requireOfKernel({ ports, vipPorts, scheduler }: Publication): Promise<void> {
  if ([...ports, ...vipPorts].some(({ protocol }) => protocol === 'sctp') && !hasSctp())
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
