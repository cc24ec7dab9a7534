/**
 * Who listens on the node: sockets of the agent's own network namespace, read from
 * /proc/net, with the processes behind them where a name is needed. Not a Source:
 * asked once, when somebody wants a port.
 */
import { readdir, readFile, readlink } from 'node:fs/promises'
import type { Listener } from '../model/conflicts.js'
import type { PortSpec, Protocol } from '../model/ports.js'

/** TCP_LISTEN, net/tcp_states.h; SCTP's endpoints use the same numbers. */
const listening = 0x0a
/** TCP_CLOSE, net/tcp_states.h: what an unconnected UDP socket is in. */
const unconnected = 0x07
/** The first port that sockets get which ask for none, unless set otherwise: net.ipv4.ip_local_port_range. */
const firstForClients = 32_768

/**
 * Listeners in the text of /proc/net/tcp, tcp6, udp or udp6. Those that cannot
 * take an IPv4 packet (bound to one IPv6 address) are left out.
 */
export function parseSocketTable(text: string, protocol: 'tcp' | 'udp'): Listener[] {
  const listeners: Listener[] = []
  for (const line of text.split('\n').slice(1)) {
    // sl, local_address, rem_address, st, queues, tr:tm, retrnsmt, uid, timeout, inode
    const [, local = '', , state = '', , , , , , inode = ''] = line.trim().split(/\s+/)
    if (Number.parseInt(state, 16) !== (protocol === 'tcp' ? listening : unconnected)) continue
    const [hex = '', port = ''] = local.split(':')
    const address = addressOf(hex)
    if (address === null) continue
    listeners.push(listenerOf(protocol, address, Number.parseInt(port, 16), Number(inode)))
  }
  return listeners
}

/** Listeners in the text of /proc/net/sctp/eps; one endpoint may have several addresses. */
export function parseSctpEndpoints(text: string): Listener[] {
  const listeners: Listener[] = []
  for (const line of text.split('\n').slice(1)) {
    // ENDPT, SOCK, STY, SST, HBKT, LPORT, UID, INODE, LADDRS…
    const [, , , state = '', , port = '', , inode = '', ...addresses] = line.trim().split(/\s+/)
    if (Number(state) !== listening) continue
    for (const text of addresses) {
      const address = text.includes(':') ? (/^[0:]+$/.test(text) ? '0.0.0.0' : null) : text
      if (address !== null) listeners.push(listenerOf('sctp', address, Number(port), Number(inode)))
    }
  }
  return listeners
}

/** All listeners in the tables of `directory`, the `net` of a process in /proc. */
async function listenersIn(directory: string): Promise<Listener[]> {
  const read = (name: string) => readFile(`${directory}/${name}`, 'utf8').catch(() => '')
  const [tcp, tcp6, udp, udp6, sctp] = await Promise.all(['tcp', 'tcp6', 'udp', 'udp6', 'sctp/eps'].map(read))
  return [
    ...parseSocketTable(tcp ?? '', 'tcp'),
    ...parseSocketTable(tcp6 ?? '', 'tcp'),
    ...parseSocketTable(udp ?? '', 'udp'),
    ...parseSocketTable(udp6 ?? '', 'udp'),
    ...parseSctpEndpoints(sctp ?? ''),
  ]
}

/** Whether anybody in the network namespace of a process listens for others. */
export async function listens(pid: number, proc: string): Promise<boolean> {
  const listeners = await listenersIn(`${proc}/${pid}/net`)
  // Docker's own resolver is there before the container is; and who asks it by a socket
  // that is not connected, as musl does, serves nobody yet.
  return listeners.some(each => !each.address.startsWith('127.') && !maybeOfClient(each))
}

/** Whether it may be the socket of somebody who asks others and expects their answers: it does not tell. */
export function maybeOfClient({ protocol, port }: Listener): boolean {
  return protocol === 'udp' && port >= firstForClients
}

/**
 * All listeners of the node; those on a published port of `ports` with their process. Whose socket is
 * among `known` is not found out again: that takes a look at every file of every process.
 */
export async function readListeners(
  ports: readonly PortSpec[] = [],
  known: readonly Listener[] = [],
): Promise<Listener[]> {
  const listeners = await listenersIn('/proc/net')
  const asked = listeners.filter(({ protocol, port }) =>
    ports.some(
      ({ published, protocol: wanted }) =>
        wanted === protocol && published !== null && port >= published.first && port <= published.last,
    ),
  )
  const inodes = new Set(asked.map(({ inode }) => inode))
  const owners = new Map<number, Owner>()
  for (const { inode, process, pid } of known)
    if (process !== null && pid !== null && inodes.delete(inode)) owners.set(inode, { process, pid })
  if (inodes.size > 0) for (const [inode, owner] of await socketOwners(inodes)) owners.set(inode, owner)
  return listeners.map(each => ({ ...each, ...owners.get(each.inode) }))
}

interface Owner {
  readonly process: string
  readonly pid: number
}

/** The processes that hold these sockets open, found by walking /proc/PID/fd. */
async function socketOwners(inodes: ReadonlySet<number>): Promise<Map<number, Owner>> {
  const owners = new Map<number, Owner>()
  for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    // A process may end while it is looked at, and then holds nothing any more.
    const files = await readdir(`/proc/${pid}/fd`).catch(() => [])
    const links = await Promise.all(files.map(file => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')))
    for (const link of links) {
      const inode = Number(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? Number.NaN)
      if (!inodes.has(inode) || owners.has(inode)) continue
      const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      if (comm !== '') owners.set(inode, { process: comm.trim(), pid: Number(pid) })
    }
    if (owners.size === inodes.size) break
  }
  return owners
}

function listenerOf(protocol: Protocol, address: string, port: number, inode: number): Listener {
  return { protocol, address, port, inode, process: null, pid: null }
}

/**
 * The IPv4 address that a hexadecimal one of /proc/net takes packets for: itself,
 * the one mapped into `::ffff:0:0/96`, `0.0.0.0` for the IPv6 wildcard (whether it
 * is IPV6_V6ONLY, /proc does not say), null for any other IPv6 address. /proc
 * prints each 32-bit word in the machine's byte order, little-endian here.
 */
function addressOf(hex: string): string | null {
  if (hex.length === 8) return dotted(hex)
  if (/^0{32}$/.test(hex)) return '0.0.0.0'
  return hex.startsWith('0000000000000000FFFF0000') ? dotted(hex.slice(24)) : null
}

function dotted(word: string): string {
  const bytes = word.match(/../g)!.map(byte => Number.parseInt(byte, 16))
  return bytes.reverse().join('.')
}
