import t from 'tap'
import { formerOf, keepChosen, mergePublication, withFields } from '../../../src/agent/merge-publication.js'
import { formatPort, parsePortSpec } from '../../../src/model/ports.js'
import { publicationOf } from '../../../src/model/publication.js'
import type { Service } from '../../../src/model/service.js'

const ports = (...specs: string[]) => specs.map(parsePortSpec)

function serviceWith(...specs: string[]): Service {
  return publicationOf('web', {
    ports: ports(...specs),
    scheduler: 'lc',
    selector: { app: 'web' },
  }) as Service
}

t.test('publishing again adds ports and endpoints, and changes no setting that was not given', async t => {
  const endpoint = { address: '10.1.2.3', port: 80 }
  const asked = publicationOf('web', { ports: ports('8889:80', '8888:81'), endpoints: [endpoint], drain: 5 })
  const merged = mergePublication(asked, serviceWith('8888:80', '53:53/udp'), new Set(['drain']))
  t.strictSame(merged.ports.map(formatPort), ['8888:81/tcp', '53:53/udp', '8889:80/tcp'])
  t.match(merged, { endpoints: [endpoint], scheduler: 'lc', drain: 5, selector: { app: 'web' } })
  t.equal(mergePublication(merged, merged as Service, new Set()).endpoints.length, 1)
  t.equal(mergePublication(asked, undefined, new Set()), asked)
})

t.test('what is asked for twice is left to be refused, as it is for a new service', async t => {
  const asked = publicationOf('web', { ports: ports('8888:80', '8888:81') })
  const merged = mergePublication(asked, serviceWith('8888:80'), new Set())
  t.strictSame(merged.ports.map(formatPort), ['8888:80/tcp', '8888:81/tcp'])
})

t.test('publishing again leaves VIP, names and scopes alone, unless they are given', async t => {
  const former = {
    ...serviceWith('8888:80'),
    vip: '10.253.1.3',
    persistence: 600,
    aliases: ['shop'],
    scopes: ['team-a'],
    weights: [{ label: 'v', value: '2', weight: 5 }],
  }
  const asked = publicationOf('web', { ports: ports('8889:80'), scopes: ['team-b'], persistence: 5 })
  t.match(mergePublication(asked, former, new Set(['persistence'])), {
    vip: 'auto',
    persistence: 5,
    aliases: ['shop'],
    scopes: ['team-a'],
    weights: [{ weight: 5 }],
  })
  t.equal(mergePublication(asked, { ...former, vip: null }, new Set()).vip, 'none', 'it was to have none')
  t.equal(mergePublication({ ...asked, vip: 'auto' }, { ...former, vip: null }, new Set(['vip'])).vip, 'auto')
})

t.test('labels that only scope containers keep nobody from publishing their service', async t => {
  const stored: Service = { ...serviceWith('8888:80'), vip: null, declaredBy: 'swarm', problems: [] }
  t.equal(formerOf([stored], 'web'), stored)
  t.equal(formerOf([stored], 'other'), undefined)
  const scoping = { ...stored, ports: [], scopes: ['team-a'] }
  t.equal(formerOf([scoping], 'web'), undefined)
  const wrong = { ...scoping, problems: ['label mesh.publish: no'] }
  t.equal(formerOf([wrong], 'web'), wrong, 'labels that are wrong mean to declare it')
})

t.test('setting changes what is given and nothing else', async t => {
  const former = { ...serviceWith('8888:80'), vip: '10.253.1.3', aliases: ['shop'], drain: 7 }
  const { vip, ...others } = former
  t.same(withFields(former, {}), { ...others, vip: 'auto' })
  t.same(withFields(former, { aliases: [], drain: 5 }), { ...others, vip: 'auto', aliases: [], drain: 5 })
  t.equal(withFields(former, { vip: '10.253.9.9' }).vip, '10.253.9.9')
  t.equal(withFields({ ...former, vip: null }, { drain: 5 }).vip, 'none')
  t.equal(withFields({ ...former, vip: null, endpointMode: 'dnsrr' }, { endpointMode: 'vip' }).vip, 'auto')
  const weights = [{ label: 'v', value: '2', weight: 5 }]
  t.equal(withFields(former, { weights }).scheduler, 'wrr', 'lc takes no account of weights')
  t.equal(withFields({ ...former, scheduler: 'wlc' }, { weights }).scheduler, 'wlc')
  t.equal(withFields(former, { weights, scheduler: 'sed' }).scheduler, 'sed')
  t.equal(withFields(former, { weights: [] }).scheduler, 'lc')
})

t.test('a file keeps the ports that were chosen for it', async t => {
  const kept = (former: Service | undefined, ...specs: string[]) =>
    keepChosen(ports(...specs), former).map(formatPort)
  t.strictSame(kept(undefined, '80', '9000:80'), ['80/tcp', '9000:80/tcp'])
  t.strictSame(kept(serviceWith('30000:80', '30001:80', '30000:80/udp'), '80', '80', '80/udp', '80'), [
    '30000:80/tcp',
    '30001:80/tcp',
    '30000:80/udp',
    '80/tcp',
  ])
  t.strictSame(
    kept(serviceWith('8301:80', '8302:80', '30000:80'), '8301:80', '8302:80', '80'),
    ['8301:80/tcp', '8302:80/tcp', '30000:80/tcp'],
    'and not one that the file names itself',
  )
  t.strictSame(kept(serviceWith('8005:80'), '8000-8009:80-89', '80'), ['8000-8009:80-89/tcp', '80/tcp'])
})
