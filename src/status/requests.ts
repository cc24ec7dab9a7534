/**
 * Bodies of the API's requests: text as a person writes it, so that `curl` is a
 * client too. meshctl reads them by the same functions before it asks the agent. Pure.
 */
import { z } from 'zod'
import { InputError } from '../errors.js'
import { parseDrain } from '../model/duration.js'
import { parseEndpoint } from '../model/endpoint.js'
import { parseServiceName } from '../model/names.js'
import { parsePortSpec } from '../model/ports.js'
import { type Publication, publicationOf } from '../model/publication.js'
import { parseSelector } from '../model/selector.js'
import { type Scheduler, schedulers } from '../model/service.js'
import type { GivenField } from './agent.js'

const publishRequest = z.strictObject({
  /** `web` */
  service: z.string(),
  /** `8888:80/tcp` each. */
  ports: z.array(z.string()).min(1),
  /** `app=web,tier=front` */
  selector: z.string().optional(),
  /** `10.1.2.3:5432` each. */
  endpoints: z.array(z.string()).optional(),
  scheduler: z.string().optional(),
  /** `30s`, or seconds. */
  drain: z.union([z.string(), z.number()]).optional(),
  wait: z.boolean().optional(),
})
export type PublishRequest = z.infer<typeof publishRequest>

const applyRequest = z.strictObject({ name: z.string().min(1), text: z.string() })
export type ApplyRequest = z.infer<typeof applyRequest>

const adoptRequest = z.strictObject({ keep: z.boolean().default(false) })
export type AdoptRequest = z.input<typeof adoptRequest>

export interface Publishing {
  readonly publication: Publication
  readonly wait: boolean
  readonly given: ReadonlySet<GivenField>
}

/** Throws InputError. */
export function readPublishRequest(body: unknown): Publishing {
  const request = check(publishRequest, body)
  const given = new Set<GivenField>()
  for (const field of ['selector', 'endpoints', 'scheduler', 'drain'] as const)
    if (request[field] !== undefined) given.add(field)
  const publication = publicationOf(parseServiceName(request.service), {
    ports: request.ports.map(parsePortSpec),
    selector: request.selector === undefined ? null : parseSelector(request.selector),
    endpoints: (request.endpoints ?? []).map(text => parseEndpoint(text)),
    ...(request.scheduler === undefined ? {} : { scheduler: parseScheduler(request.scheduler) }),
    ...(request.drain === undefined ? {} : { drain: parseDrain(request.drain) }),
  })
  return { publication, wait: request.wait ?? false, given }
}

/** Throws InputError. */
export function readApplyRequest(body: unknown): ApplyRequest {
  return check(applyRequest, body)
}

/** Throws InputError. No body is the same as an empty one. */
export function readAdoptRequest(body: unknown): { readonly keep: boolean } {
  return check(adoptRequest, body ?? {})
}

function parseScheduler(text: string): Scheduler {
  const scheduler = schedulers.find(name => name === text)
  if (!scheduler)
    throw new InputError(
      'scheduler',
      text,
      'the kernel has no such scheduler',
      `use ${schedulers.join(', ')}`,
    )
  return scheduler
}

function check<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = issue?.path.join('.') || 'request'
  const value = issue?.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)?.[key], body)
  const told = value === undefined ? '' : JSON.stringify(value)
  throw new InputError(
    field,
    told.length > 200 ? `${told.slice(0, 200)}…` : told,
    issue?.message ?? 'not understood',
    'see `meshctl publish --help` for what it takes',
  )
}
