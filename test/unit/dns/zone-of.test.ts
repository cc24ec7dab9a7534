import t from 'tap'
import { type Addresses, createNaming } from '../../../src/dns/zone-of.js'
import type { Container } from '../../../src/model/container.js'
import type { Endpoint, MeshService } from '../../../src/model/mesh.js'
import { service } from '../../helpers/services.js'

function endpoint(id: string, fields: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    name: id,
    kind: 'container',
    attachment: id,
    address: null,
    port: null,
    state: 'ready',
    weight: 1,
    ...fields,
  }
}

function container(id: string, fields: Partial<Container> = {}): Container {
  return {
    id,
    name: id,
    labels: {},
    state: 'running',
    health: 'none',
    pid: 1,
    network: 'own',
    addresses: [],
    networks: [],
    leaving: false,
    ending: false,
    dockerPorts: [],
    ...fields,
  }
}

const onMesh = new Map([
  ['a', '10.254.0.3'],
  ['b', '10.254.0.4'],
])
const addresses: Addresses = {
  ofEndpoint: ({ attachment, address }) => address ?? onMesh.get(attachment ?? '') ?? null,
  ofContainer: id => onMesh.get(id) ?? null,
  withTwin: address =>
    address.startsWith('10.25') ? [address, `fd00::${address.split('.')[3]}`] : [address],
}

function mesh(fields: Parameters<typeof service>[2], endpoints: Endpoint[]): MeshService {
  return { service: service('shop/web', ['8888:80'], fields), endpoints, callers: [] } as MeshService
}

t.test('a service with a VIP', async t => {
  const endpoints = [
    endpoint('a'),
    endpoint('b', { state: 'leaving' }),
    endpoint('c'),
    endpoint('b', { weight: 0 }),
    endpoint('10.9.9.9:81', { kind: 'external', address: '10.9.9.9', port: 81 }),
  ]
  const fields = { vip: '10.253.0.7', aliases: ['www', 'web.local'], scopes: ['team-a'] }
  const { services } = createNaming()([mesh(fields, endpoints)], [], addresses)
  t.strictSame(services.get('shop/web'), {
    name: 'shop/web',
    aliases: ['www'],
    localNames: ['web.local'],
    vips: ['10.253.0.7', 'fd00::7'],
    endpoints: [
      { addresses: ['10.254.0.3', 'fd00::3'], port: null },
      { addresses: ['10.9.9.9'], port: 81 },
    ],
    ports: [{ protocol: 'tcp', port: { first: 80, last: 80 }, target: { first: 80, last: 80 } }],
    scopes: ['team-a'],
  })
})

t.test('one without, and one whose name stands for its endpoints', async t => {
  const naming = createNaming()
  t.strictSame(naming([mesh({ vip: null }, [])], [], addresses).services.get('shop/web')?.vips, [])
  const dnsrr = mesh({ vip: null, endpointMode: 'dnsrr' }, [endpoint('a')])
  t.strictSame(naming([dnsrr], [], addresses).services.get('shop/web')?.vips, [])
})

t.test('what stays the same is the same object', async t => {
  const naming = createNaming()
  const one = mesh({ vip: '10.253.0.7' }, [endpoint('a')])
  const caller = container('b', { labels: { 'mesh.scope': 'x' } })
  const first = naming([one], [caller], addresses)
  const again = naming([{ ...one }], [{ ...caller }], addresses)
  t.equal(again.services.get('shop/web'), first.services.get('shop/web'))
  t.equal(again.callers.get('10.254.0.4'), first.callers.get('10.254.0.4'))
  onMesh.set('a', '10.254.0.9')
  const moved = naming([one], [caller], addresses)
  t.strictSame(
    moved.services.get('shop/web')?.endpoints[0]?.addresses[0],
    '10.254.0.9',
    'a new address is news',
  )
  onMesh.set('a', '10.254.0.3')
})

t.test(
  'callers have the scopes of the services they answer for, and those are named if anything leads there',
  async t => {
    const one = mesh({ vip: '10.253.0.7', scopes: ['team-a'] }, [endpoint('a')])
    const caller = mesh({ name: 'caller', ports: [], vip: null, scopes: ['team-b'] }, [endpoint('a')])
    const { services, callers } = createNaming()([one, caller], [container('a')], addresses)
    t.strictSame([...services.keys()], ['shop/web'])
    t.strictSame(callers.get('10.254.0.3')?.scopes, ['team-a', 'team-b'])
  },
)

t.test('callers by each address they have', async t => {
  const { callers } = createNaming()(
    [],
    [
      container('a', {
        addresses: ['172.17.0.2', '172.18.0.2'],
        labels: { 'mesh.scope': 'team-a, team-b', 'com.docker.compose.project': 'shop' },
      }),
      container('sidecar', {
        network: 'container:a',
        addresses: ['172.17.0.2'],
        labels: { 'mesh.scope': 'team-c' },
      }),
      container('host', { network: 'host', labels: { 'mesh.scope': 'team-a' } }),
      container('plain', { addresses: ['172.17.0.9'] }),
    ],
    addresses,
  )
  const both = { scopes: ['team-a', 'team-b', 'team-c'], project: 'shop' }
  t.strictSame(
    [...callers],
    [
      ['172.17.0.2', both],
      ['172.18.0.2', { scopes: ['team-a', 'team-b'], project: 'shop' }],
      ['10.254.0.3', both],
      ['fd00::3', both],
      ['172.17.0.9', { scopes: [], project: null }],
    ],
  )
})
