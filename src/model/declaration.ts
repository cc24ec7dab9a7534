/**
 * A service as the labels of a Swarm service declare it. Labels are read in
 * sources/swarm-labels.ts; what becomes of declarations is decided in agent/declared.ts.
 */
import type { Publication } from './publication.js'

export interface Declaration {
  /** The Swarm service's name, and that of the service in the mesh. */
  readonly name: string
  /** null: the labels cannot be understood, `problems` say why. */
  readonly publication: Publication | null
  /** A sentence each; none with a publication. */
  readonly problems: readonly string[]
}

/** The label that makes a Swarm service a declaration. */
export const publishLabel = 'mesh.publish'
