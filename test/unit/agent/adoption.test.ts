/**
 * What becomes of the ports of a Swarm service that change hands.
 */
import t from 'tap'
import { adoptionOf, releaseOf, samePorts, strangers } from '../../../src/agent/adoption.js'
import { formatPort, type PublishedPort, parsePortSpec } from '../../../src/model/ports.js'
import type { IngressPort } from '../../../src/sources/swarm-service.js'
import { aService } from '../../helpers/services.js'

const ingress = (published: number, target = 80, protocol: IngressPort['protocol'] = 'tcp'): IngressPort => ({
  protocol,
  published,
  target,
})
const withPorts = (...specs: string[]) =>
  aService('web', 1, { ports: specs.map(spec => parsePortSpec(spec) as PublishedPort), declaredBy: 'swarm' })

t.test('all ports of the ingress go into the label, behind what it says already', async t => {
  const adopted = (label: string | null, ...ports: IngressPort[]) => {
    const adoption = adoptionOf('web', label, ports)
    return `${adoption.label} | ${adoption.ports.map(formatPort)}`
  }
  t.equal(adopted(null, ingress(8080)), '8080:80/tcp | 8080:80/tcp')
  t.equal(
    adopted(null, ingress(8080), ingress(53, 53, 'udp')),
    '8080:80/tcp,53:53/udp | 8080:80/tcp,53:53/udp',
  )
  t.equal(adopted(':80, 9000:90', ingress(8080)), ':80, 9000:90,8080:80/tcp | 8080:80/tcp')
  t.equal(adopted('8080:80', ingress(8080), ingress(8081)), '8080:80,8081:80/tcp | 8080:80/tcp,8081:80/tcp')
  t.equal(adopted('8000-8009:9000-9009', ingress(8003, 9003)), '8000-8009:9000-9009 | 8003:9003/tcp')
  t.equal(adopted('53:53', ingress(53, 53, 'udp')), '53:53,53:53/udp | 53:53/udp')
})

t.test('nothing to adopt, and a label that leads elsewhere, are told of', async t => {
  const refused = (label: string | null, ports: IngressPort[], message: RegExp) =>
    t.throws(() => adoptionOf('web', label, ports), { code: 'MESH_BAD_INPUT', message })
  refused(null, [], /service "web": Docker publishes no port of it in ingress mode; .*meshctl publish/)
  refused('8080:80', [], /its ports are the mesh’s already/)
  refused(
    '8080:81',
    [ingress(8080)],
    /8080:81\/tcp is not where Docker's 8080:80\/tcp leads; .*--publish-rm 8080 web/,
  )
  refused('10.0.0.5:8080:80', [ingress(8080)], /is not where Docker's/)
  refused('8080:eighty', [ingress(8080)], /"eighty" is not a number/)
})

t.test('released ports join those that Docker publishes, ranges one by one', async t => {
  t.same(releaseOf(withPorts('8080:80'), []), [ingress(8080)])
  t.same(releaseOf(withPorts('8000-8002:9000-9002', '53:53/udp'), [ingress(7000, 70), ingress(8000, 9000)]), [
    ingress(7000, 70),
    ingress(8000, 9000),
    ingress(8001, 9001),
    ingress(8002, 9002),
    ingress(53, 53, 'udp'),
  ])
  t.same(releaseOf(withPorts('8080:81'), [ingress(8080, 80)]), [ingress(8080, 81)], 'to where the mesh led')
  t.ok(samePorts([ingress(1), ingress(2)], [ingress(2), ingress(1)]))
  t.notOk(samePorts([ingress(1)], [ingress(1, 81)]))
  t.notOk(samePorts([ingress(1)], [ingress(1), ingress(2)]))
})

t.test('what an ingress cannot do is not released', async t => {
  t.throws(() => releaseOf(withPorts('10.0.0.5:8080:80'), []), { message: /is bound to one address/ })
  const fixed = { ...withPorts('8080:80'), endpoints: [{ address: '10.1.2.3', port: null }] }
  t.throws(() => releaseOf(fixed, []), { message: /the service's tasks alone; .*mesh\.endpoint/ })
})

t.test('nodes of the Swarm without an agent are found by name or address', async t => {
  const node = (hostname: string, address: string, ready = true) => ({
    hostname,
    addresses: [address],
    ready,
  })
  const swarm = [
    node('a', '10.0.0.1'),
    node('b', '10.0.0.2'),
    node('c', '10.0.0.3'),
    node('d', '10.0.0.4', false),
  ]
  const mesh = [
    { name: 'a', addresses: ['192.168.0.1'] },
    { name: 'node2', addresses: ['192.168.0.2', '10.0.0.2'] },
  ]
  t.same(strangers(swarm, mesh), ['c'])
})
