import t from 'tap'
import { Batch } from '../../../src/netlink/batch.js'
import { inet6 } from '../../../src/netlink/ip.js'
import {
  addDestination,
  addService,
  byFwmark,
  decodeDestination,
  decodeService,
  deleteDestination,
  deleteService,
  describeService,
  getInfo,
  getTimeouts,
  listDestinations,
  listServices,
  setTimeouts,
  updateDestination,
} from '../../../src/netlink/ipvs.js'
import { commandAttributes } from '../../../src/netlink/ipvs-attributes.js'
import { decodeMessages } from '../../../src/netlink/message.js'
import { Random } from '../../helpers/random.js'

const hex = (text: string) => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')

t.test('a virtual service by fwmark has no protocol, address or port', async t => {
  const request = addService(byFwmark(0x122b8), { scheduler: 'rr', persistence: 0 })
  t.equal(request.type, 'IPVS')
  t.equal(request.operation, 'add virtual service')
  t.equal(request.subject, 'fwmark 0x122b8')
  t.same(
    request.payload,
    hex(`01 01 0000
         3800 0180
           0600 0100 0200 0000
           0800 0500 b8220100
           0700 0600 727200 00
           0c00 0700 00000000 05000000
           0800 0800 00000000
           0800 0900 ffffffff`),
  )
})

t.test('a virtual service by address has them in network order', async t => {
  const { payload, subject } = deleteService({ protocol: 6, address: '10.253.0.1', port: 80 })
  t.equal(subject, 'tcp 10.253.0.1:80')
  t.same(
    payload,
    hex(`03 01 0000
         3000 0180
           0600 0100 0200 0000
           0600 0200 0600 0000
           1400 0300 0afd0001 000000000000000000000000
           0600 0400 0050 0000`),
  )
})

t.test('persistence sets its flag and timeout', async t => {
  const { payload } = addService(byFwmark(1), { scheduler: 'wlc', persistence: 300 })
  const { service } = commandAttributes.decode(payload.subarray(4) as Buffer)
  t.match(service, { timeout: 300, flags: { flags: 1, mask: 5 }, scheduler: 'wlc' })
})

t.test('a destination carries all that the kernel demands', async t => {
  const request = addDestination(byFwmark(0x122b8), {
    address: '10.254.0.3',
    port: 80,
    weight: 1,
    upperThreshold: 0x69200000,
  })
  t.equal(request.operation, 'add destination')
  t.equal(request.subject, '10.254.0.3:80 of fwmark 0x122b8')
  t.same(
    request.payload,
    hex(`05 01 0000
         1400 0180
           0600 0100 0200 0000
           0800 0500 b8220100
         4800 0280
           1400 0100 0afe0003 000000000000000000000000
           0600 0200 0050 0000
           0800 0300 00000000
           0800 0400 01000000
           0800 0500 00002069
           0800 0600 00000000
           0600 0b00 0200 0000`),
  )
})

t.test('a destination of a virtual service by address is told like one of a fwmark', async t => {
  const destination = { address: '10.254.0.3', port: 80, weight: 7, forwardingMethod: 'tunnel' } as const
  const key = { protocol: 6, address: '10.253.0.1', port: 80 }
  const [byMark, byAddress] = [
    updateDestination(byFwmark(5), destination),
    updateDestination(key, destination),
  ]
  t.equal(byAddress.subject, '10.254.0.3:80 of tcp 10.253.0.1:80')
  t.same(decodeDestination(byAddress.payload as Buffer), decodeDestination(byMark.payload as Buffer))
  t.same([byMark.payload[0], byAddress.payload[0]], [6, 6])
})

t.test('deleting a destination names it only', async t => {
  t.same(
    deleteDestination(byFwmark(1), { address: '10.254.0.3', port: 80 }).payload,
    hex(`07 01 0000
         1400 0180  0600 0100 0200 0000  0800 0500 01000000
         2800 0280
           1400 0100 0afe0003 000000000000000000000000
           0600 0200 0050 0000
           0600 0b00 0200 0000`),
  )
})

t.test('a virtual service of the kernel is read without the flag that is its own', async t => {
  const payload = hex(`01 01 0000
    8400 0180
      0600 0100 0200 0000
      0800 0500 b8220100
      0700 0600 727200 00
      0c00 0700 02000000 ffffffff
      0800 0800 2c010000
      0800 0900 ffffffff
      1800 0a00  0800 0100 07000000  0800 0200 07000000  0400 6300
      2800 0c00  0c00 0100 0700000000000000  0c00 0200 0900000000000000  0c00 0400 0000000001000000`)
  payload.writeUInt16LE(payload.length - 4, 4)
  t.same(decodeService(payload), {
    key: byFwmark(0x122b8),
    scheduler: 'rr',
    persistence: 0,
    onePacket: false,
  })
})

