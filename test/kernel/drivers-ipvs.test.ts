import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { createIpvsDriver } from '../../src/drivers/ipvs.js'
import { createSysctlDriver } from '../../src/drivers/sysctls.js'
import { requireIpvs, requireScheduler } from '../../src/drivers/try-ipvs.js'
import {
  byFwmark,
  type DestinationObject,
  type KernelObject,
  keyOf,
  type ServiceMatch,
} from '../../src/kernel/objects.js'
import { fwmarkOf, fwmarkOfVip } from '../../src/kernel/ownership.js'
import { messagesSent } from '../../src/netlink/connection.js'
import { bring, failures, freshStage, pending, reach, told } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'
import { waitFor } from '../helpers/wait.js'

await t.test(
  'IPVS is loaded with a table for many connections',
  {
    skip: process.env.LAB === '1' ? false : 'unloads IPVS, which this machine may use: run it in scripts/lab',
  },
  async t => {
    const loaded = () => readFileSync('/proc/modules', 'utf8').match(/^(ip_vs_\w+|xt_ipvs)/gm) ?? []
    await waitFor(
      () => {
        const { status } = spawnSync('rmmod', [...loaded(), 'ip_vs'])
        return status === 0 && !existsSync('/sys/module/ip_vs')
      },
      'IPVS to be out of use',
      20,
    )
    await requireIpvs()
    t.equal(readFileSync('/sys/module/ip_vs/parameters/conn_tab_bits', 'utf8').trim(), '18')
  },
)

loadModules('ip_vs', 'ip_vs_rr', 'ip_vs_wlc')

const mark = fwmarkOf('tcp', 8888)
const service = (fwmark: number, scheduler = 'rr', persistence = 0): KernelObject => ({
  kind: 'virtualService',
  match: byFwmark(fwmark),
  scheduler,
  persistence,
})
const destination = (fwmark: number, address: string, weight = 1, drainingSince = 0): DestinationObject => ({
  kind: 'destination',
  service: byFwmark(fwmark),
  address,
  port: 80,
  weight,
  drainingSince,
})
const timeouts: KernelObject = { kind: 'timeouts', tcp: 900, tcpFin: 120, udp: 300 }
const now = 1_790_000_000

const wanted: KernelObject[] = [
  timeouts,
  service(mark),
  destination(mark, '10.254.0.3'),
  destination(mark, '10.254.0.4', 3),
  destination(mark, '10.254.0.5', 0, now),
  service(fwmarkOf('udp', 53), 'wlc', 60),
  destination(fwmarkOf('udp', 53), '10.254.0.3'),
]

t.test('virtual services and destinations come, stay as they are, and go without a trace', async t => {
  const { places, sockets, run } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  await reach(t, [driver], wanted, places)
  const printed = run('mesh', 'ipvsadm -Sn')
  t.match(printed, /-A -f 74424 -s rr\n/)
  t.match(printed, /-a -f 74424 -r 10.254.0.4:80 -m -w 3\n/)
  t.match(printed, /-a -f 74424 -r 10.254.0.5:80 -m -w 0\n/)
  t.match(run('mesh', 'ipvsadm -Ln --thresholds'), /10.254.0.5:80 +1790000000 +0 /)
  t.match(printed, /-A -f 131125 -s wlc -p 60\n/)
  const { readings } = await driver.observe(places)
  t.strictSame([...readings!], [[keyOf(wanted[4]!), { active: 0, inactive: 0 }]], 'of the one that drains')
  await reach(t, [driver], [timeouts], places)
  t.equal(run('mesh', 'ipvsadm -Sn'), '')
  t.equal(run('host', 'ipvsadm -Sn'), '', 'the host has none')
})

t.test('virtual services by address, and those of IPv6, are like any other', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createIpvsDriver(sockets)]
  const matches: ServiceMatch[] = [
    { protocol: 6, address: '10.253.0.5', port: 80 },
    { protocol: 132, address: '10.253.0.5', port: 80 },
    { protocol: 17, address: 'fd4d::5', port: 53 },
    byFwmark(mark, 'inet6'),
    byFwmark(fwmarkOfVip('tcp', 5)),
  ]
  const all = matches.flatMap((match): KernelObject[] => {
    const inet6 = 'fwmark' in match ? match.family === 'inet6' : match.address.includes(':')
    const one = { ...destination(mark, inet6 ? 'fd4e::3' : '10.254.0.3'), service: match }
    return [{ kind: 'virtualService', match, scheduler: 'rr', persistence: 60 }, one]
  })
  await reach(t, drivers, [timeouts, ...all], places)
  const printed = run('mesh', 'ipvsadm -Sn')
  t.match(printed, /-A -t 10\.253\.0\.5:80 -s rr -p 60\n-a -t 10\.253\.0\.5:80 -r 10\.254\.0\.3:80 -m -w 1/)
  t.match(printed, /-a -u \[fd4d::5\]:53 -r \[fd4e::3\]:80 -m -w 1/)
  t.match(printed, /-A -f 74424 -6 -s rr -p 60\n/)
  t.match(printed, /-A -f 1090519045 -s rr -p 60\n/)
  run('mesh', 'ipvsadm -d -t 10.253.0.5:80 -r 10.254.0.3')
  run('mesh', 'ipvsadm -e -u [fd4d::5]:53 -r [fd4e::3]:80 -m -w 7')
  t.strictSame(told(await pending(drivers, [timeouts, ...all], places)), [
    'add destination 6 10.253.0.5:80 10.254.0.3:80',
    'update destination 17 [fd4d::5]:53 [fd4e::3]:80',
  ])
  await reach(t, drivers, [timeouts, ...all], places)
  await reach(t, drivers, [timeouts], places)
  t.equal(run('mesh', 'ipvsadm -Sn'), '')
})

