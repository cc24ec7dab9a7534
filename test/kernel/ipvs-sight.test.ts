/**
 * Many virtual services: netlink is asked for few of them, and what a hand changes is
 * found all the same, at once where the kernel's table shows it, else within a known number
 * of observations.
 */
import t from 'tap'
import { createIpvsDriver } from '../../src/drivers/ipvs.js'
import { rounds } from '../../src/drivers/ipvs-sight.js'
import { byFwmark, type KernelObject, keyOf, type ServiceMatch } from '../../src/kernel/objects.js'
import { messagesSent } from '../../src/netlink/connection.js'
import { bring, failures, freshStage, pending, reach, told } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

loadModules('ip_vs', 'ip_vs_rr', 'ip_vs_wlc')

const count = 600
const timeouts: KernelObject = { kind: 'timeouts', tcp: 900, tcpFin: 120, udp: 300 }
const matches: ServiceMatch[] = [
  ...Array.from({ length: count }, (_, i) => byFwmark(0x10000 + i)),
  byFwmark(0x10000, 'inet6'),
  byFwmark(0x10001, 'inet6'),
  { protocol: 6, address: '10.253.0.5', port: 80 },
  { protocol: 17, address: 'fd4d::5', port: 53 },
  { protocol: 132, address: '10.253.0.5', port: 80 },
]

const wanted: KernelObject[] = [
  timeouts,
  ...matches.flatMap((match, i): KernelObject[] => {
    const inet6 = 'fwmark' in match ? match.family === 'inet6' : match.address.includes(':')
    const service: KernelObject = { kind: 'virtualService', match, scheduler: 'rr', persistence: 0 }
    // One of them has no destinations in either family.
    if ('fwmark' in match && match.fwmark === 0x10001) return [service]
    const addresses = inet6 ? ['fd4e::3', 'fd4e::4'] : ['10.254.0.3', '10.254.0.4']
    return [
      service,
      ...addresses.map(
        (address, k): KernelObject => ({
          kind: 'destination',
          service: match,
          address,
          port: 80,
          weight: k === 1 && i % 100 === 99 ? 0 : 1,
          drainingSince: k === 1 && i % 100 === 99 ? 1_790_000_000 : 0,
        }),
      ),
    ]
  }),
]

t.test('what did not change is not asked for again', async t => {
  const { places, sockets } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  await reach(t, [driver], wanted, places)
  for (let round = 0; round < rounds; round++) {
    const before = messagesSent.queries
    const { objects, readings } = await driver.observe(places)
    t.ok(messagesSent.queries - before < count / 2, `${messagesSent.queries - before} questions`)
    t.equal(objects.length, wanted.length)
    t.equal(
      readings?.size,
      wanted.filter(object => object.kind === 'destination' && object.weight === 0).length,
    )
    t.strictSame(objects.map(keyOf).sort(), wanted.map(keyOf).sort())
  }
})

t.test('whatever a hand changes is found and repaired', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = [createIpvsDriver(sockets)]
  await reach(t, drivers, wanted, places)
  const mark = 0x10000 + 300
  const one = `destination ${mark} 10.254.0.3:80`
  const shown: [string, string[]][] = [
    [`ipvsadm -d -f ${mark} -r 10.254.0.3:80`, [`add ${one}`]],
    [`ipvsadm -a -f ${mark} -r 10.254.0.9:80 -m`, [`remove destination ${mark} 10.254.0.9:80`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 7`, [`update ${one}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 0`, [`update ${one}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -i -w 1`, [`update ${one}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -g -w 1`, [`update ${one}`]],
    [`ipvsadm -E -f ${mark} -s wlc`, [`update virtualService ${mark}`]],
    [`ipvsadm -E -f ${mark} -s rr -p 30`, [`update virtualService ${mark}`]],
    [`ipvsadm -E -f ${mark} -s rr -o`, [`update virtualService ${mark}`]],
    ['ipvsadm -A -f 7 -s rr', ['remove virtualService 7']],
    [
      `ipvsadm -D -f ${mark}`,
      [`add virtualService ${mark}`, `add ${one}`, `add destination ${mark} 10.254.0.4:80`],
    ],
    ['ipvsadm -d -f 65536 -6 -r [fd4e::3]:80', ['add destination 65536 inet6 [fd4e::3]:80']],
    ['ipvsadm -d -f 65536 -r 10.254.0.4:80', ['add destination 65536 10.254.0.4:80']],
    [
      'ipvsadm -e -u [fd4d::5]:53 -r [fd4e::4]:80 -m -w 9',
      ['update destination 17 [fd4d::5]:53 [fd4e::4]:80'],
    ],
    ['ipvsadm -d -t 10.253.0.5:80 -r 10.254.0.3:80', ['add destination 6 10.253.0.5:80 10.254.0.3:80']],
    ['ipvsadm -a -f 65537 -6 -r [fd4e::9]:80 -m', ['remove destination 65537 inet6 [fd4e::9]:80']],
    ['ipvsadm --set 800 0 0', ['update timeouts']],
  ]
  for (const [damage, changes] of shown) {
    run('mesh', damage)
    t.strictSame(told(await pending(drivers, wanted, places)), changes, damage)
    t.strictSame(failures(await bring(drivers, wanted, places)), [])
    t.strictSame(told(await pending(drivers, wanted, places)), [], 'repaired')
  }
  const hidden: [string, string[]][] = [
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 1 -x 9`, [`update ${one}`]],
    [`ipvsadm -e -f ${mark} -r 10.254.0.3:80 -m -w 1 -x 9 -y 5`, [`update ${one}`]],
    [
      'ipvsadm -e -f 65635 -r 10.254.0.4:80 -m -w 0 -x 1790000500',
      ['update destination 65635 10.254.0.4:80'],
    ],
  ]
  for (const [damage, changes] of hidden) {
    run('mesh', damage)
    let observations = 1
    let found = await pending(drivers, wanted, places)
    for (; found.length === 0 && observations < rounds; observations++)
      found = await pending(drivers, wanted, places)
    t.strictSame(told(found), changes, `${damage}: ${observations} observations`)
    t.strictSame(failures(await bring(drivers, wanted, places)), [])
  }
})

t.test('what the mesh itself changes is seen at once', async t => {
  const { places, sockets } = freshStage(t)
  const driver = createIpvsDriver(sockets)
  await reach(t, [driver], wanted, places)
  const later = wanted.map(
    (object): KernelObject =>
      object.kind === 'destination' && object.drainingSince > 0
        ? { ...object, drainingSince: object.drainingSince + 60 }
        : object,
  )
  await reach(t, [driver], later, places)
  await reach(t, [driver], [timeouts], places)
})
