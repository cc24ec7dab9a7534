/**
 * The fields of a service as text, the same at every door: the command line, the API,
 * labels and files. Pure; ports that are published come by themselves (ports.ts).
 */
import { parseAlias, parseScope } from './aliases.js'
import { parseDrain, parsePersistence } from './duration.js'
import { parseEndpoint } from './endpoint.js'
import { type Publication, parseEndpointMode, parseScheduler } from './publication.js'
import { parseSelector } from './selector.js'
import { parseVipPort } from './vip-ports.js'
import { parseVip } from './vips.js'
import { parseWeight } from './weights.js'

/** What of a service may be given and left out. */
export type ServiceFields = Partial<Omit<Publication, 'name' | 'ports'>>
export type GivenField = keyof ServiceFields

/** Each as a person writes it. Lists say `none` for nothing, and so do selector and persistence. */
export interface ServiceText {
  readonly selector?: string | undefined
  readonly endpoints?: readonly string[] | undefined
  readonly scheduler?: string | undefined
  readonly drain?: string | number | undefined
  readonly vip?: string | undefined
  readonly vipPorts?: readonly string[] | undefined
  readonly endpointMode?: string | undefined
  readonly persistence?: string | number | undefined
  readonly weights?: readonly string[] | undefined
  readonly aliases?: readonly string[] | undefined
  readonly scopes?: readonly string[] | undefined
}

/**
 * Runs the parser of a field, or of one item of a list; it may put the place of the text
 * into the error, or keep it and answer undefined.
 */
export type ReadField = <Value>(
  field: GivenField,
  index: number | null,
  parse: () => Value,
) => Value | undefined

const plainly: ReadField = (_field, _index, parse) => parse()

/** The fields that are given, parsed. Throws InputError. */
export function parseFields(text: ServiceText, read: ReadField = plainly): ServiceFields {
  function one<Given, Value>(field: GivenField, given: Given | undefined, parse: (given: Given) => Value) {
    return given === undefined ? undefined : read(field, null, () => parse(given))
  }
  function list<Item>(
    field: GivenField,
    given: readonly string[] | undefined,
    parse: (text: string) => Item,
  ): Item[] | undefined {
    if (given === undefined) return undefined
    if (given.length === 1 && given[0]?.trim() === 'none') return []
    const items = given.map((each, index) => read(field, index, () => parse(each)))
    return items.some(item => item === undefined) ? undefined : unique(items as Item[])
  }
  const fields: { readonly [Field in GivenField]: ServiceFields[Field] | undefined } = {
    selector: one('selector', text.selector, each => (each.trim() === 'none' ? null : parseSelector(each))),
    endpoints: list('endpoints', text.endpoints, each => parseEndpoint(each)),
    scheduler: one('scheduler', text.scheduler, each => parseScheduler(each.trim())),
    drain: one('drain', text.drain, each => parseDrain(each)),
    vip: one('vip', text.vip, each => parseVip(each)),
    vipPorts: list('vipPorts', text.vipPorts, each => parseVipPort(each)),
    endpointMode: one('endpointMode', text.endpointMode, each => parseEndpointMode(each)),
    persistence: one('persistence', text.persistence, each => parsePersistence(each)),
    weights: list('weights', text.weights, each => parseWeight(each)),
    aliases: list('aliases', text.aliases, each => parseAlias(each)),
    scopes: list('scopes', text.scopes, each => parseScope(each)),
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** What is there twice is there once. */
function unique<Item>(items: readonly Item[]): Item[] {
  return [...new Map(items.map(item => [JSON.stringify(item), item])).values()]
}