t.test('what a hand damages is seen and repaired', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createIpvsDriver(sockets)]
  await reach(t, drivers, wanted, places)
  const dest = (address: string) => `destination ${mark} ${address}:80`
  const damages: [string, string[]][] = [
    [`ipvsadm -d -f ${mark} -r 10.254.0.3:80`, [`add ${dest('10.254.0.3')}`]],
    [`ipvsadm -a -f ${mark} -r 10.254.0.9:80 -m`, [`remove ${dest('10.254.0.9')}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 0`, [`update ${dest('10.254.0.3')}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -i -w 1`, [`update ${dest('10.254.0.3')}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 1 -y 5 -x 9`, [`update ${dest('10.254.0.3')}`]],
    [`ipvsadm -E -f ${mark} -s wlc`, [`update virtualService ${mark}`]],
    [`ipvsadm -E -f ${mark} -s rr -p 30`, [`update virtualService ${mark}`]],
    [`ipvsadm -A -f 7 -s rr`, ['remove virtualService 7']],
    [`ipvsadm -A -t 10.0.0.1:80 -s rr`, ['remove virtualService 6 10.0.0.1:80']],
    [`ipvsadm -A -u 10.0.0.1:53 -s rr`, ['remove virtualService 17 10.0.0.1:53']],
    ['ipvsadm --set 100 0 0', ['update timeouts']],
    [
      `ipvsadm -D -f ${mark}`,
      [
        `add virtualService ${mark}`,
        `add ${dest('10.254.0.3')}`,
        `add ${dest('10.254.0.4')}`,
        `add ${dest('10.254.0.5')}`,
      ],
    ],
  ]
  for (const [command, changes] of damages) {
    run('mesh', command)
    t.strictSame(told(await pending(drivers, wanted, places)), changes, command)
    await reach(t, drivers, wanted, places)
  }
})

t.test('a change made twice, or of what somebody changed meanwhile, is no failure', async t => {
  const { places, sockets, run } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  const adds = await pending([driver], wanted, places)
  t.strictSame(failures(await driver.apply(adds, places)), [])
  run('mesh', `ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 9`)
  t.strictSame(failures(await driver.apply(adds, places)), [], 'added twice')
  t.strictSame(told(await pending([driver], wanted, places)), [], 'and as wanted')
  const heavier = wanted.map(object => (object.kind === 'destination' ? { ...object, weight: 5 } : object))
  const updates = await pending([driver], heavier, places)
  run('mesh', 'ipvsadm -C')
  t.strictSame(
    failures(await driver.apply([...(await pending([driver], wanted, places)), ...updates], places)),
    [],
    'updated what was made anew',
  )
  const removals = await pending([driver], [timeouts], places)
  t.strictSame(failures(await driver.apply(removals, places)), [])
  t.strictSame(failures(await driver.apply(removals, places)), [], 'removed twice')
})

t.test('a scheduler that is not loaded is loaded, and one that does not exist is told of', async t => {
  const { places, sockets } = freshStage(t)
  const drivers = [createIpvsDriver(sockets)]
  const unknown = service(0x10001, 'xyz')
  const failed = failures(await bring(drivers, [...wanted, service(mark + 1, 'sed'), unknown], places))
  t.equal(failed.length, 1, failed.join('\n'))
  t.match(failed, [
    /virtualService 65537: .*fwmark 0x10001: the kernel has no scheduler xyz; modprobe ip_vs_xyz/,
  ])
})

t.test('parameters of IPVS are there once it was used in the sandbox', async t => {
  const { places, sockets } = freshStage(t)
  const name = 'net.ipv4.vs.expire_nodest_conn'
  const drivers = [createIpvsDriver(sockets), createSysctlDriver([{ place: 'mesh', name }])]
  await reach(t, drivers, [...wanted, { kind: 'sysctl', place: 'mesh', name, value: '1' }], places)
})

t.test('one change costs one message with a thousand services present', async t => {
  const { places, sockets } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  const many: KernelObject[] = [timeouts]
  for (let port = 1; port <= 1000; port++) {
    const fwmark = fwmarkOf('tcp', port)
    many.push(service(fwmark))
    for (let i = 1; i <= 3; i++) many.push(destination(fwmark, `10.254.1.${i}`))
  }
  await reach(t, [driver], many, places)
  const before = { ...messagesSent }
  const added = destination(fwmarkOf('tcp', 500), '10.254.1.9')
  t.strictSame(failures(await driver.apply([{ type: 'add', object: added }], places)), [])
  t.equal(messagesSent.changes - before.changes, 1)
  t.equal(messagesSent.queries - before.queries, 0)
})

t.test('a sandbox that is gone holds nothing and needs nothing removed', async t => {
  const { places, sockets } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  await reach(t, [driver], wanted, places)
  const removals = await pending([driver], [], places)
  const gone = new Map(places).set('mesh', '/run/netns/mesh-test-none')
  t.strictSame((await driver.observe(gone)).objects, [])
  t.strictSame(failures(await driver.apply(removals, gone)), [])
})

t.test(
  'IPVS and schedulers are tried before anything asks for them, and nothing is left of that',
  async t => {
    await requireIpvs()
    await requireScheduler('rr')
    await t.rejects(requireScheduler('nonesuch'), {
      code: 'MESH_UNSUPPORTED',
      message: "the kernel's IPVS has no scheduler nonesuch; modprobe ip_vs_nonesuch, or choose another",
    })
    t.strictSame(
      readdirSync('/run/netns').filter(name => name.startsWith('mesh-try')),
      [],
    )
  },
)
