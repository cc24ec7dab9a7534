import t from 'tap'
import type { Container } from '../../src/model/container.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { hostAddress, Topology } from '../helpers/topology.js'

t.test('an agent killed in the midst of a change to what it serves', async t => {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const { client } = topology
  const add = async (name: string, app: string): Promise<Container> => {
    const container = topology.addContainer(name, { labels: { app } })
    await topology.serveTcp(container, 80, name)
    return container
  }
  const [stays, goes, comes, late, old] = [
    await add('stays', 'web'),
    await add('goes', 'web'),
    await add('comes', 'web'),
    await add('late', 'late'),
    await add('old', 'old'),
  ]
  const web = service('web', ['8888:80'])
  const before = {
    containers: [stays, goes, old],
    services: [web, service('old', ['7777:80'])],
  }
  const after = {
    containers: [stays, comes, late],
    services: [web, service('late', ['9999:80', '5353:53/udp'])],
  }
  const become = async (world: typeof before) => {
    Object.assign(mesh, world)
    await mesh.pass()
  }
  await become(before)
  await become(after)
  const undisturbed = await mesh.held()
  await become(before)
  Object.assign(mesh, after)
  const changes = (await mesh.reconciler.preview()).length
  t.ok(changes > 20, `${changes} changes`)

  // New connections to a port that is published before and after. They are made while
  // nothing changes: one under way to a container just when that goes may end with it.
  const failures: string[] = []
  let asked = 0
  const visit = async (killedAfter: number) => {
    for (let n = 0; n < 4; n++) {
      const answer = await topology.refusal(client, hostAddress, 8888)
      if (!['stays', 'goes', 'comes'].includes(answer))
        failures.push(`${answer} after ${killedAfter} of ${changes} changes`)
      asked++
    }
  }
  // Every other place to be killed at: each costs two full passes.
  for (let k = 0; k <= changes; k += 2) {
    await become(before)
    let kept = await topology.connect(client, hostAddress, 8888)
    if (kept.answer.name !== 'stays') kept = await topology.connect(client, hostAddress, 8888)
    Object.assign(mesh, after)
    await mesh.killedPass('fast', k)
    await visit(k)
    await become(after)
    const state = await mesh.held()
    if (state.join('\n') !== undisturbed.join('\n'))
      t.strictSame(state, undisturbed, `killed after ${k} of ${changes} changes`)
    const echo = await kept.say('kept').catch(String)
    if (kept.answer.name === 'stays' && echo !== 'kept') t.fail(`killed after ${k}: connection lost, ${echo}`)
    kept.close()
  }
  t.strictSame(failures, [], `none of ${asked} connections to what agents left behind failed`)
})
