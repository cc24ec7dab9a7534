/**
 * The labels by which a service says how it wants to be served, wherever they are
 * written: on a Swarm service, or on a service of a compose file. Lists are separated by
 * commas. Pure.
 */
import { publishLabel } from '../model/declaration.js'
import type { GivenField, ServiceText } from '../model/service-fields.js'

/** Label of each field but the selector, which the service itself is. */
export const labelOfField: Readonly<Record<Exclude<GivenField, 'selector'>, string>> = {
  endpoints: 'mesh.endpoint',
  scheduler: 'mesh.scheduler',
  drain: 'mesh.drain',
  vip: 'mesh.vip',
  vipPorts: 'mesh.port',
  endpointMode: 'mesh.endpoint-mode',
  persistence: 'mesh.persist',
  weights: 'mesh.weight',
  aliases: 'mesh.alias',
  scopes: 'mesh.scope',
}

export const knownLabels: readonly string[] = [publishLabel, ...Object.values(labelOfField)]

/** What the labels say, as text; `read` answers undefined for one that is not there. */
export function textOfLabels(read: (label: string) => string | undefined): ServiceText {
  const one = (field: keyof typeof labelOfField) => read(labelOfField[field])
  const list = (field: keyof typeof labelOfField) => one(field)?.split(',')
  return {
    endpoints: list('endpoints'),
    scheduler: one('scheduler'),
    drain: one('drain'),
    vip: one('vip'),
    vipPorts: list('vipPorts'),
    endpointMode: one('endpointMode'),
    persistence: one('persistence'),
    weights: list('weights'),
    aliases: list('aliases'),
    scopes: list('scopes'),
  }
}

/** Whether the labels ask for something: a published port, a VIP, or a name for the endpoints. The others only say how. */
export function isAsked(text: ServiceText, publish: string | undefined): boolean {
  const { vip, vipPorts, endpointMode } = text
  return (
    publish !== undefined ||
    vipPorts !== undefined ||
    endpointMode?.trim() === 'dnsrr' ||
    (vip !== undefined && vip.trim() !== 'none')
  )
}
