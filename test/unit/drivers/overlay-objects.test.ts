import t from 'tap'
import { objectsOf, type PlaceReading, ruleConfiguration } from '../../../src/drivers/link-objects.js'
import { overlayObjects } from '../../../src/drivers/overlay-objects.js'
import { keyOf, type Place, type RuleObject } from '../../../src/kernel/objects.js'
import type { LinkReading } from '../../../src/netlink/link.js'
import type { RuleReading } from '../../../src/netlink/route.js'

const mac = '02:4d:00:00:00:01'
const vxlan = {
  vni: 1090,
  port: 4790,
  local: '192.168.77.1',
  learning: false,
  groupPolicy: true,
  byEntriesOnly: true,
}
const device = (more: Partial<LinkReading> = {}): LinkReading => ({
  index: 5,
  name: 'mesh-vxlan',
  kind: 'vxlan',
  up: true,
  mtu: 1450,
  hardwareAddress: mac,
  peerIndex: null,
  peerNamespaceId: 0,
  master: null,
  alias: null,
  vxlan,
  ...more,
})
const reading = (links: LinkReading[], more: Partial<PlaceReading> = {}): PlaceReading => ({
  links,
  addresses: [],
  neighbours: [],
  forwarding: [],
  routes: [],
  rules: [],
  ...more,
})
const object = {
  kind: 'vxlan',
  place: 'mesh',
  name: 'mesh-vxlan',
  vni: 1090,
  port: 4790,
  local: '192.168.77.1',
  mac,
  mtu: 1450,
} as const

t.test('a device as the mesh makes it', async t => {
  t.strictSame(overlayObjects('mesh', reading([device()])), [object])
})

t.test('what can be changed in place differs by itself', async t => {
  t.strictSame(overlayObjects('mesh', reading([device({ up: false })])), [{ ...object, mtu: 0 }])
  t.strictSame(overlayObjects('mesh', reading([device({ mtu: 1300 })])), [{ ...object, mtu: 1300 }])
  const other = '02:4d:00:00:00:ff'
  t.strictSame(overlayObjects('mesh', reading([device({ hardwareAddress: other })])), [
    { ...object, mac: other },
  ])
})

t.test('a device with options of other people has no port, which no wanted one has', async t => {
  const others: Partial<LinkReading>[] = [
    { vxlan: { ...vxlan, groupPolicy: false } },
    { vxlan: { ...vxlan, learning: true } },
    { vxlan: { ...vxlan, byEntriesOnly: false } },
    { peerNamespaceId: null },
  ]
  for (const more of others)
    t.strictSame(overlayObjects('mesh', reading([device(more)])), [{ ...object, port: 0 }])
})

t.test(
  'in the sandbox every VXLAN device is ours, in the host the one of our name, elsewhere none',
  async t => {
    const docker = device({ index: 6, name: 'vxlan0' })
    const namesOf = (place: Place) =>
      overlayObjects(place, reading([device(), docker, device({ kind: 'veth', vxlan: null })])).map(
        found => 'name' in found && `${found.place} ${found.name}`,
      )
    t.strictSame(namesOf('mesh'), ['mesh mesh-vxlan', 'mesh vxlan0'])
    t.strictSame(namesOf('host'), ['host mesh-vxlan'])
    t.strictSame(namesOf('container:a@1'), [])
  },
)

t.test('neighbours and forwarding entries belong to their device', async t => {
  const [, ...found] = overlayObjects(
    'mesh',
    reading([device()], {
      neighbours: [
        { linkIndex: 5, address: '10.254.1.1', mac },
        { linkIndex: 7, address: '10.254.2.1', mac },
      ],
      forwarding: [
        { linkIndex: 5, mac, destination: '192.168.77.2', detour: '' },
        { linkIndex: 7, mac, destination: '192.168.77.3', detour: '' },
      ],
    }),
  )
  t.strictSame(found, [
    { kind: 'neighbour', place: 'mesh', link: 'mesh-vxlan', address: '10.254.1.1', mac },
    { kind: 'forwarding', place: 'mesh', link: 'mesh-vxlan', mac, destination: '192.168.77.2' },
  ])
})

t.test('several destinations or a detour make an entry that nobody wants', async t => {
  const entry = { linkIndex: 5, mac, detour: '' }
  const destinations = (...forwarding: PlaceReading['forwarding']) =>
    overlayObjects('mesh', reading([device()], { forwarding })).flatMap(found =>
      found.kind === 'forwarding' ? found.destination : [],
    )
  t.strictSame(destinations({ ...entry, destination: '10.0.0.9' }, { ...entry, destination: '10.0.0.2' }), [
    '10.0.0.2, 10.0.0.9',
  ])
  t.strictSame(destinations({ ...entry, destination: '10.0.0.2', detour: 'port 9' }), ['10.0.0.2 port 9'])
})

t.test('addresses on the device are observed, since nobody else puts any there', async t => {
  const addresses = [{ linkIndex: 5, address: '10.254.0.1/32' }]
  t.strictSame(objectsOf(new Map([['mesh', reading([device()], { addresses })]])), [
    object,
    { kind: 'address', place: 'mesh', link: 'mesh-vxlan', address: '10.254.0.1/32' },
  ])
})

t.test('a rule by fwmark is read and written', async t => {
  const rule: RuleObject = {
    kind: 'rule',
    place: 'mesh',
    priority: 1095,
    source: '0.0.0.0/0',
    table: 2018,
    fwmark: 18,
  }
  const configuration = ruleConfiguration(rule)
  t.match(configuration, { priority: 1095, source: '0.0.0.0/0', table: 2018, fwmark: 18, protocol: 109 })
  const rules: RuleReading[] = [{ ...configuration, inputLink: null, fwmask: 0xffffffff, lookup: true }]
  t.strictSame(objectsOf(new Map([['mesh', reading([], { rules })]])), [rule])
  const part = { ...rule, fwmask: 0xff }
  const others: RuleReading[] = [{ ...rules[0]!, fwmask: 0xff }]
  t.strictSame(objectsOf(new Map([['mesh', reading([], { rules: others })]])), [part])
  t.match(ruleConfiguration(part), { fwmark: 18, fwmask: 0xff })
  t.not(keyOf(part), keyOf(rule))
  const past: RuleObject = { ...rule, fwmark: 0, table: 0, goto: 32_766 }
  t.match(ruleConfiguration(past), { fwmark: 0, fwmask: 0xffffffff, goto: 32_766 })
  const jumps: RuleReading[] = [{ ...ruleConfiguration(past), inputLink: null, lookup: false }]
  t.strictSame(objectsOf(new Map([['mesh', reading([], { rules: jumps })]])), [past])
  t.equal(keyOf(past), keyOf({ ...past, goto: 1100 }), 'for the kernel these are one rule')
})
