/**
 * Whether damage done in the tunnel is seen where it arrives.
 */
import t from 'tap'
import { readChecksumErrors } from '../../src/health/checksums.js'
import { meshCluster } from '../helpers/mesh-cluster.js'
import { waitFor } from '../helpers/topology.js'
import { sendFrames } from '../helpers/tunnel-frames.js'

t.test('packets that come through the tunnel with a wrong checksum are counted', async t => {
  const cluster = await meshCluster(2)
  t.teardown(() => cluster.destroy())
  const [first, second] = cluster.topologies
  const [one] = cluster.meshes
  const [to, from] = cluster.records
  for (const mesh of cluster.meshes) await mesh.pass()
  const tunnel = { vni: 4097, port: 8473 }
  const counts = () => readChecksumErrors(first.sandboxPath)
  const arrived = () =>
    Number(/^ *mesh-vxlan: *\d+ +(\d+)/m.exec(one.run('mesh', 'cat /proc/self/net/dev'))?.[1])

  t.equal(counts(), 0)
  const before = arrived()
  await sendFrames(second.host, from, to, tunnel, { count: 20, damaged: false })
  await waitFor('whole packets', () => arrived() >= before + 20)
  t.equal(counts(), 0, 'whole ones are none of them')
  await sendFrames(second.host, from, to, tunnel, { count: 20, damaged: true })
  await waitFor('damaged packets', () => counts() === 20)
  await sendFrames(first.client, { ...from, address: '192.168.77.254' }, to, tunnel, {
    count: 20,
    damaged: true,
  })
  await sendFrames(second.host, from, to, tunnel, { count: 1, damaged: true })
  await waitFor('one more', () => counts() === 21)
  t.pass('who is no node cannot send any')
})
