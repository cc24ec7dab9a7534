import t from 'tap'
import type { Container } from '../../src/model/container.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { nodeAddress } from '../../src/planner/addresses.js'
import { families, vipPool } from '../helpers/families.js'
import { meshCluster, told } from '../helpers/mesh-cluster.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { service } from '../helpers/services.js'

/** As the store has them. */
const vip4 = '10.253.0.5'
const processVip4 = '10.253.0.6'

t.test('a VIP on two nodes', async t => {
  const [, six] = families
  const cluster = await meshCluster(2, {}, () => {}, [], { ...six!.settings, vipPool })
  t.teardown(() => cluster.destroy())
  const [here, there] = cluster.topologies
  const [one, two] = cluster.meshes
  const web = there.addContainer('web', { labels: { app: 'web' } })
  await there.serveTcp(web, 80, 'web')
  await there.serveUdp(web, 53, 'web')
  await there.serveTcp(there.host, 9000, 'process')
  await there.serveUdp(there.host, 9000, 'process')
  const attached = here.addContainer('attached', { labels: { 'mesh.attach': 'true' } })
  const lonely = here.addContainer('lonely', { labels: { 'mesh.attach': 'true' }, attach: 'none' })
  const plain = here.addContainer('plain')
  const vipPorts = ['80', '8080:80', '53/udp'].map(text => parseVipPort(text))
  const endpoints = [{ address: cluster.records[1]!.address, port: 9000 }]
  const hosts = cluster.records.map(({ name, address, subnet }) => ({
    name,
    address,
    meshAddress: nodeAddress(subnet),
    state: 'ready' as const,
  }))
  one.containers = [attached, lonely, plain]
  two.containers = [web]
  for (const mesh of cluster.meshes) {
    mesh.hosts = hosts
    mesh.services = [
      service('web', [], { vip: vip4, vipPorts }),
      service('process', [], { vip: processVip4, vipPorts, endpoints, selector: null }),
    ]
  }
  await two.pass()
  one.remote = [told(two, web)]
  await one.pass()
  const addressOf = (container: Container) => one.reconciler.addressOf(container.id)!

  /** Title, path and address, of IPv4. */
  const callers: [string, string, string][] = [
    ['an attached container', here.pathOf(attached), addressOf(attached)],
    ['one without a network', here.pathOf(lonely), addressOf(lonely)],
    ['a container on a bridge, as other nodes may have it too', here.pathOf(plain), '10.254.0.1'],
    ['the node', here.host, '10.254.0.2'],
  ]

  for (const { name: title, family, isSix, stack, vips } of families) {
    const vip = vips.address(vip4)
    const processVip = vips.address(processVip4)

    t.test(`leads callers of one to an endpoint on the other, ${title}`, async t => {
      for (const [who, path, four] of callers)
        for (const port of [80, 8080])
          t.match(await here.ask(path, vip, port), { name: 'web', address: stack.address(four) }, who)
    })

    t.test(`and to a process of the other, ${title}`, async t => {
      for (const [who, path, four] of callers)
        t.match(await here.ask(path, processVip, 80), { name: 'process', address: stack.address(four) }, who)
    })

    t.test(`datagrams are answered, too, ${title}`, async t => {
      const port = isSix ? 46_000 : 44_000
      for (const [i, [who, path]] of callers.entries()) {
        const udp = await here.udpClient(path, port + i, family)
        t.match(await udp.ask(vip, 53), { name: 'web' }, who)
        const other = await here.udpClient(path, port + 1000 + i, family)
        t.match(await other.ask(processVip, 53), { name: 'process' }, who)
      }
    })
  }

  t.test('an endpoint that comes to the caller’s own node takes its share', async t => {
    const own = here.addContainer('own', { labels: { app: 'web' } })
    await here.serveTcp(own, 80, 'own')
    one.containers = [attached, lonely, plain, own]
    await one.pass('fast')
    for (const { vips } of families) {
      const vip = vips.address(vip4)
      for (const [who, path] of [...callers, ['itself', here.pathOf(own)] as const]) {
        const names = [await here.ask(path, vip, 80), await here.ask(path, vip, 80)].map(({ name }) => name)
        t.strictSame(names.sort(), ['own', 'web'], who)
      }
    }
  })

  t.test('leaves nothing to repair', async t => {
    for (const mesh of cluster.meshes) t.strictSame(MeshNode.text(await mesh.pass()), [])
  })
})
