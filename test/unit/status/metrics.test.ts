/**
 * Numbers for Prometheus.
 */
import t from 'tap'
import type { Change } from '../../../src/kernel/change.js'
import { createMetrics } from '../../../src/status/metrics.js'
import type { ServiceView } from '../../../src/status/views.js'
import { anEndpoint } from '../../helpers/agent-double.js'
import { withoutVip } from '../../helpers/services.js'

const added: Change = { type: 'add', object: { kind: 'timeouts', tcp: 1, tcpFin: 1, udp: 1 } }

function web(...endpoints: ServiceView['endpoints'][number][]): ServiceView {
  const port = {
    spec: '8888:80/tcp',
    protocol: 'tcp',
    published: '8888',
    target: '80',
    address: null,
    fwmark: '0x1',
  }
  return {
    name: 'web',
    ports: [port],
    scheduler: 'rr',
    drain: 30,
    selector: null,
    origin: 'meshctl',
    problems: [],
    endpoints,
    ...withoutVip,
  }
}

t.test('passes, changes, failures and repairs are counted', async t => {
  const metrics = createMetrics('1.2.3')
  metrics.pass('full', 0.02, [
    { change: added, error: null },
    { change: added, error: new Error('no') },
    { change: added, error: null },
  ])
  metrics.pass('fast', 0.001, [])
  metrics.repairs(2)
  metrics.netlinkMessages(10, 12)
  metrics.conntrackEntries('mesh', 5)
  metrics.conntrackLimit(262144)
  metrics.damagedPackets(3)
  metrics.vips(4, 65_533)
  metrics.queries({ answered: 3, forwarded: 2, failed: 1 })
  metrics.healthy(true)
  const lines = (await metrics.text()).split('\n')
  for (const line of [
    'mesh_build_info{version="1.2.3"} 1',
    'mesh_healthy 1',
    'mesh_checksum_errors_total 3',
    'mesh_vips 4',
    'mesh_dns_queries_total{result="failed"} 1',
    'mesh_vip_pool_size 65533',
    'mesh_passes_total{kind="full"} 1',
    'mesh_passes_total{kind="fast"} 1',
    'mesh_changes_total{kind="timeouts",type="add"} 2',
    'mesh_change_failures_total{kind="timeouts",type="add"} 1',
    'mesh_pass_seconds_count{kind="full"} 1',
    'mesh_pass_seconds_sum{kind="full"} 0.02',
    'mesh_repairs_total 2',
    'mesh_netlink_messages_total{purpose="change"} 10',
    'mesh_netlink_messages_total{purpose="query"} 12',
    'mesh_conntrack_entries{place="mesh"} 5',
    'mesh_conntrack_limit 262144',
  ])
    t.ok(lines.includes(line), line)
})

t.test('endpoints that are gone are forgotten, and a service without any shows 0', async t => {
  const metrics = createMetrics('1')
  metrics.services([
    web(anEndpoint(), anEndpoint({ id: 'f', address: '10.254.0.4', state: 'leaving', weight: 0 })),
  ])
  const labels = (address: string) =>
    `{service="web",published="8888/tcp",endpoint="${address}:80",container="web.1"}`
  const first = (await metrics.text()).split('\n')
  for (const line of [
    `mesh_destination_connections${labels('10.254.0.3')} 2`,
    `mesh_destination_inactive_connections${labels('10.254.0.3')} 1`,
    `mesh_destination_weight${labels('10.254.0.4')} 0`,
    'mesh_service_ready_endpoints{service="web",published="8888/tcp"} 1',
    'mesh_services 1',
  ])
    t.ok(first.includes(line), line)
  metrics.services([web()])
  const second = await metrics.text()
  t.notMatch(second, '10.254.0.3')
  t.match(second, 'mesh_service_ready_endpoints{service="web",published="8888/tcp"} 0\n')
})

t.test('two agents in one process do not share numbers', async t => {
  const one = createMetrics('1')
  const two = createMetrics('2')
  one.repairs(1)
  t.match(await two.text(), 'mesh_repairs_total 0\n')
})
