/**
 * The options that say something of a service, the same for `publish`, `service create`
 * and `service set`. Whoever takes them reads them by `serviceText`.
 */
import { schedulers } from '../model/service.js'
import type { ServiceRequest } from '../status/requests.js'
import { listOf } from './command.js'

type Text = string | undefined
type List = string | string[] | undefined

export interface ServiceArguments {
  readonly selector: Text
  readonly endpoint: List
  readonly scheduler: Text
  readonly drain: Text
  readonly persist: Text
  readonly weight: List
  readonly alias: List
  readonly scope: List
}

const option = (describe: string, defaultDescription?: string) => ({
  type: 'string' as const,
  requiresArg: true,
  describe,
  ...(defaultDescription === undefined ? {} : { defaultDescription }),
})

export const serviceOptions = {
  selector: option('containers with these labels answer: k=v,…'),
  endpoint: option('ADDRESS[:PORT] that answers too; node:PORT is a process on this node; may be repeated'),
  scheduler: option(`how connections are spread: ${schedulers.join(' ')}`, 'rr; wrr with weights'),
  drain: option('how long a leaving endpoint keeps its connections at most', '30s'),
  persist: option('a client stays with its endpoint for so long, as in 600s', 'none'),
  weight: option(
    'LABEL=VALUE:N, weight of containers with that label, or N%, share of all; may be repeated',
    '1 each',
  ),
  alias: option('another name, as in db; may be repeated'),
  scope: option('only callers that share one see the service; may be repeated', 'all callers'),
} as const

/** The fields that were given, as the API takes them. */
export function serviceText(args: ServiceArguments): ServiceRequest {
  const text = {
    selector: args.selector,
    endpoints: listOf(args.endpoint),
    scheduler: args.scheduler,
    drain: args.drain,
    persistence: args.persist,
    weights: listOf(args.weight),
    aliases: listOf(args.alias),
    scopes: listOf(args.scope),
  }
  return Object.fromEntries(Object.entries(text).filter(([, value]) => value !== undefined))
}
