/**
 * Network namespaces and netlink connections that end with the test that asked for them.
 */
import type { Test } from 'tap'
import { createNamespace, removeNamespace } from '../../src/netlink/addon.js'
import { NetlinkConnection, type NetlinkProtocol } from '../../src/netlink/connection.js'
import { runByShell } from './shell.js'

let made = 0

/** Path of a new, empty namespace; its loopback link is down. */
export function freshNamespace(t: Pick<Test, 'teardown'>): string {
  const path = `/run/netns/mesh-test-${process.pid}-${++made}`
  createNamespace(path)
  t.teardown(() => removeNamespace(path))
  return path
}

export function connect(
  t: Pick<Test, 'teardown'>,
  protocol: NetlinkProtocol,
  path: string | null,
): NetlinkConnection {
  const connection = NetlinkConnection.open(protocol, path)
  t.teardown(() => connection.close())
  return connection
}

/** Loads modules where the kernel has them as such; the lab's kernel loads none by itself. */
export function loadModules(...names: string[]): void {
  runByShell(null, ['sh', '-c', 'modprobe -qa "$@"; true', 'sh', ...names])
}

/** Runs a program in a namespace to its end; returns what it printed, throws when it failed. */
export function runIn(path: string, argv: readonly string[], input = ''): string {
  return runByShell(path, argv, input)
}
