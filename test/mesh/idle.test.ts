/**
 * How long a connection on which nothing is said is kept: as long as the setting says, which is
 * longer than the first keepalive of its ends takes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { hostAddress, Topology } from '../helpers/topology.js'
import { webNode } from '../helpers/web-node.js'

/** net.ipv4.tcp_keepalive_time, seconds, unless somebody has changed it. */
const keepalive = 7200

/** A node with one published port, and a connection through it. */
async function opened(t: Test, changed: { readonly tcpTimeout?: number } = {}) {
  const { topology, mesh } = await webNode(t, 'web', new Topology(), changed)
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
