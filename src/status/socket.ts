/**
 * Taking possession of a unix socket's path: a stale one is replaced, a live one is
 * left alone.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs'
import { lstat, unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { MeshError, reasonOf } from '../errors.js'

/** Group whose members may use meshctl. */
export const socketGroup = 'mesh'

/** Listens on `path` with mode 0660, root:mesh. Throws MESH_UNSUPPORTED when that cannot be. */
export async function claimSocket(server: Server, path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    try {
      await listen(server, path)
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error
      await removeStale(path)
      await listen(server, path)
    }
  } catch (error) {
    if (error instanceof MeshError) throw error
    throw new MeshError('MESH_UNSUPPORTED', `socket ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

/** Throws MESH_UNSUPPORTED where another agent answers: to be known before anything is begun. */
export async function requireAlone(path: string): Promise<void> {
  const there = await lstat(path).catch(() => null)
  // What cannot be told now is told when the socket is claimed.
  if (there?.isSocket() && (await isAlive(path).catch(() => false))) throw another(path)
}

function another(path: string): MeshError {
  return new MeshError(
    'MESH_UNSUPPORTED',
    `socket ${path}: another meshd answers there; stop it first, or use --socket for a second one`,
  )
}

async function listen(server: Server, path: string): Promise<void> {
  // The path is bound before listen() returns, so nobody ever sees it with another mode.
  const umask = process.umask(0o117)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, () => {
        server.off('error', reject)
        resolve()
      })
      process.umask(umask)
    })
  } finally {
    process.umask(umask)
  }
  chmodSync(path, 0o660)
  const group = groupId(readGroups())
  if (group !== null && process.getuid?.() === 0) chownSync(path, 0, group)
}

/** Removes a socket nobody answers on. Throws MESH_UNSUPPORTED when somebody does, or it is no socket. */
async function removeStale(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket())
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `socket ${path}: something else is there; move it, or use --socket`,
    )
  if (await isAlive(path)) throw another(path)
  await unlink(path)
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', error => {
      if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') resolve(false)
      else reject(error)
    })
  })
}

function readGroups(): string {
  try {
    return readFileSync('/etc/group', 'utf8')
  } catch {
    return '' // an image without users has no group either
  }
}

/** Number of the group `mesh` in the text of /etc/group, or null. */
export function groupId(text: string): number | null {
  const line = text.split('\n').find(each => each.startsWith(`${socketGroup}:`))
  const id = line?.split(':')[2]
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : null
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
