/**
 * Other nodes watched through a wire: whether they answer is their kernel's matter alone.
 */
import { basename } from 'node:path'
import t from 'tap'
import { PeerWatch } from '../../src/health/peer-watch.js'
import type { Reach } from '../../src/model/cluster.js'
import { freshNamespace, runIn } from '../helpers/namespaces.js'
import { sleep, waitFor } from '../helpers/wait.js'

t.test('a node that no longer answers is quiet, then lost, and found again', async t => {
  const [own, other] = [freshNamespace(t), freshNamespace(t)]
  const ip = (where: string, command: string) => runIn(where, ['ip', ...command.split(' ')])
  ip(own, `link add eth0 type veth peer name eth0 netns ${basename(other)}`)
  for (const [where, address] of [
    [own, '10.254.0.1/16'],
    [other, '10.254.1.1/16'],
  ] as const) {
    ip(where, `address add ${address} dev eth0`)
    ip(where, 'link set eth0 up')
  }
  const history: Reach[] = []
  const watch = new PeerWatch({ sandbox: own, onChange: () => history.push(watch.reachOf('node2')) })
  t.teardown(() => watch.stop())
  watch.watch([{ name: 'node2', address: '10.254.1.1' }])
  await sleep(2.5)
  t.strictSame(history, [], 'nobody listens there, and yet it answers')

  const cut = performance.now()
  ip(other, 'link set eth0 down')
  await waitFor(() => history.at(-1) === 'quiet', 'quiet', 20, 0.02)
  const quiet = (performance.now() - cut) / 1000
  t.ok(quiet > 0.7, `quiet after ${quiet.toFixed(2)} s, not for a lost packet or two`)
  await waitFor(() => history.at(-1) === 'lost', 'lost', 30, 0.02)
  t.ok((performance.now() - cut) / 1000 > 4, 'and lost later')

  ip(other, 'link set eth0 up')
  await waitFor(() => history.at(-1) === 'reached', 'its return', 20, 0.02)
  t.strictSame(history, ['quiet', 'lost', 'reached'])

  watch.watch([])
  t.equal(watch.reachOf('node2'), 'reached', 'of a node that is not watched nothing is held against it')
})

t.test('without a sandbox of its own a node suspects nobody', async t => {
  const watch = new PeerWatch({ sandbox: '/run/netns/mesh-nonesuch', onChange: () => t.fail('a change') })
  t.teardown(() => watch.stop())
  watch.watch([{ name: 'node2', address: '10.254.1.1' }])
  await sleep(2.5)
  t.equal(watch.reachOf('node2'), 'reached')
})
