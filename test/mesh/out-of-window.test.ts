/**
 * Segments that are far outside of their connection's window: connection tracking knows them
 * not and translates nothing, so that without more whoever gets them takes them for a stranger's
 * and answers with a reset, which may end the connection.
 */
import t from 'tap'
import { families } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { sendSegments, tcpCount } from '../helpers/segments.js'
import { service } from '../helpers/services.js'
import { addresses, Topology } from '../helpers/topology.js'

/** Whatever the connection's numbers are, at least one of two is half of all numbers away from them. */
const sequences = [0x10000000, 0x90000000]

for (const { name, family, isSix, stack, settings } of families)
  t.test(`segments out of the window, ${name}`, async t => {
    const topology = new Topology(null, isSix)
    const mesh = await MeshNode.create(topology, undefined, settings)
    t.teardown(async () => {
      await mesh.clean()
      await topology.destroy()
    })
    const web = topology.addContainer('web', { labels: { app: 'web' } })
    const other = topology.addContainer('other')
    await topology.serveTcp(web, 80, 'web')
    mesh.containers = [web, other]
    mesh.services = [
      service('web', ['8888:80']),
      service('bound', [`${isSix ? `[${addresses.inet6.host}]` : addresses.inet.host}:8084:80`], {
        selector: { app: 'web' },
      }),
    ]
    await mesh.pass()
    const host = addresses[family].host
    const endpoint = { address: stack.address(mesh.reconciler.addressOf(web.id)!), port: 80 }
    const callers: readonly [title: string, path: string][] = [
      ['a client outside', topology.client],
      ['a container of the node', topology.pathOf(other)],
      ['the node itself', topology.host],
    ]
    const doors = [...callers.map(caller => [...caller, 8888] as const), [...callers[0]!, 8084] as const]
    for (const [title, path, port] of doors)
      t.test(`${title} on port ${port}: no reset, either way`, async t => {
        const conversation = await topology.connect(path, host, port)
        const { answer } = conversation
        const own = {
          address: path === topology.host ? host : conversation.socket.localAddress!,
          port: answer.port,
        }
        const places = [path, topology.host, topology.sandboxPath, topology.pathOf(web)]
        const resets = () => places.map(place => tcpCount(place, 'OutRsts'))
        const before = resets()
        sendSegments(
          topology.pathOf(web),
          endpoint,
          { address: answer.address, port: answer.port },
          sequences,
        )
        t.equal(await conversation.say('there'), 'there')
        t.strictSame(resets(), before, 'to the client')
        sendSegments(path, own, { address: host, port }, sequences)
        t.equal(await conversation.say('still there'), 'still there')
        t.strictSame(resets(), before, 'from the client')
        conversation.close()
      })
  })
