/**
 * From the bytes of a query to what becomes of it: a response out of the zone, an error,
 * or nothing that can be said here. Pure.
 */
import { ednsSize, type Query, rcodes, readQuery, writeError, writeResponse } from './message.js'
import type { Zone } from './zone.js'

export type Transport = 'udp' | 'tcp'

/**
 * `forward`: others know; `wait`: the mesh's own, of which nothing is known yet; `drop`:
 * no query at all.
 */
export type Verdict =
  | { readonly kind: 'answer'; readonly response: Buffer }
  | { readonly kind: 'forward' | 'wait'; readonly query: Query }
  | { readonly kind: 'drop' }

const drop: Verdict = { kind: 'drop' }
/** What a length before a message over TCP can say. */
const longestMessage = 65_535
const transfers = ['AXFR', 'IXFR']

/** `caller`: the address it came from. */
export function answer(message: Buffer, zone: Zone, caller: string, transport: Transport): Verdict {
  const query = readQuery(message)
  if ('refusal' in query) return query.refusal ? { kind: 'answer', response: query.refusal } : drop
  const fail = (rcode: number): Verdict => ({ kind: 'answer', response: writeError(query, rcode) })
  if (transfers.includes(query.type)) return fail(rcodes.refused)
  if (!zone.covers(query.name)) return { kind: 'forward', query }
  if (query.class !== 'IN' && query.class !== 'ANY') return fail(rcodes.refused)
  if (!zone.isKnown) return { kind: 'wait', query }
  const found = zone.find(query.name, query.type, caller)
  if (!found) return { kind: 'forward', query }
  const { exists, answers, additionals, soa } = found
  const response = {
    rcode: exists ? rcodes.ok : rcodes.noSuchName,
    authoritative: true,
    answers,
    authorities: answers.length > 0 ? [] : [soa],
    additionals,
    ttl: zone.settings.ttl,
  }
  const limit = transport === 'tcp' ? longestMessage : Math.min(query.size, ednsSize)
  return { kind: 'answer', response: writeResponse(query, response, limit) }
}
