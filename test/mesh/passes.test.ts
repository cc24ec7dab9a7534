/**
 * Passes of both kinds on one kernel: what a container does is not held up by a look for
 * damage, however long that takes.
 */
import t from 'tap'
import type { Driver } from '../../src/kernel/driver.js'
import type { Pass } from '../../src/reconcile/reconcile.js'
import { Runner } from '../../src/reconcile/runner.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { Topology, waitFor } from '../helpers/topology.js'

t.test('a container comes while the kernel is looked at', async t => {
  const topology = new Topology()
  t.teardown(() => topology.destroy())
  let isLong = false
  let looks = 0
  /** Has much to read, when that is wanted: it is not done before it is told to stop. */
  const slowed = (driver: Driver): Driver => ({
    ...driver,
    observe: async (places, signal) => {
      if (isLong && driver.name === 'set') {
        looks++
        await new Promise(resolve => signal?.addEventListener('abort', resolve))
        signal?.throwIfAborted()
      }
      return driver.observe(places, signal)
    },
  })
  const mesh = await MeshNode.create(topology, slowed)
  const web = service('web', ['8888:80'])
  mesh.services = [web]
  mesh.containers = [topology.addContainer('c1', { labels: { app: 'web' } })]
  await mesh.pass()

  const passes: Pass[] = []
  const make = async (kind: 'fast' | 'full', signal: AbortSignal) => {
    const pass = await mesh.reconciler.pass(kind, signal)
    passes.push(pass)
    return pass.gaveUp ? null : pass.outcomes.every(({ error }) => error === null)
  }
  const runner = new Runner(make, { minGap: 0, resync: 3_600_000, patience: 3_600_000 })
  runner.start()
  await waitFor('the first pass', () => passes.length === 1)

  isLong = true
  runner.mark('full')
  await waitFor('a look', () => looks === 1)
  const late = topology.addContainer('c2', { labels: { app: 'web' } })
  mesh.containers = [...mesh.containers, late]
  runner.mark('fast')
  const address = await waitFor('its mesh address', () => mesh.reconciler.addressOf(late.id))
  await waitFor('its destination', () => mesh.run('mesh', 'ipvsadm -Ln').includes(`${address}:80 `))
  await waitFor('the next look', () => looks === 2)
  t.strictSame(
    passes.slice(1).map(({ kind, gaveUp }) => [kind, gaveUp]),
    [
      ['fast', true],
      ['fast', false],
    ],
    'the look is given up, and nothing is made of it',
  )
  mesh.run(
    'mesh',
    `ipvsadm -d -f ${/FWM +(\d+)/.exec(mesh.run('mesh', 'ipvsadm -Ln'))?.[1]} -r ${address}:80`,
  )
  isLong = false
  runner.mark('fast')
  const repairing = await waitFor(
    'a whole look',
    () => passes.slice(1).find(({ kind }) => kind === 'full') ?? null,
  )
  t.strictSame(
    repairing.repairs.map(({ change }) => change.object.kind),
    ['destination'],
    'what was damaged meanwhile is seen afterwards, and that alone',
  )
  await runner.stop()
  t.strictSame(MeshNode.text(await mesh.pass()), [])
  await mesh.clean()
})

t.test('the kernel is not looked at in vain', async t => {
  const topology = new Topology()
  t.teardown(() => topology.destroy())
  const mesh = await MeshNode.create(topology)
  mesh.services = [service('web', ['8888:80'])]
  mesh.containers = [topology.addContainer('c1', { labels: { app: 'web' } })]
  t.notOk((await mesh.reconciler.pass('full', AbortSignal.abort())).gaveUp, 'the first has to be made')
  const again = await mesh.reconciler.pass('full', AbortSignal.abort())
  t.match(again, { kind: 'fast', gaveUp: true, outcomes: [] })
  t.match(await mesh.reconciler.pass('full'), { kind: 'full', gaveUp: false, repairs: [] })
  await mesh.clean()
})
