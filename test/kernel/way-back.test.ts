/**
 * The way back to each of 200 nodes, in the kernel's own words: which table a reply with
 * the mark of a node is looked up in.
 */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { createLinkDriver } from '../../src/drivers/links.js'
import type { KernelObject } from '../../src/kernel/objects.js'
import { overlayLink } from '../../src/kernel/ownership.js'
import { type NodeRecord, subnetOfNode } from '../../src/model/cluster.js'
import { runInNamespace } from '../../src/netlink/addon.js'
import { createPlanner } from '../../src/planner/plan.js'
import { planOf } from '../../src/planner/slices.js'
import { freshStage, reach } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

loadModules('vxlan')

const pool = '10.0.0.0/8'
const planner = createPlanner({
  sandboxPath: '',
  mtu: 1500,
  tcpTimeout: 900,
  tcpFinTimeout: 120,
  udpTimeout: 300,
  kernelRelease: '6.1.0',
  formerIpForward: '1',
  ipv6: null,
})

function nodeOf(number: number): NodeRecord {
  const subnet = subnetOfNode(pool, 24, number)!
  const address = `172.16.${number >> 8}.${number & 255}`
  return { name: `node${number}`, number, subnet, address, ipv6: null }
}

/** Routes, neighbours and rules of the sandbox of node 1 that has these others. */
function wantedWith(others: readonly number[]): KernelObject[] {
  const { name, subnet, address } = nodeOf(1)
  const peers = others.map(nodeOf)
  const membership = { number: 1, address, vni: 4097, port: 8473, mtu: 1450, peers, privateNetworks: [] }
  const node = { name, subnet, pool, addresses: [address], membership }
  return planOf(planner({ services: [], attachments: [] }, node, () => null)).filter(
    object =>
      object.kind === 'vxlan' ||
      object.kind === 'neighbour' ||
      object.kind === 'forwarding' ||
      (object.kind === 'rule' && object.place === 'mesh') ||
      (object.kind === 'route' && object.link === overlayLink),
  )
}

t.test('a reply with the mark of a node goes to that node, whichever come and go', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createLinkDriver(sockets)]
  const sandbox = places.get('mesh')!
  /** Where packets with these marks go: `10.0.4.1 65541`, or null for none of the tables. */
  const waysOf = (marks: readonly number[]) => {
    const input = marks.map(mark => `route get 192.0.2.1 mark ${mark}\n`).join('')
    const text = runInNamespace(sandbox, () =>
      execFileSync('ip', ['-force', '-oneline', '-batch', '-'], { input, encoding: 'utf8', stdio: 'pipe' }),
    )
    const found = text.trim().split('\n')
    t.equal(found.length, marks.length)
    return found.map(line => / via (\S+) dev mesh-vxlan table (\d+) /.exec(line)?.slice(1).join(' ') ?? null)
  }
  const wayOf = (number: number) => {
    const gateway = subnetOfNode(pool, 24, number)!.replace('.0/24', '.1')
    return `${gateway} ${0x10000 + number}`
  }
  run('mesh', 'ip link add away type dummy')
  run('mesh', 'ip link set away up')
  run('mesh', 'ip route add default dev away')

  const edges = [63, 64, 65, 127, 128, 4095, 4096, 65_472, 65_534, 65_535]
  const few = [2, 3, ...edges]
  const many = [...new Set([...few, ...Array.from({ length: 190 }, (_, i) => 4 + 17 * i)])]
  t.equal(many.length >= 200, true)

  await reach(t, drivers, wantedWith(many), places)
  t.strictSame(waysOf(many), many.map(wayOf))
  t.strictSame(
    waysOf([0, 1, 66, 0x10040, 0x1ffff]),
    [null, null, null, null, null],
    'who is no node has no way',
  )

  const changes = await reach(t, drivers, wantedWith([...many, 30_000]), places)
  const rules = changes.filter(({ object }) => object.kind === 'rule')
  t.equal(rules.length, 3, 'a node that joins is one rule, its section two at most')
  t.strictSame(waysOf([30_000, ...edges]), [30_000, ...edges].map(wayOf))

  await reach(t, drivers, wantedWith(few), places)
  t.strictSame(waysOf(few), few.map(wayOf))
  t.strictSame(waysOf([4 + 17, 30_000]), [null, null])

  run('mesh', 'ip rule del priority 1095')
  run('mesh', 'ip rule del fwmark 0x40/0xffffffc0')
  run('mesh', 'ip rule add fwmark 0x40/0xffffffc0 goto 2004 priority 1096 protocol 109')
  run('mesh', 'ip rule add fwmark 0x99 goto 32766 priority 1096 protocol 109')
  await reach(t, drivers, wantedWith(few), places)
  t.strictSame(waysOf(few), few.map(wayOf), 'damage is repaired')

  await reach(t, drivers, [], places)
  t.notMatch(run('mesh', 'ip rule'), /proto 109/)
})
