import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { cleanHost } from '../../src/agent/clean.js'
import { createKernel } from '../../src/agent/kernel.js'
import { discoverPlaces } from '../../src/drivers/discover.js'
import { findVariant } from '../../src/drivers/iptables-variant.js'
import { Sockets } from '../../src/drivers/sockets.js'
import type { Kernel, Places } from '../../src/kernel/driver.js'
import { type HostView, hostView, sysctlView } from '../helpers/host-view.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { settleOthers } from '../helpers/others.js'
import { service } from '../helpers/services.js'
import { clientAddress, hostAddress, Topology } from '../helpers/topology.js'

/** `meshctl clean` with nothing known but the host's namespace and the sandbox's path. */
async function clean(topology: Topology, around = (kernel: Kernel) => kernel): Promise<string[]> {
  const own: Places = new Map([
    ['host', topology.host],
    ['mesh', topology.sandboxPath],
  ])
  const socket = join(mkdtempSync(join(tmpdir(), 'mesh-clean-')), 'mesh.sock')
  writeFileSync(socket, '')
  const { variant } = await findVariant(topology.host)
  const sockets = new Sockets()
  try {
    const kernel = around(createKernel({ variant, sockets }))
    const places = new Map([...own, ...(await discoverPlaces(own))])
    return await cleanHost({ kernel, places, socket })
  } finally {
    sockets.close()
  }
}

type World = Record<string, HostView | readonly string[]>

t.test('clean leaves the host as it was', async t => {
  const topology = new Topology()
  settleOthers(topology.host)
  topology.sysctl(topology.host, 'net.ipv4.ip_forward', '0')
  const mesh = await MeshNode.create(topology, undefined, { formerIpForward: '0' })
  t.teardown(() => topology.destroy())
  const one = topology.addContainer('one', { labels: { app: 'web' } })
  const two = topology.addContainer('two', { labels: { app: 'web' } })
  const alone = topology.addContainer('alone', { labels: { app: 'alone' }, attach: 'none' })
  for (const container of [one, two, alone]) {
    await topology.serveTcp(container, 80, container.name)
    await topology.serveUdp(container, 53, container.name)
  }
  await topology.serveTcp(topology.host, 7000, 'process')
  await topology.serveTcp(topology.client, 6000, 'external')

  /** Host, containers and names of namespaces, as their tools show them. */
  const look = (): World => ({
    host: hostView(topology.host),
    parameters: sysctlView(topology.host),
    one: hostView(topology.pathOf(one)),
    'parameters of one': sysctlView(topology.pathOf(one)),
    two: hostView(topology.pathOf(two)),
    alone: hostView(topology.pathOf(alone)),
    namespaces: readdirSync('/run/netns').sort(),
  })
  const before = look()
  const isAsBefore = (t: Test, message: string) => {
    const after = look()
    for (const [what, view] of Object.entries(before)) t.strictSame(after[what], view, `${what}: ${message}`)
  }

  /** Publishes all kinds of things, uses them, and leaves something draining. */
  const live = async (t: Test) => {
    mesh.restart()
    mesh.containers = [one, two, alone]
    mesh.services = [
      service('web', ['8888:80', '9999:80', '5353:53/udp', '8100-8199:8100-8199', '9000:53/sctp']),
      service('alone', ['8081:80', '5081:53/udp']),
      service('bound', [`${hostAddress}:8084:80`], { selector: { app: 'web' } }),
      service('process', ['8082:80'], { endpoints: [{ address: '127.0.0.1', port: 7000 }] }),
      service('external', ['8083:80'], { endpoints: [{ address: clientAddress, port: 6000 }] }),
    ]
    await mesh.pass()
    for (const port of [8888, 9999, 8081, 8084, 8082])
      t.equal((await topology.ask(topology.client, hostAddress, port)).address, clientAddress)
    t.equal((await topology.ask(topology.host, '127.0.0.1', 8083)).name, 'external')
    const udp = await topology.udpClient(topology.client)
    t.equal((await udp.ask(hostAddress, 5353))?.address, clientAddress)
    await topology.connect(topology.client, hostAddress, 8081)
    mesh.services = mesh.services.filter(({ name }) => name !== 'alone')
    await mesh.pass('fast')
    t.equal(mesh.reconciler.draining, 2)
  }

  await t.test('after everything was in use', async t => {
    await live(t)
    const removed = await clean(topology)
    t.ok(removed.includes('sysctl -w net.ipv4.ip_forward=0'))
    isAsBefore(t, 'as before')
    t.strictSame(await clean(topology), [], 'a second time there is nothing to remove')
  })

  await t.test('also when its sandbox was deleted by hand', async t => {
    await live(t)
    mesh.run('host', `ip netns del ${topology.sandboxPath.replace('/run/netns/', '')}`)
    // What still holds the namespace is the agent, which is dead.
    mesh.restart()
    await clean(topology)
    isAsBefore(t, 'as before')
  })

  await t.test('also when a container’s veth is gone but its rules are left', async t => {
    await live(t)
    mesh.run(one, 'ip link del mesh0')
    t.match(mesh.run(one, 'ip rule'), /lookup 1090/)
    await clean(topology)
    isAsBefore(t, 'as before')
  })

  await t.test('also when others refer to our chains', async t => {
    await live(t)
    mesh.run('host', 'iptables -I OTHERS -j MESH-INPUT')
    mesh.run('host', 'iptables -N MESH-FORMER')
    mesh.run('host', 'iptables -A MESH-FORWARD -j MESH-FORMER')
    await clean(topology)
    isAsBefore(t, 'as before')
  })

  await t.test('also when it is killed in the midst and asked again', async t => {
    await live(t)
    const { length } = await clean(topology)
    for (const after of [1, length - 60, length - 20]) {
      await live(t)
      const killed = (kernel: Kernel): Kernel => ({
        observe: kernel.observe,
        apply: async (changes, places) => {
          await kernel.apply(changes.slice(0, after), places)
          throw new Error('killed')
        },
      })
      await t.rejects(clean(topology, killed), /killed/)
      await clean(topology)
      t.strictSame(look(), before, `killed after ${after} of ${length} changes`)
    }
  })

  await t.test('on a host without the mesh it changes nothing, whatever bears our names', async t => {
    mesh.run('host', 'ip link add mesh0 type dummy')
    mesh.run('host', 'ip address add 10.9.9.9/24 dev mesh0')
    mesh.run(one, 'ip link add mesh0 type bridge')
    const own = look()
    t.strictSame(await clean(topology), [])
    t.strictSame(look(), own)
    mesh.run('host', 'ip link del mesh0')
    mesh.run(one, 'ip link del mesh0')
  })
})
