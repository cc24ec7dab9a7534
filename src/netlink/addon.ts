/**
 * The only place that loads the native addon (native/, plain C): the same functions
 * under the same names, with their arguments checked. Descriptors belong to the
 * caller, who closes them with fs.closeSync. Failures are AddonErrors.
 */
import { mkdirSync, statfsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MeshError, reasonOf } from '../errors.js'
import { errnoName } from './errno.js'

/** A system call that failed inside the addon. */
export interface AddonError extends Error {
  /** `ENOENT` */
  readonly code: string
  /** Positive errno, errno.h. */
  readonly errno: number
  readonly syscall: string
}

/** A network namespace: the path of its file, a descriptor of it, or null for the one we are in. */
export type Namespace = string | number | null

/** All that came back of one exchange. */
export interface ExchangeResult {
  /** Messages with our sequence numbers, one after the other; also when it failed half-way. */
  readonly replies: Buffer
  /** 0, or the errno it ended with: ETIMEDOUT, ENOBUFS (answers were lost), … */
  readonly errno: number
  readonly syscall: string | null
}

/** Opaque; for `unwatch`. */
export interface WatchHandle {
  readonly watch: unique symbol
}

interface Native {
  openNetlink(protocol: number, namespace: Namespace): number
  joinGroup(descriptor: number, group: number): null
  exchange(descriptor: number, messages: Buffer, oneByOne: boolean, timeout: number): Promise<ExchangeResult>
  hearAll(descriptor: number): null
  drain(descriptor: number): { readonly heard: Buffer; readonly lost: boolean }
  watchProcesses(set: number, listener: (ids: Buffer | null, errno: number) => void): WatchHandle
  unwatch(handle: WatchHandle): null
  openProcessSet(): number
  addProcess(set: number, pid: number, id: number): number
  openSocket(stream: boolean, address: string | null, port: number, namespace: Namespace): number
  readXtables(ipv6: boolean, namespace: Namespace): Buffer
  runInNamespace<T>(namespace: Namespace, call: () => T): T
  createNamespace(path: string): null
  removeNamespace(path: string): null
}

// Compiled files run from dist/src/netlink/, the addon lies in the project's root.
const addonPath = fileURLToPath(new URL('../../../native/build/mesh.node', import.meta.url))
let loaded: Native | null = null

function native(): Native {
  if (loaded) return loaded
  try {
    loaded = createRequire(import.meta.url)(addonPath) as Native
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'MODULE_NOT_FOUND') throw error
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `the native addon is not built (${addonPath} is missing): run ${dirname(dirname(dirname(addonPath)))}/scripts/build-addon`,
      { cause: error },
    )
  }
  return loaded
}

/** Adds `code` to errors of the addon; lets all others pass as they are. */
function call<T>(run: (addon: Native) => T): T {
  const addon = native()
  try {
    return run(addon)
  } catch (error) {
    const failure = error as { errno?: unknown; syscall?: unknown; code?: unknown }
    if (typeof failure?.errno === 'number' && failure.errno > 0 && failure.code === undefined)
      failure.code = errnoName(failure.errno)
    throw error
  }
}

/** Whether an error came from a system call of the addon. */
export function isAddonError(error: unknown): error is AddonError {
  return error instanceof Error && 'errno' in error && 'syscall' in error && 'code' in error
}

function check(good: boolean, what: string): void {
  if (!good) throw new TypeError(what)
}

function checkInteger(name: string, value: number, least: number, most: number): void {
  check(
    Number.isInteger(value) && value >= least && value <= most,
    `${name} must be an integer from ${least} to ${most}, not ${value}`,
  )
}

function checkPath(path: string): void {
  check(typeof path === 'string' && path.startsWith('/'), `a namespace path must be absolute, not "${path}"`)
  check(
    Buffer.byteLength(path) < 4096 && !path.includes('\0'),
    'a namespace path must be shorter than 4096 bytes',
  )
}

function checkNamespace(namespace: Namespace): void {
  if (typeof namespace === 'number') checkInteger('a namespace descriptor', namespace, 0, 0x7fffffff)
  else if (namespace !== null) checkPath(namespace)
}

const descriptorName = 'a descriptor'

/**
 * Opens a netlink socket that stays in `namespace`. `protocol` is NETLINK_*:
 * 0 ROUTE, 12 NETFILTER, 16 GENERIC.
 */
export function openNetlink(protocol: number, namespace: Namespace): number {
  checkInteger('a netlink protocol', protocol, 0, 31)
  checkNamespace(namespace)
  return call(addon => addon.openNetlink(protocol, namespace))
}

/** Joins a multicast group, RTNLGRP_*. */
export function joinGroup(descriptor: number, group: number): void {
  checkInteger(descriptorName, descriptor, 0, 0x7fffffff)
  checkInteger('a multicast group', group, 1, 0xffff)
  call(addon => addon.joinGroup(descriptor, group))
}

/**
 * Sends `messages` (one sendmsg; or each alone when `oneByOne`) and collects answers
 * until the last message is answered by NLMSG_ERROR or NLMSG_DONE. Works off the
 * JavaScript thread; ends after `timeout` milliseconds at the latest. Never rejects.
 */
export function exchange(
  descriptor: number,
  messages: Buffer,
  oneByOne: boolean,
  timeout: number,
): Promise<ExchangeResult> {
  checkInteger(descriptorName, descriptor, 0, 0x7fffffff)
  checkInteger('a timeout', timeout, 0, 0x7fffffff)
  check(Buffer.isBuffer(messages), 'messages must be a Buffer')
  return call(addon => addon.exchange(descriptor, messages, oneByOne, timeout))
}

