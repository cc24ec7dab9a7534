/**
 * Network namespaces and netlink connections that end with the test that asked for them.
 */
import { spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { createNamespace, removeNamespace, runInNamespace } from '../../src/netlink/addon.js'
import { NetlinkConnection, type NetlinkProtocol } from '../../src/netlink/connection.js'

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
  for (const name of names) spawnSync('modprobe', ['-q', name])
}

/** Runs a program in a namespace to its end; returns what it printed, throws when it failed. */
export function runIn(path: string, argv: readonly string[], input = ''): string {
  const [file = '', ...args] = argv
  const result = runInNamespace(path, () => spawnSync(file, args, { input, encoding: 'utf8' }))
  if (result.status !== 0) throw new Error(`${argv.join(' ')}: ${result.error ?? result.stderr}`)
  return result.stdout
}
