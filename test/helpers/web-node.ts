/**
 * The plainest mesh there is: one node that publishes one container.
 */
import type { Test } from 'tap'
import type { PlanSettings } from '../../src/planner/base.js'
import { MeshNode } from './mesh-node.js'
import { service } from './services.js'
import { Topology } from './topology.js'

/**
 * A node that is to publish port 80 of one container, called `name`, as 8888; the first pass is the
 * test's. Everything is taken off the kernel when the test ends.
 */
export async function webNode(
  t: Pick<Test, 'teardown'>,
  name = 'web',
  topology = new Topology(),
  changed: Partial<PlanSettings> = {},
) {
  const mesh = await MeshNode.create(topology, undefined, changed)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const web = topology.addContainer(name, { labels: { app: 'web' } })
  await topology.serveTcp(web, 80, name)
  mesh.containers = [web]
  mesh.services = [service('web', ['8888:80'])]
  return { topology, mesh, web }
}
