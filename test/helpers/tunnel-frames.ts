/**
 * Packets as a node sends them into the tunnel, made by hand, so that they may be
 * damaged as a network card does it. Sent from the node's own socket and address.
 */
import dgram from 'node:dgram'
import { openSocket } from '../../src/netlink/addon.js'
import { sandboxAddress } from '../../src/planner/addresses.js'
import { tunnelMac } from '../../src/planner/peers.js'

/** A node as far as a frame names it. */
export interface Party {
  readonly number: number
  readonly subnet: string
  /** IPv4 address in the underlay. */
  readonly address: string
}

export interface TunnelSettings {
  readonly vni: number
  readonly port: number
}

export function checksum(words: Buffer): number {
  let total = 0
  for (let i = 0; i < words.length; i += 2) total += (words[i]! << 8) + (words[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return ~total & 0xffff
}

const bytesOf = (address: string) => address.split('.').map(Number)
const macOf = (number: number) => Buffer.from(tunnelMac(number).replaceAll(':', ''), 'hex')

/** A datagram from sandbox to sandbox, with the headers that the tunnel puts around it but for IP and UDP. */
export function tunnelFrame(from: Party, to: Party, { vni }: TunnelSettings, damaged: boolean): Buffer {
  const addresses = [...bytesOf(sandboxAddress(from.subnet)), ...bytesOf(sandboxAddress(to.subnet))]
  const data = Buffer.from('hello')
  const udp = Buffer.alloc(8 + data.length)
  udp.writeUInt16BE(40_000, 0)
  udp.writeUInt16BE(9, 2)
  udp.writeUInt16BE(udp.length, 4)
  data.copy(udp, 8)
  const right = checksum(Buffer.concat([Buffer.from([...addresses, 0, 17, 0, udp.length]), udp])) || 0xffff
  udp.writeUInt16BE(damaged ? right ^ 0x0101 : right, 6)
  const ip = Buffer.from([0x45, 0, 0, 20 + udp.length, 0, 0, 0, 0, 64, 17, 0, 0, ...addresses])
  ip.writeUInt16BE(checksum(ip), 10)
  const ethernet = Buffer.concat([macOf(to.number), macOf(from.number), Buffer.from([8, 0])])
  const vxlan = Buffer.from([0x88, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0]) // flags I and G
  return Buffer.concat([vxlan, ethernet, ip, udp])
}

/** Sends so many from a node's namespace. */
export async function sendFrames(
  host: string,
  from: Party,
  to: Party,
  settings: TunnelSettings,
  { count, damaged }: { readonly count: number; readonly damaged: boolean },
): Promise<void> {
  const socket = dgram.createSocket('udp4')
  await new Promise<void>(resolve => socket.bind({ fd: openSocket('udp', from.address, 0, host) }, resolve))
  const frame = tunnelFrame(from, to, settings, damaged)
  for (let i = 0; i < count; i++)
    await new Promise<void>((resolve, reject) =>
      socket.send(frame, settings.port, to.address, error => (error ? reject(error) : resolve())),
    )
  socket.close()
}
