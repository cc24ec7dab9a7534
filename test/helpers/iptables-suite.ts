/**
 * What the iptables driver has to do with either variant, legacy or nft; the two
 * files that call it run on the kernels that have them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createIptablesDriver } from '../../src/drivers/iptables.js'
import { findVariant, type Variant } from '../../src/drivers/iptables-variant.js'
import { createSetDriver } from '../../src/drivers/sets.js'
import type { ChainObject, Family, JumpObject, KernelObject, Place } from '../../src/kernel/objects.js'
import { createNamespace, removeNamespace } from '../../src/netlink/addon.js'
import { bring, failures, freshStage, pending, reach, told } from './drivers.js'
import { loadModules, runIn } from './namespaces.js'

loadModules(
  'ip_set_bitmap_port',
  'xt_set',
  'xt_addrtype',
  'xt_tcpudp',
  'xt_comment',
  'xt_conntrack',
  'xt_nat',
)
loadModules('xt_MASQUERADE', 'xt_mark', 'ipt_REJECT')

type Table = ChainObject['table']
export const chain = (
  place: Place,
  table: Table,
  name: string,
  rules: string[],
  family: Family = 'inet',
): ChainObject => ({
  kind: 'chain',
  place,
  family,
  table,
  name: `MESH-${name}`,
  rules,
})
const jump = (
  place: Place,
  table: Table,
  from: string,
  to: string,
  match = '',
  family: Family = 'inet',
): JumpObject => ({
  kind: 'jump',
  place,
  family,
  table,
  from,
  to: `MESH-${to}`,
  match,
})

const sets: KernelObject[] = [
  { kind: 'set', place: 'host', name: 'mesh-tcp', type: 'bitmap:port', family: 'inet', skbinfo: false },
  { kind: 'set', place: 'mesh', name: 'mesh-tcp', type: 'bitmap:port', family: 'inet', skbinfo: true },
]
const rules: KernelObject[] = [
  chain('host', 'nat', 'DNAT', [
    '-p tcp -m tcp --dport 9000 -m set --match-set mesh-tcp dst -j DNAT --to-destination 10.254.0.1:8888',
    '-p tcp -m set --match-set mesh-tcp dst -j DNAT --to-destination 10.254.0.1',
  ]),
  chain('host', 'nat', 'SNAT', ['-s 127.0.0.0/8 -o mesh0 -j MASQUERADE', '-o mesh0 -j ACCEPT']),
  chain('host', 'filter', 'FORWARD', [
    '-m comment --comment "mesh: former net.ipv4.ip_forward=0"',
    '-i mesh0 -j ACCEPT',
    '-o mesh0 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT',
  ]),
  jump('host', 'nat', 'PREROUTING', 'DNAT', '-m addrtype --dst-type LOCAL'),
  jump('host', 'nat', 'OUTPUT', 'DNAT', '-m addrtype --dst-type LOCAL'),
  jump('host', 'nat', 'POSTROUTING', 'SNAT'),
  jump('host', 'filter', 'FORWARD', 'FORWARD'),
  chain('mesh', 'mangle', 'MARK', ['-p tcp -j SET --map-set mesh-tcp dst --map-mark']),
  chain('mesh', 'filter', 'FORWARD', ['-j REJECT --reject-with icmp-port-unreachable']),
  jump('mesh', 'mangle', 'PREROUTING', 'MARK', '-i eth0'),
  jump('mesh', 'filter', 'FORWARD', 'FORWARD'),
]
const wanted = [...sets, ...rules]
/** The port sets serve both families. */
const rules6: KernelObject[] = [
  chain(
    'host',
    'nat',
    'DNAT',
    [
      '-s fe80::/10 -j RETURN',
      '-p tcp -m tcp --dport 9000 -m set --match-set mesh-tcp dst -j DNAT --to-destination [fd4d::1]:8888',
      '-p tcp -m set --match-set mesh-tcp dst -j DNAT --to-destination fd4d::1',
    ],
    'inet6',
  ),
  chain(
    'host',
    'filter',
    'FORWARD',
    ['-m comment --comment "mesh: former x=0"', '-i mesh0 -j ACCEPT'],
    'inet6',
  ),
  jump('host', 'nat', 'PREROUTING', 'DNAT', '-m addrtype --dst-type LOCAL', 'inet6'),
  jump('host', 'filter', 'FORWARD', 'FORWARD', '', 'inet6'),
  chain('mesh', 'mangle', 'MARK', ['-p tcp -j SET --map-set mesh-tcp dst --map-mark'], 'inet6'),
  chain('mesh', 'nat', 'SNAT', ['-o mesh-vxlan -j SNAT --to-source fd4d::1'], 'inet6'),
  chain('mesh', 'filter', 'FORWARD', ['-j REJECT --reject-with icmp6-port-unreachable'], 'inet6'),
  jump('mesh', 'mangle', 'PREROUTING', 'MARK', '', 'inet6'),
]

