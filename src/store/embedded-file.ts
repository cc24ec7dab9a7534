/**
 * The content of the embedded store's file: its form, and nothing of how it is
 * kept. Pure; `embedded.ts` reads and writes the file itself.
 */
import { z } from 'zod'
import { MeshError } from '../errors.js'
import type { Service } from '../model/service.js'
import { issueOf, serviceForm } from './service-form.js'

/** Version of the form; raised when an older meshd could misread a newer file. */
const fileVersion = 1

export interface Content {
  /** Raised by one with every update. */
  readonly revision: number
  /** Sorted by name. */
  readonly services: readonly Service[]
}

const content = z.strictObject({
  version: z.literal(fileVersion),
  revision: z.int().min(0),
  services: z
    .array(serviceForm)
    .refine(list => new Set(list.map(({ name }) => name)).size === list.length, 'a name is there twice'),
})

const anyVersion = z.looseObject({ version: z.int().min(fileVersion) })

/** Throws MESH_STORE for a sound file of a newer version, and a plain Error for a damaged one. */
export function parseContent(text: string): Content {
  const json: unknown = JSON.parse(text)
  const head = anyVersion.safeParse(json)
  if (head.success && head.data.version > fileVersion)
    throw new MeshError(
      'MESH_STORE',
      `written in format ${head.data.version} by a newer meshd, and this one reads format ${fileVersion}; ` +
        'run that version again, or move the file away to begin with no services',
    )
  const parsed = content.safeParse(json)
  if (parsed.success) return { revision: parsed.data.revision, services: parsed.data.services }
  throw new Error(issueOf(parsed.error))
}

/** Indented, so that a person can read it and `diff` two of them. */
export function formatContent({ revision, services }: Content): string {
  return `${JSON.stringify({ version: fileVersion, revision, services }, null, 2)}\n`
}
