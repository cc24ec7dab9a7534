/**
 * Views as text for people. Pure; one function for each view that a command prints.
 */
import { formatDuration } from '../model/duration.js'
import { formatSelector } from '../model/selector.js'
import type { ChangeView, EndpointView, NodeView, ServiceView, StatusView } from '../status/views.js'
import { count, formatTable } from './table.js'

/** Endpoints of a service, each once however many ports it answers on. */
function distinct(endpoints: readonly EndpointView[]): EndpointView[] {
  return [...new Map(endpoints.map(each => [each.id ?? `${each.address}:${each.port}`, each])).values()]
}

/** `2/3`: ready ones of all. */
export function readiness({ endpoints }: ServiceView): string {
  const all = distinct(endpoints)
  return `${all.filter(({ state }) => state === 'ready').length}/${all.length}`
}

function portsOf({ ports }: ServiceView): string {
  return ports.map(({ spec }) => spec).join(', ')
}

export function servicesText(services: readonly ServiceView[]): string {
  if (services.length === 0) return 'nothing is published; try: meshctl publish 8888:80 SERVICE'
  return formatTable(
    ['SERVICE', 'PORTS', 'READY', 'SCHEDULER', 'CONNECTIONS', 'FROM'],
    services.map(service => [
      service.name,
      portsOf(service),
      readiness(service),
      service.scheduler,
      String(service.endpoints.reduce((sum, { active }) => sum + active, 0)),
      service.origin,
    ]),
  )
}

export function serviceText(service: ServiceView): string {
  const head = [
    `service    ${service.name}`,
    `scheduler  ${service.scheduler}`,
    `drain      ${formatDuration(service.drain)}`,
    `selector   ${service.selector ? formatSelector(service.selector) : 'by name'}`,
    `from       ${service.origin}`,
    ...service.problems.map(problem => `problem    ${problem}`),
  ].join('\n')
  if (service.ports.length === 0) return `${head}\n\nnothing is published`
  const ports = formatTable(
    ['PORT', 'FWMARK', 'ADDRESS'],
    service.ports.map(({ spec, fwmark, address }) => [spec, fwmark, address ?? 'all']),
  )
  if (service.endpoints.length === 0)
    return `${head}\n\n${ports}\n\nno endpoints: connections are refused until one is ready`
  const endpoints = formatTable(
    ['ENDPOINT', 'ID', 'ADDRESS', 'FOR', 'STATE', 'WEIGHT', 'ACTIVE', 'INACTIVE', 'REASON'],
    service.endpoints.map(each => [
      each.container ?? '-',
      each.id ?? '-',
      each.address === null ? '-' : each.port === 0 ? each.address : `${each.address}:${each.port}`,
      each.published,
      each.state,
      String(each.weight),
      String(each.active),
      String(each.inactive),
      each.reason ?? '',
    ]),
  )
  return `${head}\n\n${ports}\n\n${endpoints}`
}

export function publishedText(service: ServiceView): string {
  const [ready = '0', all = '0'] = readiness(service).split('/')
  const state = all === '0' ? 'no endpoint yet' : `${ready} of ${all} endpoints ready`
  return `${service.name} is published on ${portsOf(service)}; ${state}`
}

export function statusText(status: StatusView): string {
  const { counts, lastPass } = status
  const parts = [
    [
      `node      ${status.node}`,
      `version   ${status.version}`,
      `running   ${formatDuration(Math.floor(status.uptime))}`,
      `health    ${status.healthy ? 'healthy' : 'NOT healthy'}`,
      `services  ${counts.services} on ${count(counts.ports, 'port')}`,
      `endpoints ${counts.ready} ready of ${counts.endpoints}, ${count(counts.connections, 'connection')}`,
      `last pass ${
        lastPass
          ? `${lastPass.at}, ${lastPass.kind}, ${lastPass.ms} ms, ${count(lastPass.changes, 'change')}, ${count(lastPass.failures, 'failure')}`
          : 'none yet'
      }`,
    ].join('\n'),
  ]
  if (status.troubles.length > 0)
    parts.push(
      formatTable(
        ['TROUBLE', 'SINCE', 'WHAT'],
        status.troubles.map(({ subject, since, message }) => [subject, since, message]),
      ),
    )
  parts.push(
    formatTable(
      ['SOURCE', 'STATE', ''],
      status.sources.map(({ name, state, message }) => [name, state, message ?? '']),
    ),
  )
  if (status.repairs.length > 0)
    parts.push(
      formatTable(
        ['REPAIRED', 'WHAT OTHERS HAD CHANGED'],
        status.repairs.map(({ at, what }) => [at, what]),
      ),
    )
  if (status.notes.length > 0) parts.push(status.notes.map(note => `note: ${note}`).join('\n'))
  return parts.join('\n\n')
}

/** `silent`: its kernel answers, but its agent is not heard of; `gone`: neither. */
function stateOf({ live, reach, draining }: NodeView): string {
  const reached = reach === 'reached'
  const presence = live ? (reached ? [] : ['unreachable']) : [reached ? 'silent' : 'gone']
  return [...presence, ...(draining ? ['draining'] : [])].join(', ') || 'ready'
}

export function nodesText(nodes: readonly NodeView[]): string {
  return formatTable(
    ['NODE', 'NUMBER', 'ADDRESS', 'SUBNET', 'STATE', 'CONTAINERS', 'CONNECTIONS'],
    nodes.map(node => [
      node.own ? `${node.name} (this one)` : node.name,
      node.number === null ? '-' : String(node.number),
      node.address ?? '-',
      node.subnet,
      stateOf(node),
      String(node.containers),
      String(node.connections),
    ]),
  )
}

export function planText(changes: readonly ChangeView[]): string {
  if (changes.length === 0) return 'nothing to change: the kernel holds what the mesh wants'
  return formatTable(
    ['WHERE', 'CHANGE'],
    changes.map(({ place, text }) => [place, text]),
  )
}
