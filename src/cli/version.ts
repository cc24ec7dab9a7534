/**
 * The version of this build, from the project's own package.json.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MeshError } from '../errors.js'

/** Read from the nearest package.json above this file, wherever the build was put. */
export function packageVersion(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const content = readJson(join(directory, 'package.json'))
    if (content?.name === 'meshd' && typeof content.version === 'string') return content.version
    if (directory === dirname(directory))
      throw new MeshError('MESH_INTERNAL', 'package.json is missing beside the build')
  }
}

function readJson(path: string): Record<string, unknown> | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
