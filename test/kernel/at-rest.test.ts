/**
 * A kernel in which nothing happens: every driver tells the very list that it told before, by
 * which a pass knows that it has nothing to do, and hardly asks for it. Whatever a hand then
 * changes makes another one.
 */
import t from 'tap'
import { createDrivers } from '../../src/drivers/all.js'
import { byFwmark, type DestinationObject, type KernelObject } from '../../src/kernel/objects.js'
import { messagesSent } from '../../src/netlink/connection.js'
import { freshStage, pending, reach, told } from '../helpers/drivers.js'
import { loadModules } from '../helpers/namespaces.js'

loadModules('ip_vs', 'ip_vs_rr', 'ip_set_bitmap_port', 'ip_set_hash_net', 'xt_set', 'iptable_filter')

const destination: DestinationObject = {
  kind: 'destination',
  service: byFwmark(7),
  address: '10.254.0.3',
  port: 80,
  weight: 1,
  drainingSince: 0,
}

function wantedAt(path: string): KernelObject[] {
  return [
    { kind: 'namespace', place: 'mesh', path },
    { kind: 'link', place: 'host', name: 'mesh0', peerPlace: 'mesh', peerName: 'eth0', mtu: 1500 },
    { kind: 'address', place: 'host', link: 'mesh0', address: '10.254.0.1/32' },
    { kind: 'sysctl', place: 'mesh', name: 'net.ipv4.ip_forward', value: '1' },
    { kind: 'set', place: 'host', name: 'mesh-tcp', type: 'bitmap:port', family: 'inet', skbinfo: false },
    { kind: 'set', place: 'mesh', name: 'mesh-nets', type: 'hash:net', family: 'inet', skbinfo: false },
    { kind: 'entry', place: 'host', set: 'mesh-tcp', element: '8888', mark: null },
    {
      kind: 'chain',
      place: 'host',
      family: 'inet',
      table: 'filter',
      name: 'MESH-TEST',
      rules: ['-j RETURN'],
    },
    { kind: 'virtualService', match: byFwmark(7), scheduler: 'rr', persistence: 0 },
    destination,
    { kind: 'timeouts', tcp: 900, tcpFin: 120, udp: 300 },
  ]
}

t.test('a look that finds nothing new tells the same list; one that finds something, another', async t => {
  const { places, sockets, run } = freshStage(t)
  const drivers = createDrivers({ variant: 'legacy', sockets })
  const wanted = wantedAt(places.get('mesh')!)
  const look = async () => {
    const lists = new Map<string, readonly KernelObject[]>()
    for (const driver of drivers) lists.set(driver.name, (await driver.observe(places)).objects)
    return lists
  }
  await reach(t, drivers, wanted, places)
  // What was told of the changes themselves, or is compared with the table for the first time.
  await look()
  const rest = await look()
  const before = messagesSent.queries
  for (const [name, list] of await look()) t.equal(list, rest.get(name), name)
  t.ok(messagesSent.queries - before <= 6, `${messagesSent.queries - before} questions`)

  const damages: [driver: string, damage: ['host' | 'mesh', string], changes: string[]][] = [
    ['link', ['host', 'ip address del 10.254.0.1/32 dev mesh0'], ['add address host mesh0 10.254.0.1/32']],
    ['sysctl', ['mesh', 'sysctl -qw net.ipv4.ip_forward=0'], ['update sysctl mesh net.ipv4.ip_forward']],
    ['set', ['host', 'ipset add mesh-tcp 9999'], ['remove entry host mesh-tcp 9999']],
    ['set', ['host', 'ipset del mesh-tcp 8888'], ['add entry host mesh-tcp 8888']],
    ['set', ['mesh', 'ipset destroy mesh-nets'], ['add set mesh mesh-nets']],
    ['set', ['mesh', 'ipset create mesh-more hash:ip'], ['remove set mesh mesh-more']],
    ['iptables', ['host', 'iptables-legacy -F MESH-TEST'], ['update chain host filter MESH-TEST']],
    ['ipvs', ['mesh', 'ipvsadm -e -f 7 -r 10.254.0.3:80 -m -w 5'], ['update destination 7 10.254.0.3:80']],
    ['ipvs', ['mesh', 'ipvsadm -d -f 7 -r 10.254.0.3:80'], ['add destination 7 10.254.0.3:80']],
    ['ipvs', ['mesh', 'ipvsadm -E -f 7 -s rr -p 60'], ['update virtualService 7']],
    ['ipvs', ['mesh', 'ipvsadm -A -t 10.253.0.9:80 -s rr'], ['remove virtualService 6 10.253.0.9:80']],
    ['ipvs', ['mesh', 'ipvsadm --set 800 0 0'], ['update timeouts']],
  ]
  for (const [name, [place, command], changes] of damages) {
    const healthy = await look()
    run(place, command)
    const damaged = await look()
    t.not(damaged.get(name), healthy.get(name), command)
    t.equal((await look()).get(name), damaged.get(name), 'nothing new since')
    t.strictSame(told(await pending(drivers, wanted, places)), changes, command)
    await reach(t, drivers, wanted, places)
    await look()
  }
})
