import t from 'tap'
import { addDestination, addService, updateDestination, updateService } from '../../../src/netlink/ipvs.js'
import { byFwmark } from '../../../src/netlink/ipvs-words.js'
import { writeDestination, writeService } from '../../../src/netlink/ipvs-writer.js'
import { headerLength } from '../../../src/netlink/message.js'
import { Writer } from '../../../src/netlink/writer.js'
import { Random } from '../../helpers/random.js'

t.test('what is written at once is what a request would say', async t => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed * 40503)
    const address = () => random.ipv4()
    const match = random.pick([
      byFwmark(random.u32()),
      { protocol: random.pick([6, 17, 132]), address: address(), port: random.between(0, 65535) },
    ])
    const destination = {
      address: address(),
      port: random.between(0, 65535),
      weight: random.between(0, 65535),
      upperThreshold: random.u32(),
    }
    const configuration = {
      scheduler: random.pick(['rr', 'wlc', 'sh']),
      persistence: random.pick([0, 0, random.between(1, 86400)]),
    }
    const { upperThreshold } = destination
    const out = new Writer()
    const payload = () => out.take().subarray(headerLength)
    t.ok(writeDestination(out, 'add', match, destination, upperThreshold))
    t.same(payload(), addDestination(match, destination).payload, `destination, seed ${seed}`)
    t.ok(writeDestination(out, 'update', match, destination, upperThreshold))
    t.same(payload(), updateDestination(match, destination).payload)
    t.ok(writeService(out, 'add', match, configuration))
    t.same(payload(), addService(match, configuration).payload, `virtual service, seed ${seed}`)
    t.ok(writeService(out, 'update', match, configuration))
    t.same(payload(), updateService(match, configuration).payload)
  }
})

t.test('of what is not of IPv4 nothing is written', async t => {
  const out = new Writer()
  const destination = { address: 'fd4d::3', port: 80, weight: 1 }
  const match = { protocol: 6, address: 'fd4d::5', port: 80 }
  t.notOk(writeDestination(out, 'add', { fwmark: 1 }, destination, 0))
  t.notOk(writeDestination(out, 'add', match, { ...destination, address: '10.0.0.1' }, 0))
  t.notOk(writeService(out, 'add', match, { scheduler: 'rr', persistence: 0 }))
  t.equal(out.length, 0)
})
