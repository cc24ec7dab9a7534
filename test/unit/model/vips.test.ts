/**
 * Which VIP a service gets.
 */
import t from 'tap'
import { publicationOf } from '../../../src/model/publication.js'
import {
  checkVip,
  chooseVip,
  parseVip,
  resolverAddress,
  settleVip,
  vipsInPool,
} from '../../../src/model/vips.js'
import { aService } from '../../helpers/services.js'

const pool = '10.253.0.0/16'
const asking = (name: string, vip = 'auto', fields: Parameters<typeof publicationOf>[1] = {}) =>
  publicationOf(name, { vip, ...fields })

t.test('the resolver has the first address, and no service gets it or an end of the pool', async t => {
  t.equal(resolverAddress(pool), '10.253.0.1')
  t.equal(resolverAddress('10.253.4.16/28'), '10.253.4.17')
  t.same([vipsInPool(pool), vipsInPool('10.0.0.0/29'), vipsInPool('10.0.0.0/28')], [65_533, 5, 13])
  for (const [address, problem] of [
    ['10.253.0.1', /the resolver's own/],
    ['10.253.0.0', /the first or last/],
    ['10.253.255.255', /the first or last/],
    ['10.254.0.9', /outside the VIP pool 10\.253\.0\.0\/16/],
  ] as const)
    t.throws(() => checkVip(address, pool), {
      code: 'MESH_BAD_INPUT',
      field: 'vip',
      value: address,
      message: problem,
    })
  t.throws(() => checkVip('10.253.1.3', null), /this mesh has no VIPs/)
  t.doesNotThrow(() => checkVip('10.253.255.254', pool))
})

t.test('a name has the same VIP on every node and at every time, as long as that is free', async t => {
  const first = chooseVip('web', new Map(), pool)
  t.equal(chooseVip('web', new Map(), pool), first)
  t.match(first, /^10\.253\.\d+\.\d+$/)
  t.not(chooseVip('api', new Map(), pool), first)
  const next = chooseVip('web', new Map([[first, 'api']]), pool)
  t.not(next, first)
})

t.test('a small pool is given out to its last address, and then says how many there were', async t => {
  const taken = new Map<string, string>()
  for (const name of ['a', 'b', 'c', 'd', 'e']) taken.set(chooseVip(name, taken, '10.9.0.8/29'), name)
  t.same([...taken.keys()].sort(), ['10.9.0.10', '10.9.0.11', '10.9.0.12', '10.9.0.13', '10.9.0.14'])
  t.throws(() => chooseVip('f', taken, '10.9.0.8/29'), {
    code: 'MESH_VIP_TAKEN',
    message:
      /^choose a VIP for service f: all 5 addresses of the VIP pool 10\.9\.0\.8\/29 are taken; .*--vip-pool$/,
  })
})

t.test('10,000 services are given VIPs within seconds', async t => {
  const taken = new Map<string, string>()
  for (let i = 0; i < 10_000; i++) taken.set(chooseVip(`service-${i}`, taken, pool), `service-${i}`)
  t.equal(taken.size, 10_000)
})

t.test('auto keeps what the service has, unless that is no longer in the pool', async t => {
  const web = aService('web', 80, { vip: '10.253.7.7' })
  t.equal(settleVip(asking('web'), [web], pool), '10.253.7.7')
  t.equal(settleVip(asking('web'), [web], '10.9.0.0/16')?.startsWith('10.9.'), true)
  t.equal(settleVip(asking('web', 'auto', { ports: web.ports }), [web], null), null)
  t.throws(() => settleVip(asking('web'), [web], null), /this mesh has no VIPs/)
})

t.test('none is none, and a name that stands for its endpoints has none', async t => {
  const web = aService('web', 80, { vip: '10.253.7.7' })
  t.equal(settleVip(asking('web', 'none'), [web], pool), null)
  t.equal(settleVip(asking('web', 'auto', { endpointMode: 'dnsrr' }), [web], pool), null)
  t.throws(() => settleVip(asking('web', '10.253.7.8', { endpointMode: 'dnsrr' }), [], pool), {
    code: 'MESH_BAD_INPUT',
    message: /a dnsrr service has none/,
  })
})

t.test('an address that was asked for is given, or refused with the name of who has it', async t => {
  const services = [aService('api', 80, { vip: '10.253.1.3' }), aService('web', 81, { vip: '10.253.1.4' })]
  t.equal(settleVip(asking('web', '10.253.9.9'), services, pool), '10.253.9.9')
  t.equal(settleVip(asking('web', '10.253.1.4'), services, pool), '10.253.1.4')
  t.throws(() => settleVip(asking('web', '10.253.1.3'), services, pool), {
    code: 'MESH_VIP_TAKEN',
    message: /^give web the VIP 10\.253\.1\.3: service api has it/,
  })
  t.throws(() => settleVip(asking('web', '10.253.1.3'), services, null), /this mesh has no VIPs/)
})

t.test('an exhausted pool keeps no port from being published, but no service from being told', async t => {
  const small = '10.9.0.8/29'
  const services = [10, 11, 12, 13, 14].map(i => aService(`s${i}`, i, { vip: `10.9.0.${i}` }))
  const ports = aService('web', 8888).ports
  t.equal(settleVip(asking('web', 'auto', { ports }), services, small), null)
  t.throws(() => settleVip(asking('web'), services, small), {
    code: 'MESH_VIP_TAKEN',
    message: /all 5 addresses/,
  })
  t.equal(settleVip(asking('web', 'auto', { ports }), services.slice(1), small), '10.9.0.10')
})

t.test('only auto, none and addresses stand for a VIP', async t => {
  t.same(
    [' auto', 'none', '10.253.1.3'].map(text => parseVip(text)),
    ['auto', 'none', '10.253.1.3'],
  )
  for (const text of ['', 'yes', '10.253.1', '10.253.1.3/32', 'fd00::1'])
    t.throws(() => parseVip(text, '--ip'), {
      field: '--ip',
      value: text,
      message: /no VIP; write auto, none/,
    })
})
