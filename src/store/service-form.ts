/**
 * How a service is written down, in the embedded store's file and in etcd alike.
 */
import { z } from 'zod'
import { lengthOf, protocols } from '../model/ports.js'
import { declarers, endpointModes, type Service, schedulers } from '../model/service.js'

const port = z.int().min(1).max(65535)
const range = z
  .strictObject({ first: port, last: port })
  .refine(({ first, last }) => first <= last, 'the range runs backwards')
const address = z.union([z.ipv4(), z.ipv6()])

const publishedPort = z
  .strictObject({ protocol: z.enum(protocols), published: range, target: range, address: address.nullable() })
  .refine(spec => lengthOf(spec.published) === lengthOf(spec.target), 'the two ranges differ in length')

const vipPort = z
  .strictObject({ protocol: z.enum(protocols), port: range, target: range })
  .refine(spec => lengthOf(spec.port) === lengthOf(spec.target), 'the two ranges differ in length')

export const serviceForm = z.strictObject({
  name: z.string().min(1),
  ports: z.array(publishedPort),
  selector: z.record(z.string(), z.string()).nullable(),
  endpoints: z.array(z.strictObject({ address, port: port.nullable() })),
  scheduler: z.enum(schedulers),
  drain: z.number().min(0).max(86400),
  // Absent from what was stored before there were VIPs.
  vip: z.ipv4().nullable().default(null),
  vipPorts: z.array(vipPort).default([]),
  endpointMode: z.enum(endpointModes).default('vip'),
  persistence: z.int().min(0).max(86400).default(0),
  weights: z
    .array(
      z.strictObject({
        label: z.string().min(1),
        value: z.string(),
        weight: z.int().min(0).max(65535),
        percent: z.literal(true).optional(),
      }),
    )
    .default([]),
  aliases: z.array(z.string().min(1)).default([]),
  scopes: z.array(z.string().min(1)).default([]),
  // Absent from what was stored before there were labels.
  declaredBy: z.enum(declarers).default('meshctl'),
  problems: z.array(z.string()).default([]),
}) satisfies z.ZodType<Service>

/** The first thing wrong with a value, with the place where it is. */
export function issueOf(error: z.ZodError): string {
  const issue = error.issues[0]
  return `${issue?.path.join('.') || 'content'}: ${issue?.message ?? 'not understood'}`
}
