/**
 * How long a connection on which nothing is said is kept: as long as the setting says, which is
 * longer than the first keepalive of its ends takes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'
import { hostAddress, Topology } from '../helpers/topology.js'

/** net.ipv4.tcp_keepalive_time, seconds, unless somebody has changed it. */
const keepalive = 7200

/** A node with one published port, and a connection through it. */
async function opened(t: Test, changed: { readonly tcpTimeout?: number } = {}) {
  const topology = new Topology()
  const mesh = await MeshNode.create(topology, undefined, changed)
  t.teardown(async () => {
    await mesh.clean()
    await topology.destroy()
  })
  const web = topology.addContainer('web', { labels: { app: 'web' } })
  await topology.serveTcp(web, 80, 'web')
  mesh.containers = [web]
  mesh.services = [service('web', ['8888:80'])]
  await mesh.pass()
  const conversation = await topology.connect(topology.client, hostAddress, 8888)
  t.equal(await conversation.say('there'), 'there')
  return { mesh, conversation }
}

t.test('nothing on the way forgets an idle connection before its ends ask for one another', async t => {
  const { mesh } = await opened(t)
  const [, minutes, seconds] = /^TCP +(\d+):(\d+) +ESTABLISHED/m.exec(mesh.run('mesh', 'ipvsadm -Lnc')) ?? []
  t.ok(Number(minutes) * 60 + Number(seconds) > keepalive, `IPVS keeps it ${minutes}:${seconds}`)
  for (const place of ['host', 'mesh'] as const) {
    const flows = mesh.run(place, 'conntrack -L -p tcp --state ESTABLISHED')
    const kept = [...flows.matchAll(/^tcp +6 (\d+) ESTABLISHED .*dport=8888/gm)].map(([, left]) =>
      Number(left),
    )
    t.ok(kept.length > 0 && kept.every(left => left > keepalive), `${place} tracks it for ${kept} s`)
  }
})

t.test('a connection that was idle for longer than the setting is reset, not left hanging', async t => {
  const { mesh, conversation } = await opened(t, { tcpTimeout: 2 })
  for (
    let end = Date.now() + 30_000;
    mesh.run('mesh', 'ipvsadm -Lnc').includes('ESTABLISHED');
    await sleep(500)
  )
    if (Date.now() > end) throw new Error('IPVS keeps it after 30 s')
  await t.rejects(conversation.say('still there'), { code: 'ECONNRESET' })
})
