/**
 * TCP segments made by hand and sent by a raw socket, as a network that holds packets back for
 * long delivers them: of a connection that is there, and far outside of its window.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Address6 } from 'ip-address'
import { runInNamespace } from '../../src/netlink/addon.js'
import { runByShell } from './shell.js'
import { checksum } from './tunnel-frames.js'

export interface Door {
  readonly address: string
  readonly port: number
}

function bytesOf(address: string): number[] {
  return isIPv6(address) ? new Address6(address).toByteArray() : address.split('.').map(Number)
}

/** A segment with nothing in it but an acknowledgement. */
function segment(from: Door, to: Door, sequence: number): Buffer {
  const tcp = Buffer.alloc(20)
  tcp.writeUInt16BE(from.port, 0)
  tcp.writeUInt16BE(to.port, 2)
  tcp.writeUInt32BE(sequence, 4)
  tcp.writeUInt32BE(sequence, 8)
  tcp[12] = 0x50 // five words of header
  tcp[13] = 0x10 // ACK
  tcp.writeUInt16BE(1024, 14)
  const pseudo = Buffer.from([...bytesOf(from.address), ...bytesOf(to.address), 0, 6, 0, tcp.length])
  tcp.writeUInt16BE(checksum(Buffer.concat([pseudo, tcp])), 16)
  return tcp
}

/** Sends one segment for each sequence number from a namespace. */
export function sendSegments(path: string, from: Door, to: Door, sequences: readonly number[]): void {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-segments-'))
  const six = isIPv6(from.address)
  const [kind, at, source] = six
    ? ['IP6-SENDTO', `[${to.address}]`, `[${from.address}]`]
    : ['IP4-SENDTO', to.address, from.address]
  try {
    for (const [i, sequence] of sequences.entries()) {
      const file = join(directory, String(i))
      writeFileSync(file, segment(from, to, sequence))
      runByShell(path, ['socat', '-u', `OPEN:${file}`, `${kind}:${at}:6,bind=${source}`])
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** One number of the TCP line of /proc/net/snmp of a namespace. */
export function tcpCount(path: string, name: string): number {
  const text = runInNamespace(path, () => readFileSync('/proc/thread-self/net/snmp', 'utf8'))
  const [names = [], values = []] = text
    .split('\n')
    .filter(line => line.startsWith('Tcp:'))
    .map(line => line.split(' '))
  return Number(values[names.indexOf(name)])
}
