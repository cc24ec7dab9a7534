import t from 'tap'
import { addDestination, addService, updateDestination, updateService } from '../../../src/netlink/ipvs.js'
import { byFwmark } from '../../../src/netlink/ipvs-words.js'
import { writeDestination, writeService } from '../../../src/netlink/ipvs-writer.js'
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
    writeDestination(out, 'add', match, destination, upperThreshold)
    t.same(out.take(), addDestination(match, destination).payload, `destination, seed ${seed}`)
    writeDestination(out, 'update', match, destination, upperThreshold)
    t.same(out.take(), updateDestination(match, destination).payload)
    writeService(out, 'add', match, configuration)
    t.same(out.take(), addService(match, configuration).payload, `virtual service, seed ${seed}`)
    writeService(out, 'update', match, configuration)
    t.same(out.take(), updateService(match, configuration).payload)
  }
})

t.test('an address is refused that is none of IPv4', async t => {
  const destination = { address: 'fd4d::3', port: 80, weight: 1 }
  t.throws(() => writeDestination(new Writer(), 'add', { fwmark: 1 }, destination, 0), RangeError)
})