/** Whether this kernel has the variant at all: user-mode Linux has no nft families ip and inet. */
export function works(variant: Variant): boolean {
  const path = `/run/netns/mesh-test-probe-${process.pid}`
  createNamespace(path)
  try {
    runIn(path, [`iptables-${variant}`, '-t', 'nat', '-A', 'OUTPUT', '-j', 'RETURN'])
    return true
  } catch {
    return false
  } finally {
    removeNamespace(path)
  }
}

/** From now on notes each run of these programs; the function returned tells which ran since it was called last. */
function countedRuns(t: Test, names: readonly string[]): () => string[] {
  const directory = t.testdir({ runs: '' })
  const path = process.env.PATH
  for (const name of names) {
    const script = `#!/bin/sh\necho ${name} >>${directory}/runs\nPATH=${path}\nexec ${name} "$@"\n`
    writeFileSync(join(directory, name), script, { mode: 0o755 })
  }
  process.env.PATH = `${directory}:${path}`
  t.teardown(() => {
    process.env.PATH = path
  })
  return () => {
    const lines = readFileSync(join(directory, 'runs'), 'utf8').split('\n').slice(0, -1)
    writeFileSync(join(directory, 'runs'), '')
    return lines
  }
}

/** Defines the tests of one variant, all in one. */
export function testVariant(variant: Variant): void {
  if (!works(variant)) {
    t.test(`iptables-${variant}`, { skip: `this kernel has no iptables-${variant}` }, async () => {})
    return
  }
  t.test(`iptables-${variant}`, async t => {
    const stageWith = (t: Test) => {
      const stage = freshStage(t)
      const drivers = [createSetDriver(stage.sockets), createIptablesDriver(variant)]
      const ipt = (place: Place, command: string) => stage.run(place, `iptables-${variant} ${command}`)
      const save = (place: Place) => stage.run(place, `iptables-${variant}-save`).replace(/^#.*\n/gm, '')
      return { ...stage, drivers, ipt, save }
    }

    t.test('chains and jumps come, stay as they are, and go without a trace', async t => {
      const { places, drivers, ipt, save } = stageWith(t)
      ipt('host', '-t nat -N DOCKER')
      ipt('host', '-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER')
      ipt('host', '-P FORWARD DROP')
      // so that both tables exist in the sandbox before and after
      for (const table of ['mangle', 'filter']) ipt('mesh', `-t ${table} -L -n`)
      const [host, mesh] = [save('host'), save('mesh')]
      await reach(t, drivers, wanted, places)
      await reach(t, drivers, [], places)
      t.equal(save('host').replace(/\[.*\]/g, ''), host.replace(/\[.*\]/g, ''))
      t.notMatch(save('mesh'), /MESH/)
      t.equal(mesh.includes('MESH'), false)
    })

    t.test('what nobody has changed since it was observed is not read again', async t => {
      const { places, drivers } = stageWith(t)
      const runs = countedRuns(t, [`iptables-${variant}-save`, `iptables-${variant}-restore`])
      const chains = ['A', 'B'].map(name => chain('host', 'filter', name, []))
      await reach(t, drivers, chains.slice(0, 1), places)
      runs()
      await bring(drivers, chains, places)
      t.strictSame(runs(), [`iptables-${variant}-restore`])
      await bring(drivers, [], places)
      t.strictSame(runs(), [`iptables-${variant}-save`, `iptables-${variant}-restore`])
    })

    t.test('what a hand damages is seen and repaired, and rules of others stay', async t => {
      const { places, drivers, ipt, save } = stageWith(t)
      await reach(t, drivers, wanted, places)
      const damages: [Place, string, string[]][] = [
        ['host', '-F MESH-FORWARD', ['update chain host filter MESH-FORWARD']],
        ['host', '-t nat -D MESH-DNAT 1', ['update chain host nat MESH-DNAT']],
        ['host', '-t nat -A MESH-DNAT -j RETURN', ['update chain host nat MESH-DNAT']],
        [
          'host',
          '-F',
          ['update chain host filter MESH-FORWARD', 'add jump host filter FORWARD MESH-FORWARD'],
        ],
        [
          'host',
          '-t nat -F',
          [
            'update chain host nat MESH-DNAT',
            'update chain host nat MESH-SNAT',
            'add jump host nat PREROUTING MESH-DNAT',
            'add jump host nat OUTPUT MESH-DNAT',
            'add jump host nat POSTROUTING MESH-SNAT',
          ],
        ],
        ['host', '-D FORWARD -j MESH-FORWARD', ['add jump host filter FORWARD MESH-FORWARD']],
        ['host', '-I FORWARD -s 192.0.2.1 -j DROP', ['update jump host filter FORWARD MESH-FORWARD']],
        ['host', '-A FORWARD -j MESH-FORWARD', ['update jump host filter FORWARD MESH-FORWARD']],
        ['host', '-I FORWARD -s 192.0.2.2 -j MESH-FORWARD', ['update jump host filter FORWARD MESH-FORWARD']],
        ['host', '-N MESH-MINE', ['remove chain host filter MESH-MINE']],
        ['host', '-I INPUT -j MESH-FORWARD', ['remove jump host filter INPUT MESH-FORWARD']],
        ['mesh', '-t mangle -F PREROUTING', ['add jump mesh mangle PREROUTING MESH-MARK']],
      ]
      for (const [place, command, changes] of damages) {
        ipt(place, command)
        t.strictSame(told(await pending(drivers, wanted, places)), changes, command)
        await reach(t, drivers, wanted, places)
      }
      t.match(save('host'), /-A FORWARD -j MESH-FORWARD\n-A FORWARD -s 192.0.2.1\/32 -j DROP\n/)
    })

    t.test('no program is run to see that nobody has changed a rule', async t => {
      const { places, sockets, ipt } = stageWith(t)
      const both = [createSetDriver(sockets), createIptablesDriver(variant, true)]
      const all = [...wanted, ...rules6]
      await reach(t, both, all, places)
      const path = process.env.PATH
      const without = async (look: () => Promise<unknown>) => {
        process.env.PATH = '/nowhere'
        await look().finally(() => {
          process.env.PATH = path
        })
      }
      await without(async () => t.strictSame(told(await pending(both, all, places)), []))
      ipt('host', '-t nat -Z')
      if (variant === 'legacy')
        await without(async () => t.strictSame(told(await pending(both, all, places)), [], 'counters'))
      for (const [place, command] of [
        ['host', '-A INPUT -s 192.0.2.1 -j ACCEPT'],
        ['host', '-R INPUT 1 -s 192.0.2.2 -j ACCEPT'],
        ['mesh', '-P FORWARD DROP'],
        ['mesh', '-t raw -N MINE'],
      ] as const) {
        ipt(place, command)
        await without(() => t.rejects(pending(both, all, places), { code: 'MESH_UNSUPPORTED' }, command))
        t.strictSame(told(await pending(both, all, places)), [])
      }
    })

    t.test('chains of IPv6 stand beside those of IPv4, and go though nobody wants IPv6 any more', async t => {
      const { places, sockets, ipt, run } = stageWith(t)
      const both = [createSetDriver(sockets), createIptablesDriver(variant, true)]
      await reach(t, both, [...wanted, ...rules6], places)
      run('host', `ip6tables-${variant} -t nat -A MESH-DNAT -j RETURN`)
      t.strictSame(told(await pending(both, [...wanted, ...rules6], places)), [
        'update chain host ip6 nat MESH-DNAT',
      ])
      await reach(t, both, [...wanted, ...rules6], places)
      const four = [createSetDriver(sockets), createIptablesDriver(variant)]
      t.ok((await pending(four, wanted, places)).length > 0, 'those of an agent before are seen')
      await reach(t, four, wanted, places)
      t.notMatch(run('host', `ip6tables-${variant}-save`), /MESH/)
      t.match(ipt('host', '-t nat -S'), /MESH-DNAT/)
      run('host', `ip6tables-${variant} -N MESH-LATE`)
      t.strictSame(told(await pending(four, wanted, places)), [], 'ip6tables is not asked any more')
    })

    t.test('a chain that others jump to is removed with those jumps', async t => {
      const { places, drivers, ipt, save } = stageWith(t)
      await reach(t, drivers, wanted, places)
      ipt('host', '-N CUSTOM')
      ipt('host', '-A CUSTOM -s 192.0.2.1 -j MESH-FORWARD')
      await reach(t, drivers, [], places)
      t.match(save('host'), /:CUSTOM - /)
      t.notMatch(save('host'), /MESH/)
    })

    t.test('a bad rule fails alone and is named', async t => {
      const { places, drivers } = stageWith(t)
      const bad = chain('host', 'nat', 'BAD', ['-p tcp -m set --match-set mesh-none dst -j RETURN'])
      const worse = chain('host', 'filter', 'WORSE', ['-j MESH-NOWHERE'])
      const failed = failures(await bring(drivers, [...wanted, bad, worse], places))
      t.equal(failed.length, 2, failed.join('\n'))
      t.match(failed.join('\n'), /chain host nat MESH-BAD: .*mesh-none/)
      t.match(failed.join('\n'), /chain host filter MESH-WORSE: .*MESH-NOWHERE/)
      t.strictSame(
        told(await pending(drivers, wanted, places)).filter(line => !/BAD|WORSE/.test(line)),
        [],
      )
    })

    t.test('what is there already and what is gone already are no failures', async t => {
      const { places, drivers } = stageWith(t)
      const [, driver] = drivers
      await reach(t, drivers, sets, places)
      const adds = await pending([driver!], rules, places)
      t.strictSame(failures(await driver!.apply(adds, places)), [])
      t.strictSame(failures(await driver!.apply(adds, places)), [], 'twice')
      const removals = await pending([driver!], [], places)
      t.strictSame(failures(await driver!.apply(removals, places)), [])
      t.strictSame(failures(await driver!.apply(removals, places)), [], 'twice')
    })

    t.test('the variant is found by the rules of others', async t => {
      const { places, ipt } = stageWith(t)
      ipt('host', '-t nat -N DOCKER')
      t.match(await findVariant(places.get('host')!), { variant, reason: /nat DOCKER/ })
    })
  })
}
