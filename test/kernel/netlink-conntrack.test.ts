import { spawnSync } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { openSocket } from '../../src/netlink/addon.js'
import { countFlows, deleteFlow, type Flow, listFlows } from '../../src/netlink/conntrack.js'
import { setLink } from '../../src/netlink/route.js'
import { connect, freshNamespace, loadModules, runIn } from '../helpers/namespaces.js'

loadModules('nf_conntrack', 'nf_conntrack_netlink', 'xt_conntrack', 'iptable_filter', 'ip_tables')

/** Tracking begins in a namespace with the first rule that needs it. */
function trackIn(path: string): void {
  const usable = ['iptables', 'iptables-legacy', 'iptables-nft'].find(
    name => spawnSync('sh', ['-c', `${name} -S`]).status === 0,
  )
  runIn(path, [usable ?? 'iptables', '-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'ACCEPT'])
}

t.test('UDP flows are found, counted and deleted by port and endpoint', async t => {
  const path = freshNamespace(t)
  await connect(t, 'route', path).request([setLink('lo', { up: true })])
  trackIn(path)
  const connection = connect(t, 'netfilter', path)
  t.same(await connection.dump(listFlows()), [])
  t.same(await connection.get(countFlows()), [0])

  const servers = ['127.0.0.1', '127.0.0.2'].map(address => {
    const server = dgram.createSocket('udp4')
    server.bind({ fd: openSocket('udp', address, 5300, path) })
    t.teardown(() => server.close())
    return server
  })
  const client = dgram.createSocket('udp4')
  client.bind({ fd: openSocket('udp', '127.0.0.1', 1000, path) })
  t.teardown(() => client.close())
  for (const server of servers) {
    const arrived = once(server, 'message')
    client.send('x', 5300, server.address().address)
    await arrived
  }

  const flows = await connection.dump(listFlows(17))
  t.equal(flows.length, 2)
  t.match(
    flows.find(({ reply }) => reply.source === '127.0.0.2'),
    {
      protocol: 17,
      original: { source: '127.0.0.1', sourcePort: 1000, destination: '127.0.0.2', destinationPort: 5300 },
      reply: { source: '127.0.0.2', sourcePort: 5300, destination: '127.0.0.1', destinationPort: 1000 },
      zone: null,
    },
  )
  t.same(await connection.get(countFlows()), [2])
  t.same(await connection.dump(listFlows(6)), [])
  const going = flows.filter(({ reply }) => reply.source === '127.0.0.2')
  t.same(await connection.request(going.map(deleteFlow)), [null])
  const left = await connection.dump(listFlows())
  t.match(left, [{ reply: { source: '127.0.0.1' } }])
  t.same(await connection.request(left.map(deleteFlow)), [null])
  t.same(await connection.get(countFlows()), [0])
  const [error] = await connection.request([deleteFlow(left[0] as Flow)])
  t.equal(error?.errnoName, 'ENOENT')
})
