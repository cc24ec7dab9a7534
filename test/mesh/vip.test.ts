import { spawn } from 'node:child_process'
import t from 'tap'
import { atPort, familyOf } from '../../src/kernel/objects.js'
import type { Container } from '../../src/model/container.js'
import { parseVipPort } from '../../src/model/vip-ports.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import { families, vipPool } from '../helpers/families.js'
import { MeshNode } from '../helpers/mesh-node.js'
import { loadModules, runIn } from '../helpers/namespaces.js'
import { service } from '../helpers/services.js'
import { addresses, Topology, waitFor } from '../helpers/topology.js'

loadModules('sctp')

/** In what programs print. */
const ofPool = /10\.253\.|fd4d:6573:68:1:/

/** As the store has them. */
const vip4 = '10.253.0.5'
const otherVip4 = '10.253.0.6'

/** How many segments of TCP had to be sent again from a namespace. */
function sentAgain(path: string): number {
  const [names, figures] = runIn(path, ['cat', '/proc/thread-self/net/snmp']).matchAll(/^Tcp: (.*)$/gm)
  return Number(figures![1]!.split(' ')[names![1]!.split(' ').indexOf('RetransSegs')])
}

/** What a program printed, or null when it failed. */
function attempt(run: () => string): string | null {
  try {
    return run()
  } catch {
    return null
  }
}