/**
 * From now on a socket's groups bring the messages of every namespace that has a number in
 * the socket's own, too. EPERM without CAP_NET_BROADCAST.
 */
export function hearAll(descriptor: number): void {
  checkInteger(descriptorName, descriptor, 0, 0x7fffffff)
  call(addon => addon.hearAll(descriptor))
}

/** A multicast message, as far as it is looked at. */
export interface Heard {
  /** The namespace it is about, as the socket's own numbers it; -1: that one itself. */
  readonly namespaceId: number
  /** RTM_*, linux/rtnetlink.h. */
  readonly type: number
  /** In messages of links, addresses and neighbours: index of the link. */
  readonly linkIndex: number
}

/**
 * What a socket's groups have brought since the last call. `lost`: there was more, for which
 * the kernel had no room. Does not wait.
 */
export function drain(descriptor: number): { readonly heard: Heard[]; readonly lost: boolean } {
  checkInteger(descriptorName, descriptor, 0, 0x7fffffff)
  const { heard: bytes, lost } = call(addon => addon.drain(descriptor))
  const heard: Heard[] = []
  for (
    let at = 0;
    at < bytes.length;
    at += 12 // struct heard, native/netlink_socket.h
  )
    heard.push({
      namespaceId: bytes.readInt32LE(at),
      type: bytes.readUInt32LE(at + 4),
      linkIndex: bytes.readUInt32LE(at + 8),
    })
  return { heard, lost }
}

/** An epoll descriptor for `addProcess` and `watchProcesses`. */
export function openProcessSet(): number {
  return call(addon => addon.openProcessSet())
}

/**
 * Adds a process of our own PID namespace to a set; its end is told as `id`, once. Gives a
 * descriptor that keeps it there until it is closed. ESRCH when there is no such process,
 * ENOSYS before Linux 5.3, which has no pidfd.
 */
export function addProcess(set: number, pid: number, id: number): number {
  checkInteger(descriptorName, set, 0, 0x7fffffff)
  checkInteger('a PID', pid, 1, 0x7fffffff)
  checkInteger('an id', id, 0, 0x7fffffff)
  return call(addon => addon.addProcess(set, pid, id))
}

/** Tells the ids of processes of a set that have ended, from a thread, until `unwatch`. */
export function watchProcesses(set: number, listener: (ids: number[]) => void): WatchHandle {
  checkInteger(descriptorName, set, 0, 0x7fffffff)
  const guarded = (bytes: Buffer | null) => {
    try {
      if (bytes) listener([...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)])
    } catch (error) {
      process.emitWarning(`a listener for the ends of processes threw: ${reasonOf(error)}`)
    }
  }
  return call(addon => addon.watchProcesses(set, guarded))
}

/** Ends a watch; harmless when it has ended. The descriptor stays open. */
export function unwatch(handle: WatchHandle): void {
  call(addon => addon.unwatch(handle))
}

/**
 * Opens a TCP or UDP socket that stays in `namespace`, bound when `address` (IPv4 or
 * IPv6 text) is given. For `server.listen({ fd })`, `dgram.bind({ fd })`,
 * `new net.Socket({ fd }).connect()`.
 */
export function openSocket(
  kind: 'tcp' | 'udp',
  address: string | null,
  port: number,
  namespace: Namespace,
): number {
  check(kind === 'tcp' || kind === 'udp', `a socket is tcp or udp, not ${kind}`)
  checkInteger('a port', port, 0, 65535)
  checkNamespace(namespace)
  return call(addon => addon.openSocket(kind === 'tcp', address, port, namespace))
}

/**
 * The tables of iptables-legacy (or ip6tables-legacy) that a namespace has, as the kernel
 * holds them but for their counters: the same bytes as long as nobody changes a rule.
 * ENOENT where the kernel has no such tables at all.
 */
export function readXtables(ipv6: boolean, namespace: Namespace): Buffer {
  checkNamespace(namespace)
  return call(addon => addon.readXtables(ipv6, namespace))
}

/**
 * Calls a synchronous function in a namespace and comes back. Good for starting a
 * program, for /proc/sys and for file system calls; not for connecting or listening,
 * which happen later, outside: see `openSocket`. Throws what the function throws.
 */
export function runInNamespace<T>(namespace: Namespace, run: () => T): T {
  checkNamespace(namespace)
  check(typeof run === 'function', 'runInNamespace needs a function')
  const result = call(addon => addon.runInNamespace(namespace, run))
  if (result instanceof Promise)
    throw new MeshError('MESH_INTERNAL', 'runInNamespace was given an asynchronous function')
  return result
}

/**
 * Makes a network namespace kept by a bind mount at `path` (directories are made).
 * Its loopback link is down. EEXIST when a namespace is there already.
 */
export function createNamespace(path: string): void {
  checkPath(path)
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  call(addon => addon.createNamespace(path))
}

/** Takes away the mount and the file; the namespace ends with its last user. ENOENT when it is not there. */
export function removeNamespace(path: string): void {
  checkPath(path)
  call(addon => addon.removeNamespace(path))
}

const namespaceMagic = 0x6e736673 // NSFS_MAGIC, linux/magic.h

/**
 * Who a namespace is: `device:inode` of its file, the same by every path that leads
 * to it. Null means our own. Throws ENOENT when there is no file, EINVAL when it is
 * not a namespace's.
 */
export function namespaceIdentity(path: string | null): string {
  const file = path ?? '/proc/thread-self/ns/net'
  const status = statSync(file, { bigint: true })
  if (statfsSync(file).type !== namespaceMagic) {
    const error = new Error(`${file} is not a namespace`)
    throw Object.assign(error, { code: 'EINVAL', errno: 22, syscall: 'statfs' })
  }
  return `${status.dev}:${status.ino}`
}
