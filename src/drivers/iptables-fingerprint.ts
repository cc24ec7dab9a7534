/**
 * Whether somebody has changed an iptables rule, found out without running a program: on
 * a quiet node iptables-save was most of what the agent cost.
 */
import { createHash } from 'node:crypto'
import type { Family } from '../kernel/objects.js'
import { namespaceIdentity, readXtables } from '../netlink/addon.js'
import { NetlinkConnection } from '../netlink/connection.js'
import { getGeneration } from '../netlink/nftables.js'
import type { Variant } from './iptables-variant.js'

/** The fingerprint of a place without any table, of which iptables-save would print nothing. */
export const noTables = ''

/**
 * A text that stays the same for as long as iptables-save would print the same, counters
 * aside, in the namespace at `path`. null where that cannot be told.
 */
export async function fingerprintOf(
  variant: Variant,
  family: Family,
  path: string | null,
): Promise<string | null> {
  try {
    return await (variant === 'legacy' ? ofTables(family, path) : ofGeneration(path))
  } catch {
    // No such tables or namespace, or no right to look: the program knows better words for it.
    return null
  }
}

function ofTables(family: Family, path: string | null): string {
  const tables = readXtables(family === 'inet6', path)
  return tables.length === 0 ? noTables : createHash('sha256').update(tables).digest('base64')
}

/** nf_tables counts its changes; those of a namespace of the same path and another identity begin anew. */
async function ofGeneration(path: string | null): Promise<string | null> {
  const identity = namespaceIdentity(path)
  const connection = NetlinkConnection.open('netfilter', path)
  try {
    const [generation] = await connection.get(getGeneration())
    return generation === undefined ? null : `${identity} ${generation}`
  } finally {
    connection.close()
  }
}
