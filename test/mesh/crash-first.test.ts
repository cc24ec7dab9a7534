import t from 'tap'
import { changeKey } from '../../src/kernel/change.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { hostAddress, Topology } from '../helpers/topology.js'

t.test('an agent killed in the midst of its first pass', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const one = topology.addContainer('one', { labels: { app: 'web' } })
  const two = topology.addContainer('two', { labels: { app: 'web' } })
  for (const container of [one, two]) await topology.serveTcp(container, 80, container.name)
  mesh.containers = [one, two]
  mesh.services = [
    service('web', ['8888:80', '9999:80', '5353:53/udp']),
    service('bound', [`${hostAddress}:8084:80`], { selector: { app: 'web' } }),
    service('process', ['8082:80'], { endpoints: [{ address: '127.0.0.1', port: 7000 }] }),
    service('external', ['8083:80'], { endpoints: [{ address: '192.168.77.254', port: 6000 }] }),
  ]
  const total = (await mesh.pass()).outcomes.length
  const undisturbed = await mesh.held()

  await t.test('after every few changes: one more pass makes the rest', async t => {
    for (let after = 0; after < total; after += 24) {
      await mesh.wipe()
      mesh.restart()
      await mesh.killedPass('full', after)
      await mesh.pass()
      t.strictSame(await mesh.held(), undisturbed, `killed after ${after} of ${total} changes`)
    }
  })

  await t.test('after every four changes, again and again: it gets there none the less', async t => {
    await mesh.wipe()
    mesh.restart()
    const steps = new Set<string>()
    for (;;) {
      const made = await mesh.killedPass('full', 4)
      if (made.length === 0) break
      for (const key of made.map(changeKey)) {
        if (steps.has(key)) throw new Error(`made before: ${key}`)
        steps.add(key)
      }
    }
    t.strictSame(MeshNode.text(await mesh.pass()), [], `${steps.size} steps were all there is to do`)
    t.strictSame(await mesh.held(), undisturbed)
  })
})
