import t from 'tap'
import { createSysctlDriver } from '../../src/drivers/sysctls.js'
import type { Place, SysctlObject } from '../../src/kernel/objects.js'
import { bring, failures, freshStage, pending, reach, told } from '../helpers/drivers.js'

const sysctl = (place: Place, name: string, value: string): SysctlObject => ({
  kind: 'sysctl',
  place,
  name,
  value,
})

t.test('parameters are set in the namespace they belong to, and nowhere else', async t => {
  const { places, run } = freshStage(t)
  const drivers = [createSysctlDriver()]
  run('host', 'sysctl -qw net.ipv4.ip_forward=0')
  const wanted = [
    sysctl('mesh', 'net.ipv4.ip_forward', '1'),
    sysctl('mesh', 'net.ipv4.conf.lo.rp_filter', '2'),
    sysctl('mesh', 'net.ipv4.ip_local_port_range', '20000 30000'),
  ]
  await reach(t, drivers, wanted, places)
  t.equal(run('mesh', 'cat /proc/sys/net/ipv4/ip_forward').trim(), '1')
  t.equal(run('host', 'cat /proc/sys/net/ipv4/ip_forward').trim(), '0')
  run('mesh', 'sysctl -qw net.ipv4.ip_forward=0')
  t.strictSame(told(await pending(drivers, wanted, places)), ['update sysctl mesh net.ipv4.ip_forward'])
  await reach(t, drivers, wanted, places)
})

t.test('parameters given at the start are observed before any was set', async t => {
  const { places } = freshStage(t)
  const wanted = [sysctl('mesh', 'net.ipv4.conf.lo.rp_filter', '2')]
  await reach(t, [createSysctlDriver()], wanted, places)
  t.strictSame(told(await pending([createSysctlDriver(wanted)], wanted, places)), [])
})

t.test('a parameter that the kernel lacks is absent, and setting it names it and the errno', async t => {
  const { places } = freshStage(t)
  const drivers = [createSysctlDriver()]
  const wanted = [
    sysctl('mesh', 'net.ipv4.conf.nolink.rp_filter', '0'),
    sysctl('mesh', 'net.ipv4.ip_forward', '1'),
  ]
  const failed = failures(await bring(drivers, wanted, places))
  t.match(failed, [/set sysctl net.ipv4.conf.nolink.rp_filter to 0: ENOENT/])
  t.strictSame(told(await pending(drivers, wanted, places)), [
    'add sysctl mesh net.ipv4.conf.nolink.rp_filter',
  ])
  t.match(failures(await bring(drivers, [sysctl('mesh', 'net.ipv4.ip_forward', 'x')], places)), [
    /set sysctl net.ipv4.ip_forward to x: EINVAL/,
  ])
})

t.test('whether a link listens to routers is nobody’s concern while there is no such link', async t => {
  const { places, run } = freshStage(t)
  const drivers = [createSysctlDriver()]
  const wanted = [sysctl('host', 'net.ipv6.conf.usb0.accept_ra', '2')]
  await reach(t, drivers, wanted, places)
  run('host', 'ip link add usb0 type veth peer name usb1')
  t.strictSame(told(await pending(drivers, wanted, places)), [
    'update sysctl host net.ipv6.conf.usb0.accept_ra',
  ])
  await reach(t, drivers, wanted, places)
  t.equal(run('host', 'sysctl -n net.ipv6.conf.usb0.accept_ra').trim(), '2')
  run('host', 'ip link del usb0')
  t.strictSame(told(await pending(drivers, wanted, places)), [])
})

t.test('a parameter no longer wanted is left as it is and not looked at any more', async t => {
  const { places, run } = freshStage(t)
  const drivers = [createSysctlDriver()]
  await reach(t, drivers, [sysctl('mesh', 'net.ipv4.ip_forward', '1')], places)
  await reach(t, drivers, [], places)
  t.equal(run('mesh', 'cat /proc/sys/net/ipv4/ip_forward').trim(), '1')
})

t.test('a place that is gone holds nothing', async t => {
  const { places } = freshStage(t)
  const gone = new Map(places).set('mesh', '/run/netns/mesh-test-none')
  const driver = createSysctlDriver([{ place: 'mesh', name: 'net.ipv4.ip_forward' }])
  t.strictSame((await driver.observe(gone)).objects, [])
  t.match(failures(await bring([driver], [sysctl('mesh', 'net.ipv4.ip_forward', '1')], gone)), [
    /mesh: its network namespace is gone/,
  ])
})

t.test('what was set in a container is forgotten with it', async t => {
  const container = 'container:gone@1'
  const { places } = freshStage(t, [container])
  const driver = createSysctlDriver()
  await reach(t, [driver], [sysctl(container, 'net.ipv4.ip_forward', '1')], places)
  const others = new Map(places)
  others.delete(container)
  t.strictSame((await driver.observe(others)).objects, [])
  t.strictSame((await driver.observe(places)).objects, [], 'it would be kept for each that ever ran')
})
