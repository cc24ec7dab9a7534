/**
 * Numbers for Prometheus. Functions take plain values and know nothing of where
 * they come from; meshd feeds them after each pass and before each answer.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from '../kernel/change.js'
import type { NamesView, ServiceView } from './views.js'

const endpointLabels = ['service', 'published', 'endpoint', 'container'] as const

/**
 * How late timers come is measured when somebody asks. To measure it all the time would wake the
 * agent a hundred times a second, which was half of what it cost while nothing happened. Milliseconds.
 */
const never = 0x7fffffff

export interface Metrics {
  /** After a pass; `seconds` it took. */
  pass(kind: 'full' | 'fast', seconds: number, outcomes: readonly Outcome[]): void
  /** Something others had changed was put right. */
  repairs(count: number): void
  /** Totals since the agent started: messages that change the kernel, and that read it. */
  netlinkMessages(changes: number, queries: number): void
  /** nf_conntrack_count of a namespace: `host` or `mesh`. */
  conntrackEntries(place: string, count: number): void
  /** nf_conntrack_max, how many of them each namespace may have. */
  conntrackLimit(limit: number): void
  /** Packets with a wrong checksum that came to the sandbox since it was made. */
  damagedPackets(count: number): void
  /** What is published now; endpoints that are gone are forgotten. */
  services(services: readonly ServiceView[]): void
  /** VIPs given out, and how many the pool has. */
  vips(used: number, size: number): void
  /** DNS queries since the agent started. */
  queries(counts: NamesView['queries']): void
  healthy(healthy: boolean): void
  /** All of it in Prometheus' text format. */
  text(): Promise<string>
}

/** `version` becomes a label of mesh_build_info. */
export function createMetrics(version: string): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, prefix: 'mesh_', eventLoopMonitoringPrecision: never })
  for (const figure of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    registry.removeSingleMetric(`mesh_nodejs_eventloop_lag_${figure}_seconds`)
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers })
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Counter({ name, help, labelNames: [...labelNames], registers })

  gauge('mesh_build_info', 'Always 1; the version is a label', ['version']).set({ version }, 1)
  const healthy = gauge('mesh_healthy', '1 when the agent has no troubles, else 0')
  const passes = counter('mesh_passes_total', 'Passes made: full ones compare the whole kernel state', [
    'kind',
  ])
  const seconds = new Histogram({
    name: 'mesh_pass_seconds',
    help: 'How long passes took',
    labelNames: ['kind'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const changes = counter('mesh_changes_total', 'Changes made in the kernel', ['kind', 'type'])
  const failures = counter('mesh_change_failures_total', 'Changes the kernel refused', ['kind', 'type'])
  const repairs = counter('mesh_repairs_total', 'Changes by others that were put right')
  const messages = new Gauge({
    name: 'mesh_netlink_messages_total',
    help: 'Netlink messages sent since the agent started',
    labelNames: ['purpose'],
    registers,
  })
  const conntrack = gauge('mesh_conntrack_entries', 'Connections the kernel tracks', ['place'])
  const conntrackLimit = gauge(
    'mesh_conntrack_limit',
    'Connections it may track in each place; 0: any number',
  )
  const damaged = gauge(
    'mesh_checksum_errors_total',
    'TCP and UDP packets with a wrong checksum that came to the sandbox',
  )
  const published = gauge('mesh_services', 'Services published')
  const vips = gauge('mesh_vips', 'VIPs that services have')
  const vipPool = gauge('mesh_vip_pool_size', 'VIPs there are for services')
  const queries = gauge(
    'mesh_dns_queries_total',
    'DNS queries: answered here, forwarded, and those of the forwarded that failed',
    ['result'],
  )
  const connections = gauge(
    'mesh_destination_connections',
    'Established connections of an endpoint, as IPVS counts them',
    endpointLabels,
  )
  const inactive = gauge(
    'mesh_destination_inactive_connections',
    'Connections of an endpoint that are closing, or UDP ones recently used',
    endpointLabels,
  )
  const weight = gauge('mesh_destination_weight', 'Share of new connections; 0 is draining', endpointLabels)
  const ready = gauge('mesh_service_ready_endpoints', 'Endpoints that get new connections', [
    'service',
    'published',
  ])

  return {
    pass(kind, took, outcomes) {
      passes.inc({ kind })
      seconds.observe({ kind }, took)
      for (const { change, error } of outcomes) {
        const labels = { kind: change.object.kind, type: change.type }
        if (error) failures.inc(labels)
        else changes.inc(labels)
      }
    },
    repairs: count => repairs.inc(count),
    netlinkMessages(changes, queries) {
      messages.set({ purpose: 'change' }, changes)
      messages.set({ purpose: 'query' }, queries)
    },
    conntrackEntries: (place, count) => conntrack.set({ place }, count),
    conntrackLimit: limit => conntrackLimit.set(limit),
    damagedPackets: count => damaged.set(count),
    services(services) {
      for (const each of [connections, inactive, weight, ready]) each.reset()
      published.set(services.length)
      for (const service of services) {
        for (const port of service.ports)
          ready.set({ service: service.name, published: `${port.published}/${port.protocol}` }, 0)
        for (const endpoint of service.endpoints) {
          const labels = {
            service: service.name,
            published: endpoint.published,
            endpoint: `${endpoint.address ?? ''}:${endpoint.port}`,
            container: endpoint.container ?? '',
          }
          connections.set(labels, endpoint.active)
          inactive.set(labels, endpoint.inactive)
          weight.set(labels, endpoint.weight)
          if (endpoint.state === 'ready') ready.inc({ service: service.name, published: endpoint.published })
        }
      }
    },
    vips(used, size) {
      vips.set(used)
      vipPool.set(size)
    },
    queries(counts) {
      for (const [result, count] of Object.entries(counts)) queries.set({ result }, count)
    },
    healthy: value => healthy.set(value ? 1 : 0),
    text: () => registry.metrics(),
  }
}
