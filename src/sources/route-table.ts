/**
 * The IPv4 networks a process's namespace is on itself, read from outside it through
 * /proc/PID/net/route.
 */
import { readFile } from 'node:fs/promises'

/** The container's end of its veth to the mesh. */
const meshLink = 'mesh0'

/** Networks in the text of /proc/PID/net/route that are reached without a gateway, as `172.17.0.0/16`. */
export function linkedNetworks(text: string): string[] {
  const networks = new Set<string>()
  for (const line of text.split('\n').slice(1)) {
    // Iface, Destination, Gateway, Flags, RefCnt, Use, Metric, Mask, …
    const [link = '', destination = '', gateway = '', , , , , mask = ''] = line.split('\t')
    const length = ones(mask)
    if (link === meshLink || length === 0 || Number.parseInt(gateway, 16) !== 0) continue
    networks.add(`${dotted(destination)}/${length}`)
  }
  return [...networks]
}

/** Empty once the process has ended. */
export async function readNetworks(pid: number, proc = '/proc'): Promise<string[]> {
  return linkedNetworks(await readFile(`${proc}/${pid}/net/route`, 'utf8').catch(() => ''))
}

/** The kernel prints 32-bit words in the machine's byte order, little-endian here. */
function dotted(word: string): string {
  return [6, 4, 2, 0].map(at => Number.parseInt(word.slice(at, at + 2), 16)).join('.')
}

function ones(mask: string): number {
  return Number.parseInt(mask || '0', 16)
    .toString(2)
    .replaceAll('0', '').length
}
