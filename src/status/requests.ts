/**
 * Bodies of the API's requests: text as a person writes it, so that `curl` is a
 * client too. meshctl reads them by the same functions before it asks the agent. Pure.
 */
import { z } from 'zod'
import { InputError } from '../errors.js'
import { parseServiceName } from '../model/names.js'
import { parsePortSpec } from '../model/ports.js'
import { checkService, type Publication, publicationOf } from '../model/publication.js'
import {
  type GivenField,
  parseFields,
  type ServiceFields,
  type ServiceText,
} from '../model/service-fields.js'

const list = z.array(z.string()).optional()

/** What may be said of any service. */
const serviceRequest = z.strictObject({
  /** `app=web,tier=front` */
  selector: z.string().optional(),
  /** `10.1.2.3:5432` each. */
  endpoints: list,
  scheduler: z.string().optional(),
  /** `30s`, or seconds. */
  drain: z.union([z.string(), z.number()]).optional(),
  /** `auto`, `none` or an address. */
  vip: z.string().optional(),
  /** `8080:80/tcp` each. */
  vipPorts: list,
  endpointMode: z.string().optional(),
  /** `600s`, or seconds. */
  persistence: z.union([z.string(), z.number()]).optional(),
  /** `version=canary:5` each. */
  weights: list,
  aliases: list,
  scopes: list,
}) satisfies z.ZodType<ServiceText>
export type ServiceRequest = z.infer<typeof serviceRequest>

const publishRequest = serviceRequest.extend({
  /** `web` */
  service: z.string(),
  /** `8888:80/tcp` each. */
  ports: z.array(z.string()).min(1),
  wait: z.boolean().optional(),
})
export type PublishRequest = z.infer<typeof publishRequest>

const createRequest = serviceRequest.extend({ service: z.string() })
export type CreateRequest = z.infer<typeof createRequest>

const applyRequest = z.strictObject({
  name: z.string().min(1),
  text: z.string(),
  /** Values of the variables in the text of a compose file. */
  environment: z.record(z.string(), z.string()).optional(),
})
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
  const { service, ports, wait, ...text } = check(publishRequest, body, 'publish')
  const fields = parseFields(text)
  const publication = publicationOf(parseServiceName(service), { ...fields, ports: ports.map(parsePortSpec) })
  return { publication, wait: wait ?? false, given: givenIn(fields) }
}

/** Throws InputError. */
export function readCreateRequest(body: unknown): Publication {
  const { service, ...text } = check(createRequest, body, 'service create')
  const publication = publicationOf(parseServiceName(service), parseFields(text))
  checkService(publication)
  return publication
}

/** What is to be changed of a service: at least one field. Throws InputError. */
export function readSetRequest(body: unknown): ServiceFields {
  const fields = parseFields(check(serviceRequest, body, 'service set'))
  if (givenIn(fields).size > 0) return fields
  throw new InputError('arguments', '', 'there is nothing to change', 'see `meshctl service set --help`')
}

const removeRequest = z.strictObject({ force: z.boolean().default(false) })
export type RemoveRequest = z.input<typeof removeRequest>

/** Throws InputError. No body is the same as an empty one. */
export function readRemoveRequest(body: unknown): { readonly force: boolean } {
  return check(removeRequest, body ?? {}, 'service rm')
}

function givenIn(fields: ServiceFields): ReadonlySet<GivenField> {
  return new Set(Object.keys(fields) as GivenField[])
}

/** Throws InputError. */
export function readApplyRequest(body: unknown): ApplyRequest {
  return check(applyRequest, body, 'apply')
}

/** Throws InputError. No body is the same as an empty one. */
export function readAdoptRequest(body: unknown): { readonly keep: boolean } {
  return check(adoptRequest, body ?? {}, 'adopt')
}

/** `command`: of meshctl, whose help says what there may be. */
function check<Schema extends z.ZodType>(schema: Schema, body: unknown, command: string): z.output<Schema> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
  const path = [...(issue?.path ?? []), ...unknown]
  const value = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)?.[key], body)
  const told = value === undefined ? '' : JSON.stringify(value)
  throw new InputError(
    path.join('.') || 'request',
    told.length > 200 ? `${told.slice(0, 200)}…` : told,
    unknown.length > 0 ? 'there is no such field' : (issue?.message ?? 'not understood'),
    `see \`meshctl ${command} --help\` for what it takes`,
  )
}
