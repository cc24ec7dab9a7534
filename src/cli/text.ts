/**
 * Views as text for people. Pure; one function for each view that a command prints.
 */
import { formatDuration } from '../model/duration.js'
import { formatSelector } from '../model/selector.js'
import { countedOnce } from '../status/counted-once.js'
import type {
  ChangeView,
  EndpointView,
  NodeView,
  ServiceView,
  StatusView,
  VipEndpointView,
} from '../status/views.js'
import { count, formatTable } from './table.js'

/** Endpoints of a service, each once however many ports it answers on. */
function distinct(endpoints: readonly EndpointView[]): EndpointView[] {
  return [...new Map(endpoints.map(each => [each.id ?? `${each.address}:${each.port}`, each])).values()]
}

/** `2/3`: ready ones of all. */
export function readiness({ endpoints, vipEndpoints }: ServiceView): string {
  const all = endpoints.length > 0 ? distinct(endpoints) : vipEndpoints
  return `${all.filter(({ state }) => state === 'ready').length}/${all.length}`
}

function portsOf({ ports }: ServiceView): string {
  return ports.map(({ spec }) => spec).join(', ') || '-'
}

function connectionsOf(service: ServiceView): number {
  return countedOnce(service).reduce((sum, { active }) => sum + active, 0)
}

export function servicesText(services: readonly ServiceView[]): string {
  if (services.length === 0) return 'nothing is published; try: meshctl publish 8888:80 SERVICE'
  return formatTable(
    ['SERVICE', 'PORTS', 'VIP', 'READY', 'SCHEDULER', 'CONNECTIONS', 'FROM'],
    services.map(service => [
      service.name,
      portsOf(service),
      service.vip ?? '-',
      readiness(service),
      service.scheduler,
      String(connectionsOf(service)),
      service.origin,
    ]),
  )
}

/** Services by where they are in the mesh. */
export function namedServicesText(services: readonly ServiceView[]): string {
  if (services.length === 0) return 'there is no service; try: meshctl service create NAME --port 80'
  return formatTable(
    ['SERVICE', 'VIP', 'PORTS', 'NAMES', 'SCOPES', 'READY', 'FROM'],
    services.map(service => [
      service.name,
      service.vip ?? (service.endpointMode === 'dnsrr' ? 'dnsrr' : '-'),
      vipPortsOf(service),
      service.names.join(', ') || '-',
      service.scopes.join(', ') || 'all',
      readiness(service),
      service.origin,
    ]),
  )
}

function vipPortsOf({ vipPorts }: ServiceView): string {
  return vipPorts.map(({ spec }) => spec).join(', ') || '-'
}

export function serviceText(service: ServiceView): string {
  const isNamed = service.vip !== null || service.endpointMode === 'dnsrr'
  const head = [
    `service    ${service.name}`,
    service.vip !== null && `vip        ${service.vip} on ${vipPortsOf(service)}`,
    isNamed && service.names.length > 0 && `names      ${service.names.join(', ')}`,
    service.endpointMode !== 'vip' && `mode       ${service.endpointMode}`,
    service.scopes.length > 0 && `scopes     ${service.scopes.join(', ')}`,
    service.persistence > 0 && `persist    ${formatDuration(service.persistence)}`,
    service.weights.length > 0 && `weights    ${service.weights.join(', ')}`,
    `scheduler  ${service.scheduler}`,
    `drain      ${formatDuration(service.drain)}`,
    `selector   ${service.selector ? formatSelector(service.selector) : 'by name'}`,
    `from       ${service.origin}`,
    ...service.problems.map(problem => `problem    ${problem}`),
  ]
    .filter(Boolean)
    .join('\n')
  const parts = [head]
  if (service.ports.length > 0)
    parts.push(
      formatTable(
        ['PORT', 'FWMARK', 'ADDRESS'],
        service.ports.map(({ spec, fwmark, address }) => [spec, fwmark, address ?? 'all']),
      ),
    )
  else if (service.vip === null && service.endpointMode === 'vip') return `${head}\n\nnothing is published`
  const rows = [
    ...service.endpoints.map(each => endpointRow(each, each.published)),
    ...service.vipEndpoints.map(each => endpointRow(each, service.vip === null ? 'name' : 'vip')),
  ]
  parts.push(
    rows.length === 0
      ? 'no endpoints: connections are refused until one is ready'
      : formatTable(
          ['ENDPOINT', 'ID', 'ADDRESS', 'FOR', 'STATE', 'WEIGHT', 'ACTIVE', 'INACTIVE', 'REASON'],
          rows,
        ),
  )
  return parts.join('\n\n')
}

/** `what` leads to the endpoint: a published port, the VIP or the name alone. */
function endpointRow(each: VipEndpointView, what: string): string[] {
  return [
    each.container ?? '-',
    each.id ?? '-',
    each.address === null ? '-' : each.port === 0 ? each.address : `${each.address}:${each.port}`,
    what,
    each.state,
    String(each.weight),
    String(each.active),
    String(each.inactive),
    each.reason ?? '',
  ]
}

/** What became of a service that was created or changed. */
export function servedText(service: ServiceView): string {
  const { name, vip, names, ports } = service
  const where = vip === null ? '' : ` at ${vip} on ${vipPortsOf(service)}`
  const published = ports.length === 0 ? '' : `; published on ${portsOf(service)}`
  const named = names.length === 0 ? '' : ` as ${names.join(', ')}`
  return `${name} answers${where}${named}${published}; ${readyText(service)}`
}

function readyText(service: ServiceView): string {
  const [ready = '0', all = '0'] = readiness(service).split('/')
  return all === '0' ? 'no endpoint yet' : `${ready} of ${all} endpoints ready`
}

export function publishedText(service: ServiceView): string {
  return `${service.name} is published on ${portsOf(service)}; ${readyText(service)}`
}

export function statusText(status: StatusView): string {
  const { counts, lastPass, vips } = status
  const parts = [
    [
      `node      ${status.node}`,
      `version   ${status.version}`,
      `running   ${formatDuration(Math.floor(status.uptime))}`,
      `health    ${status.healthy ? 'healthy' : 'NOT healthy'}`,
      `services  ${counts.services} on ${count(counts.ports, 'port')}`,
      `endpoints ${counts.ready} ready of ${counts.endpoints}, ${count(counts.connections, 'connection')}`,
      ...(vips ? [`vips      ${vips.used} of ${vips.size} in ${vips.pool}`] : []),
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
  const notes = nodes.flatMap(each => each.notes.map(note => `note: ${note}`))
  const table = formatTable(
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
  return [table, ...(notes.length > 0 ? [notes.join('\n')] : [])].join('\n\n')
}

export function planText(changes: readonly ChangeView[]): string {
  if (changes.length === 0) return 'nothing to change: the kernel holds what the mesh wants'
  return formatTable(
    ['WHERE', 'CHANGE'],
    changes.map(({ place, text }) => [place, text]),
  )
}
