import t from 'tap'
import { forgetFlows, staleFlows } from '../../src/drivers/conntrack.js'
import type { Change } from '../../src/kernel/change.js'
import { byFwmark } from '../../src/kernel/objects.js'
import { fwmarkOf } from '../../src/kernel/ownership.js'
import { freshStage } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

const udpMark = fwmarkOf('udp', 53)

loadModules('nf_conntrack', 'nf_conntrack_netlink')

t.test('flows to a port that was published and flows of an endpoint that went are forgotten', async t => {
  const { places, sockets, run } = freshStage(t)
  const flow = (protocol: string, port: number, endpoint: string) =>
    `conntrack -I -p ${protocol} -s 192.0.2.1 -d 192.0.2.2 --sport 4000 --dport ${port} -r ${endpoint} -q 192.0.2.1 ` +
    '--reply-port-src 53 --reply-port-dst 4000 -t 100'
  for (const place of ['host', 'mesh'] as const) {
    run(place, flow('udp', 5353, '10.254.0.3'))
    run(place, flow('udp', 5354, '10.254.0.4'))
    run(place, flow('udp', 5355, '10.254.0.5'))
    run(place, `${flow('tcp', 5353, '10.254.0.3')} --state ESTABLISHED -u ASSURED`)
  }
  const changes: Change[] = [
    {
      type: 'add',
      object: { kind: 'entry', place: 'host', set: 'mesh-udp', element: '5353', mark: null },
    },
    {
      type: 'remove',
      object: {
        kind: 'destination',
        service: byFwmark(udpMark),
        address: '10.254.0.4',
        port: 53,
        weight: 0,
        drainingSince: 0,
      },
    },
  ]
  t.equal(await forgetFlows(staleFlows(changes), sockets, places), 4)
  for (const place of ['host', 'mesh'] as const) {
    const left = run(place, 'conntrack -L')
    t.match(left, /udp .*dport=5355/)
    t.match(left, /tcp .*dport=5353/)
    t.notMatch(left, /udp .*dport=535[34]/)
  }
  t.equal(await forgetFlows(staleFlows([]), sockets, places), 0)
})

t.test(
  'of the flows to ports that were published before only those not translated are forgotten',
  async t => {
    const { places, sockets, run } = freshStage(t)
    const flow = (port: number, answering: string) =>
      `conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport 4000 --dport ${port} -r ${answering} -q 192.0.2.1 ` +
      `--reply-port-src ${port} --reply-port-dst 4000 -t 100`
    run('host', flow(5353, '10.254.0.1'))
    run('host', flow(5354, '192.0.2.2'))
    run('host', flow(5355, '192.0.2.2'))
    const found = ['5353', '5354'].map(
      element => ({ kind: 'entry', place: 'host', set: 'mesh-udp', element, mark: null }) as const,
    )
    t.equal(await forgetFlows(staleFlows([], found), sockets, places), 1)
    t.match(run('host', 'conntrack -L'), /dport=5353/)
    t.notMatch(run('host', 'conntrack -L'), /dport=5354/)
    t.match(run('host', 'conntrack -L'), /dport=5355/)
  },
)

t.test('only UDP ports that come or go and destinations that go make flows stale', async t => {
  const entry = (set: string, element: string): Change => ({
    type: 'remove',
    object: { kind: 'entry', place: 'host', set, element, mark: null },
  })
  const { changed, endpoints } = staleFlows([
    entry('mesh-tcp', '80'),
    entry('mesh-udp', '53'),
    entry('mesh-bound', '10.0.0.1,udp:54'),
    entry('mesh-bound', '10.0.0.1,tcp:55'),
    entry('mesh-hairpin', '10.0.0.1,10.254.0.3'),
    {
      type: 'add',
      object: {
        kind: 'destination',
        service: byFwmark(udpMark),
        address: '10.254.0.4',
        port: 53,
        weight: 1,
        drainingSince: 0,
      },
    },
  ])
  t.strictSame([...changed.ports], [53, 54])
  t.strictSame([...endpoints], [])
  const gone = { kind: 'destination', address: '10.254.0.4', port: 53, weight: 0, drainingSince: 0 } as const
  const removed = (fwmark: number): Change => ({
    type: 'remove',
    object: { ...gone, service: byFwmark(fwmark) },
  })
  t.equal(staleFlows([removed(fwmarkOf('tcp', 53))]).endpoints.size, 0)
  t.equal(staleFlows([removed(udpMark)]).endpoints.size, 1)
})