t.test('a destination of an old kernel has no address family and is read all the same', async t => {
  const payload = hex(`05 01 0000  0000 0280
      1400 0100 0afe0003 000000000000000000000000
      0600 0200 0050 0000
      0800 0300 01000000
      0800 0400 01000100
      0800 0700 05000000
      0800 0800 06000000`)
  payload.writeUInt16LE(payload.length - 4, 4)
  t.match(decodeDestination(payload), {
    address: '10.254.0.3',
    port: 80,
    weight: 65537,
    forwardingMethod: 'local-node',
    active: 5,
    inactive: 6,
    upperThreshold: 0,
  })
})

t.test('IPv6 has its own family, addresses and mask', async t => {
  const key = { protocol: 17, address: 'fd4d::5', port: 53 }
  const { payload, subject } = addService(key, { scheduler: 'rr', persistence: 60 })
  t.equal(subject, 'udp [fd4d::5]:53')
  t.same(
    payload,
    hex(`01 01 0000
         5400 0180
           0600 0100 0a00 0000
           0600 0200 1100 0000
           1400 0300 fd4d0000000000000000000000000005
           0600 0400 0035 0000
           0700 0600 727200 00
           0c00 0700 01000000 05000000
           0800 0800 3c000000
           0800 0900 80000000`),
  )
  t.match(decodeService(payload as Buffer), { key, persistence: 60 })
  const destination = { address: 'fd4d::103', port: 80, weight: 1 }
  for (const service of [key, byFwmark(7, inet6)]) {
    const request = addDestination(service, destination)
    t.match(decodeDestination(request.payload as Buffer), destination)
    t.match(request.subject, /^\[fd4d::103\]:80 of /)
  }
  t.equal(addService(byFwmark(7, inet6), { scheduler: 'rr', persistence: 0 }).subject, 'fwmark 0x7 of IPv6')
})

t.test('what is neither IPv4 nor IPv6 is left out', async t => {
  t.equal(decodeService(hex('01 01 0000 0c00 0180 0600 0100 0700 0000')), null)
  t.equal(decodeDestination(hex('05 01 0000 0c00 0280 0600 0b00 0700 0000')), null)
  t.equal(decodeDestination(hex('05 01 0000')), null)
})

t.test('lists are dumps, and timeouts are three numbers', async t => {
  t.equal(listServices().flags, 0x300)
  t.equal(listDestinations(byFwmark(1)).flags, 0x300)
  const { payload } = setTimeouts({ tcp: 900, tcpFin: 120, udp: 300 })
  t.same(payload, hex('0c 01 0000  0800 0400 84030000  0800 0500 78000000  0800 0600 2c010000'))
  t.same(getTimeouts().decode(payload as Buffer, 0), { tcp: 900, tcpFin: 120, udp: 300 })
  t.same(getInfo().decode(hex('0e 01 0000 0800 0100 01020100 0800 0200 00100000'), 0), {
    version: '1.2.1',
    connectionTableSize: 4096,
  })
})

t.test('a virtual service is described as people write it', async t => {
  t.equal(describeService(byFwmark(0x10050)), 'fwmark 0x10050')
  t.equal(describeService({ protocol: 132, address: '10.0.0.1', port: 1 }), 'sctp 10.0.0.1:1')
  t.equal(describeService({ protocol: 50, address: '10.0.0.1', port: 1 }), 'protocol 50 10.0.0.1:1')
})

t.test('every destination that is sent can be read back', async t => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed * 40503)
    const destination = {
      address: random.ipv4(),
      port: random.between(0, 65535),
      weight: random.between(0, 65535),
      upperThreshold: random.u32(),
      lowerThreshold: random.u32(),
      forwardingMethod: random.pick(['masquerade', 'tunnel', 'direct-route'] as const),
    }
    const { payload } = addDestination(byFwmark(random.between(1, 0x3ffff)), destination)
    t.match(decodeDestination(payload as Buffer), destination, `seed ${seed}`)
  }
})

t.test('no address is lost where the memory of a batch grows', async t => {
  // Messages before it move the place at which it grows through the whole of a message.
  for (let shift = 0; shift < 30; shift++) {
    const batch = new Batch()
    batch.begin(1)
    batch.add({ flags: 0, payload: Buffer.alloc(shift * 4) }, 1)
    const keys = Array.from({ length: 20 }, (_, i) => ({
      protocol: 6,
      address: '10.253.0.7',
      port: 8000 + i,
    }))
    for (const key of keys) {
      batch.add(addService(key, { scheduler: 'rr', persistence: 0 }), 1)
      batch.add(addDestination(key, { address: '10.254.0.3', port: key.port, weight: 1 }), 1)
    }
    const [, ...messages] = decodeMessages(batch.end('none'))
    const read = messages.map(({ payload }, i) =>
      i % 2 === 0 ? decodeService(payload)?.key : decodeDestination(payload)?.address,
    )
    t.same(
      read,
      keys.flatMap(key => [key, '10.254.0.3']),
    )
  }
})
