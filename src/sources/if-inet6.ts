/**
 * A network namespace's own IPv6 addresses and networks, read from outside it through
 * /proc/PID/net/if_inet6.
 */
import { readFile } from 'node:fs/promises'
import { plainIPv6 } from '../model/ports.js'

/** The container's end of its veth to the mesh. */
const meshLink = 'mesh0'
const bits = 128

export interface OwnIpv6 {
  readonly addresses: readonly string[]
  /** `fd17::/64`; none for an address that is alone. */
  readonly networks: readonly string[]
}

/** What the text of if_inet6 tells, but for the mesh's own and for addresses that are good on one link only. */
export function ownIpv6(text: string): OwnIpv6 {
  const addresses = new Set<string>()
  const networks = new Set<string>()
  for (const line of text.split('\n')) {
    // address, index of the link, length of the prefix, scope, flags, all in hex, and the link's name
    const [hex = '', , lengthText = '', scope = '', , link = ''] = line.trim().split(/\s+/)
    if (hex.length !== bits / 4 || scope !== '00' || link === meshLink) continue
    const length = Number.parseInt(lengthText, 16)
    addresses.add(formatted(hex))
    if (length > 0 && length < bits) networks.add(`${formatted(masked(hex, length))}/${length}`)
  }
  return { addresses: [...addresses], networks: [...networks] }
}

/** Empty once the process has ended, or where there is no IPv6. */
export async function readIpv6(pid: number, proc = '/proc'): Promise<OwnIpv6> {
  return ownIpv6(await readFile(`${proc}/${pid}/net/if_inet6`, 'utf8').catch(() => ''))
}

function masked(hex: string, length: number): string {
  const rest = BigInt(bits - length)
  return ((BigInt(`0x${hex}`) >> rest) << rest).toString(16).padStart(bits / 4, '0')
}

function formatted(hex: string): string {
  return plainIPv6(hex.replace(/(.{4})(?=.)/g, '$1:')) ?? hex
}
