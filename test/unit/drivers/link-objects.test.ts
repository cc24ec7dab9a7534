import t from 'tap'
import {
  indexOfUnpaired,
  objectsOf,
  type PlaceReading,
  routeConfiguration,
} from '../../../src/drivers/link-objects.js'
import { keyOf, type LinkObject, type Place, type RouteObject } from '../../../src/kernel/objects.js'
import type { LinkReading } from '../../../src/netlink/link.js'
import type { RouteReading } from '../../../src/netlink/route.js'

const link = (
  index: number,
  name: string,
  peerIndex: number | null,
  more: Partial<LinkReading> = {},
): LinkReading => ({
  index,
  name,
  kind: peerIndex === null ? null : 'veth',
  up: true,
  mtu: 1500,
  hardwareAddress: null,
  peerIndex,
  peerNamespaceId: 0,
  master: null,
  alias: null,
  vxlan: null,
  ...more,
})
const route = (linkIndex: number | null, more: Partial<RouteReading> = {}): RouteReading => ({
  table: 254,
  destination: '10.254.0.3/32',
  type: 'unicast',
  linkIndex,
  gateway: null,
  source: null,
  protocol: 109,
  onlink: false,
  metric: 0,
  ...more,
})
const reading = (links: LinkReading[], more: Partial<PlaceReading> = {}): PlaceReading => ({
  links,
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  forwarding: [],
  ...more,
})
const container: Place = 'container:aaa@1'

function linksOf(readings: [Place, PlaceReading][]): LinkObject[] {
  return objectsOf(new Map(readings)).filter(object => object.kind === 'link')
}

t.test(
  'the two ends of a veth are one object, named by the host for the uplink and by the sandbox else',
  async t => {
    const found = linksOf([
      ['host', reading([link(1, 'lo', null), link(9, 'eth7', 4), link(5, 'mesh0', 2)])],
      ['mesh', reading([link(1, 'lo', null), link(2, 'eth0', 5), link(3, 'paaa', 2)])],
      [container, reading([link(2, 'mesh0', 3), link(4, 'eth0', 9)])],
    ])
    t.strictSame(found, [
      { kind: 'link', place: 'host', name: 'mesh0', peerPlace: 'mesh', peerName: 'eth0', mtu: 1500 },
      { kind: 'link', place: 'mesh', name: 'paaa', peerPlace: container, peerName: 'mesh0', mtu: 1500 },
    ])
  },
)

t.test('an end whose peer is nowhere is an object that no plan has, and carries nothing', async t => {
  const objects = objectsOf(
    new Map<Place, PlaceReading>([
      [
        'mesh',
        reading([link(3, 'paaa', 2)], {
          addresses: [{ linkIndex: 3, address: '10.254.0.9/32' }],
          routes: [route(3)],
        }),
      ],
      [
        container,
        reading([link(2, 'mesh0', 77)], { addresses: [{ linkIndex: 2, address: '10.254.0.3/32' }] }),
      ],
    ]),
  )
  t.strictSame(objects.map(keyOf), [`link ${container} mesh0`, 'link mesh paaa'])
  t.strictSame(
    objects.map(object => indexOfUnpaired(object as LinkObject)),
    [2, 3],
  )
})

t.test('a pair with an end that is down, or with two sizes, has a size no plan has', async t => {
  for (const flaw of [{ up: false }, { mtu: 1400 }])
    t.equal(
      linksOf([
        ['mesh', reading([link(3, 'paaa', 2, flaw)])],
        [container, reading([link(2, 'mesh0', 3)])],
      ])[0]?.mtu,
      0,
    )
})

t.test('an address that the kernel itself gave a link is none of ours', async t => {
  const addresses = ['10.254.0.3/32', 'fd4d::3/128', 'fe80::7/64', 'fe80::1/128'].map(address => ({
    linkIndex: 3,
    address,
  }))
  const objects = objectsOf(
    new Map<Place, PlaceReading>([
      ['mesh', reading([link(3, 'paaa', 2)])],
      [
        container,
        reading([link(2, 'mesh0', 3)], { addresses: addresses.map(a => ({ ...a, linkIndex: 2 })) }),
      ],
    ]),
  )
  t.strictSame(
    objects.flatMap(object => (object.kind === 'address' ? [object.address] : [])),
    ['10.254.0.3/32', 'fd4d::3/128', 'fe80::1/128'],
  )
})

t.test(
  'only routes and rules of our protocol are ours, and a strange route keeps its key to itself',
  async t => {
    const objects = objectsOf(
      new Map<Place, PlaceReading>([
        [
          'mesh',
          reading([link(1, 'lo', null)], {
            routes: [
              route(1, { protocol: 2 }),
              route(1, { metric: 7 }),
              route(null, { type: 'blackhole', destination: '10.9.0.0/16' }),
            ],
          }),
        ],
      ]),
    )
    t.strictSame(objects.map(keyOf), [
      'route mesh 254 10.254.0.3/32 metric 7',
      'route mesh 254 blackhole 10.9.0.0/16',
    ])
    t.match(routeConfiguration(objects[0] as RouteObject, 1), {
      destination: '10.254.0.3/32',
      metric: 7,
      linkIndex: 1,
    })
    t.match(routeConfiguration(objects[1] as RouteObject, null), {
      destination: '10.9.0.0/16',
      type: 'blackhole',
    })
  },
)