for (const { name, family, isSix, stack, vips, settings, ip } of families)
  t.test(`VIPs of one node, ${name}`, async t => {
    const { host: hostAddress } = addresses[family]
    const vip = vips.address(vip4)
    const otherVip = vips.address(otherVip4)
    const pool = vips.subnet(vipPool)
    const topology = new Topology(null, isSix)
    const mesh = await MeshNode.create(topology, undefined, { ...settings, vipPool })
    t.teardown(async () => {
      await mesh.clean()
      await topology.destroy()
    })
    const { client, host } = topology
    const attach = { 'mesh.attach': 'true' }
    const one = topology.addContainer('one', { labels: { app: 'web' } })
    const two = topology.addContainer('two', { labels: { app: 'web' } })
    const alone = topology.addContainer('alone', { labels: attach, attach: 'none' })
    const bystander = topology.addContainer('bystander')
    // Of SCTP an endpoint with two addresses would offer both to whoever calls.
    const single = topology.addContainer('single', { labels: { app: 'sctp' }, attach: 'none' })
    const all = [one, two, alone, bystander, single]
    for (const container of [one, two]) {
      await topology.serveTcp(container, 80, container.name)
      await topology.serveUdp(container, 53, container.name)
    }
    const vipPorts = ['80', '8080:80', '5353:53/udp'].map(text => parseVipPort(text))
    const web = service('web', ['8888:80'], { vip: vip4, vipPorts })
    const published = service('published', ['80:80', '7000:81'], { selector: { app: 'web' } })
    mesh.containers = all
    const sctp = service('sctp', ['919:9/sctp'], { vip: otherVip4, vipPorts: [parseVipPort('19:9/sctp')] })
    mesh.services = [web, published, sctp]
    await mesh.pass()
    const pathOf = (container: Container) => topology.pathOf(container)
    const meshAddress = (container: Container) => stack.address(mesh.reconciler.addressOf(container.id)!)
    const dockerAddress = ({ addresses }: Container) =>
      addresses.find(address => familyOf(address) === family)!

    t.test('every caller reaches every endpoint, and is seen with its own address', async t => {
      const callers: [string, string, string][] = [
        ['a container on a bridge', pathOf(bystander), dockerAddress(bystander)],
        ['a container without a network', pathOf(alone), meshAddress(alone)],
        ['the host', host, stack.address('10.254.0.2')],
      ]
      for (const [who, path, address] of callers)
        for (const port of [80, 8080]) {
          const answers = [await topology.ask(path, vip, port), await topology.ask(path, vip, port)]
          t.strictSame(answers.map(({ name }) => name).sort(), ['one', 'two'], who)
          for (const answer of answers) t.equal(answer.address, address, who)
        }
    })

    t.test('an endpoint reaches the other one with its mesh address, and itself', async t => {
      const answers = [await topology.ask(pathOf(one), vip, 80), await topology.ask(pathOf(one), vip, 80)]
      t.equal(answers.find(({ name }) => name === 'two')?.address, meshAddress(one))
      t.equal(
        answers.find(({ name }) => name === 'one')?.address,
        stack.address('10.254.0.1'),
        'translated for that pair only',
      )
    })

    t.test('datagrams are answered from the VIP, whoever asks', async t => {
      for (const [i, path] of [pathOf(bystander), pathOf(alone), host, pathOf(one)].entries()) {
        for (const port of [40_000 + 10 * i, 40_001 + 10 * i]) {
          const udp = await topology.udpClient(path, port, family)
          t.match(await udp.ask(vip, 5353), { name: /one|two/ })
        }
      }
    })

    t.test('SCTP is served like the others', async t => {
      const sctpOf = isSix ? 'SCTP6' : 'SCTP'
      const server = runInNamespace(pathOf(single), () =>
        spawn('socat', [`${sctpOf}-LISTEN:9,fork,reuseaddr`, 'EXEC:echo single'], { stdio: 'ignore' }),
      )
      t.teardown(() => server.kill())
      const asked = (path: string, door: string) => {
        const program = ['socat', '-T', '2', '-u', `${sctpOf}:${door},connect-timeout=2`, '-']
        return waitFor(`an answer from ${door}`, () => attempt(() => runIn(path, program)))
      }
      for (const path of [pathOf(bystander), pathOf(alone)])
        t.equal(await asked(path, atPort(otherVip, 19)), 'single\n')
      for (const [path, address] of [
        [client, hostAddress],
        [pathOf(bystander), hostAddress],
        [host, addresses[family].loopback],
      ] as const)
        t.equal(await asked(path, atPort(address, 919)), 'single\n', 'at a published port, too')
    })

    t.test('a ping is answered, every other port refused at once, published ones too', async t => {
      for (const path of [pathOf(bystander), pathOf(alone), host]) {
        for (const address of [vip, otherVip])
          t.match(
            runIn(path, ['busybox', isSix ? 'ping6' : 'ping', '-c', '1', '-W', '2', address]),
            / 0% packet loss/,
          )
        const started = Date.now()
        for (const [address, port] of [
          [vip, 22],
          [vip, 8888],
          [vip, 7000],
          [otherVip, 80],
          [otherVip, 8888],
        ] as const)
          t.equal(await topology.refusal(path, address, port), 'ECONNREFUSED', `${address}:${port}`)
        t.ok(Date.now() - started < 4000, 'refused, not swallowed')
      }
    })

    t.test('what is published is reached as ever', async t => {
      for (const port of [80, 8888])
        t.match(await topology.ask(client, hostAddress, port), { name: /one|two/ })
    })

    t.test('nobody answers for VIPs on the wire', async t => {
      topology.sysctl(client, `net.ipv${isSix ? 6 : 4}.neigh.wire.mcast_solicit`, '1')
      runIn(client, [...ip.split(' '), 'route', 'add', pool, 'dev', 'wire'])
      t.match(await topology.refusal(client, vip, 80), /EHOSTUNREACH|ETIMEDOUT/)
      t.match(runIn(client, ['ip', 'neigh', 'show', vip]), /INCOMPLETE|FAILED|^$/)
      t.notMatch(runIn(host, ['ip', 'address']), ofPool)
      runIn(client, [...ip.split(' '), 'route', 'del', pool])
    })

    t.test('a process of the node is an endpoint, and reaches itself', async t => {
      await topology.serveTcp(host, 7700, 'process')
      await topology.serveUdp(host, 7700, 'process')
      const endpoints = [{ address: '127.0.0.1', port: 7700 }]
      const ports = ['80', '53/udp'].map(text => parseVipPort(text))
      mesh.services = [
        web,
        published,
        service('process', [], { endpoints, selector: null, vip: otherVip4, vipPorts: ports }),
      ]
      await mesh.pass('fast')
      t.equal((await topology.ask(pathOf(bystander), otherVip, 80)).address, dockerAddress(bystander))
      t.equal((await topology.ask(pathOf(alone), otherVip, 80)).address, meshAddress(alone))
      t.equal((await topology.ask(host, otherVip, 80)).name, 'process')
      for (const [i, path] of [pathOf(bystander), pathOf(alone), host].entries()) {
        const udp = await topology.udpClient(path, 41_000 + i, family)
        t.match(await udp.ask(otherVip, 53), { name: 'process' })
      }
      mesh.services = [web, published]
      await mesh.pass('fast')
    })

    t.test('without a ready endpoint it refuses at once, and answers as soon as there is one', async t => {
      const kept = await topology.connect(pathOf(bystander), vip, 80)
      mesh.containers = [{ ...one, leaving: true }, { ...two, leaving: true }, alone, bystander, single]
      await mesh.pass('fast')
      const udp = await topology.udpClient(pathOf(bystander), 42_000, family)
      for (const path of [pathOf(bystander), pathOf(alone), host]) {
        const before = sentAgain(path)
        t.equal(await topology.refusal(path, vip, 80), 'ECONNREFUSED')
        t.equal(sentAgain(path), before, 'at the first packet')
      }
      t.equal(await kept.say('kept'), 'kept', 'what was open goes on')
      kept.close()
      mesh.containers = [alone, bystander, single]
      await mesh.pass('fast')
      t.equal(await topology.refusal(pathOf(alone), vip, 80), 'ECONNREFUSED')
      t.equal(await udp.ask(vip, 5353, 0.3), null)
      t.notOk(mesh.run('mesh', 'ipvsadm -Ln').includes(isSix ? `[${vip}]` : `${vip}:`))
      mesh.containers = all
      await mesh.pass('fast')
      t.match(await topology.ask(pathOf(alone), vip, 80), { name: /one|two/ })
      t.match(await udp.ask(vip, 5353), { name: /one|two/ }, 'the sender of datagrams, too')
      await mesh.pass()
    })

    t.test('a restarted agent finds all as it should be, and no connection notices', async t => {
      const open = [
        await topology.connect(pathOf(alone), vip, 8080),
        await topology.connect(client, hostAddress, 8888),
      ]
      mesh.restart()
      t.strictSame(MeshNode.text(await mesh.pass()), [])
      for (const kept of open) {
        t.equal(await kept.say('kept'), 'kept')
        kept.close()
      }
    })

    t.test('what a hand takes away comes back, and what it adds goes', async t => {
      mesh.run('mesh', `${ip} route del local ${pool} table local`)
      mesh.run('host', `${ip} route del ${pool}`)
      mesh.run(alone, `${ip} route del ${pool}`)
      mesh.run('mesh', `ipvsadm -D -t ${atPort(vip, 8080)}`)
      mesh.run('mesh', `ipvsadm -A -t ${atPort(vip, 22)} -s rr`)
      const tables = isSix ? 'ip6tables' : 'iptables'
      const jump = 'PREROUTING -m addrtype --dst-type LOCAL -j MESH-DNAT'
      mesh.run('host', `${tables} -t nat -D ${jump}`)
      mesh.run('mesh', `${tables} -F MESH-INPUT`)
      const { hairpin } = stack.sets
      const itself = `${meshAddress(one)},${meshAddress(one)}`
      mesh.run('mesh', `ipset del ${hairpin} ${itself}`)
      const text = MeshNode.text(await mesh.pass())
      for (const line of [
        `${tables} -t nat -I ${jump}`,
        `${tables} -t filter -F MESH-INPUT (then its 3 rules)`,
        `ipset add ${hairpin} ${itself}`,
        `${ip} route add local ${pool} dev lo table 255`,
        `ipvsadm -A -t ${atPort(vip, 8080)} -s rr`,
        `ipvsadm -D -t ${atPort(vip, 22)}`,
      ])
        t.ok(text.includes(line), line)
      t.equal(text.length, 10, text.join('\n'))
      for (const path of [pathOf(bystander), pathOf(alone), host])
        t.match(await topology.ask(path, vip, 8080), { name: /one|two/ })
      t.match(await topology.ask(client, hostAddress, 8888), { name: /one|two/ })
      t.strictSame(MeshNode.text(await mesh.pass()), [])
    })

    t.test('a service that goes takes its VIP along, and clean leaves nothing', async t => {
      mesh.services = [published]
      await mesh.pass('fast')
      mesh.now += 31
      await mesh.pass()
      t.notMatch(mesh.run('mesh', 'ipvsadm -Ln'), ofPool)
      await mesh.wipe()
      for (const where of ['host', alone] as const) {
        t.notMatch(mesh.run(where, `${ip} route show table all`), ofPool)
        t.notMatch(mesh.run(where, isSix ? 'ip6tables-save' : 'iptables-save'), /10\.253|fd4d:6573:68:1|MESH/)
      }
    })
  })
