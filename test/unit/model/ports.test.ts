import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatPort, formatRange, lengthOf, overlaps, parsePortSpec } from '../../../src/model/ports.js'

const one = (port: number) => ({ first: port, last: port })

t.test('a port spec says protocol, published port, target and address', async t => {
  const tcp = { protocol: 'tcp', address: null }
  const cases = {
    '8888:80': { ...tcp, published: one(8888), target: one(80) },
    '8888:80/tcp': { ...tcp, published: one(8888), target: one(80) },
    '8888:80/UDP': { protocol: 'udp', address: null, published: one(8888), target: one(80) },
    '8888:80/sctp': { protocol: 'sctp', address: null, published: one(8888), target: one(80) },
    ' 8888:80 ': { ...tcp, published: one(8888), target: one(80) },
    '1:65535': { ...tcp, published: one(1), target: one(65535) },
    '80': { ...tcp, published: null, target: one(80) },
    ':80': { ...tcp, published: null, target: one(80) },
    '53/udp': { protocol: 'udp', address: null, published: null, target: one(53) },
    '127.0.0.1:8001:8001': { protocol: 'tcp', address: '127.0.0.1', published: one(8001), target: one(8001) },
    '10.0.0.5::80': { protocol: 'tcp', address: '10.0.0.5', published: null, target: one(80) },
    '0.0.0.0:8001:8001': { ...tcp, published: one(8001), target: one(8001) },
    '[FD4D:0::5]:8001:80': { protocol: 'tcp', address: 'fd4d::5', published: one(8001), target: one(80) },
    '[::1]::80/udp': { protocol: 'udp', address: '::1', published: null, target: one(80) },
    '[::]:8001:80': { ...tcp, published: one(8001), target: one(80) },
    '8000-8099:8000-8099': {
      ...tcp,
      published: { first: 8000, last: 8099 },
      target: { first: 8000, last: 8099 },
    },
    '9090-9091:8080-8081/udp': {
      protocol: 'udp',
      address: null,
      published: { first: 9090, last: 9091 },
      target: { first: 8080, last: 8081 },
    },
    '80-80:80': { ...tcp, published: one(80), target: one(80) },
  }
  for (const [spec, wanted] of Object.entries(cases)) t.strictSame(parsePortSpec(spec), wanted, spec)
})

t.test('a port spec that cannot be meant is refused with field, value and remedy', async t => {
  const cases: Record<string, RegExp> = {
    '': /not a port specification/,
    '/tcp': /not a port specification/,
    ':': /"" is not a number/,
    '80:': /"" is not a number/,
    'http:80': /"http" is not a number/,
    '80:80/icmp': /"icmp" is not a protocol; use tcp, udp or sctp/,
    '80:80/': /"" is not a protocol/,
    '80:80/tcp/udp': /"tcp\/udp" is not a protocol/,
    '0:80': /0 is outside 1–65535/,
    '80:0': /0 is outside 1–65535/,
    '65536:80': /65536 is outside 1–65535/,
    '8888888888:80': /8888888888 is outside 1–65535/,
    '-1:80': /"" is not a number/,
    '+80:80': /"\+80" is not a number/,
    '8e1:80': /"8e1" is not a number/,
    '0x50:80': /"0x50" is not a number/,
    '80 :80': /"80 " is not a number/,
    '8000-:80': /"" is not a number/,
    '8099-8000:8099-8000': /the range 8099-8000 runs backwards; write 8000-8099/,
    '8000-8009:80': /published range has 10 ports and the target 1/,
    '80:8000-8009': /published range has 1 ports and the target 10/,
    '8000-8001-8002:80': /"8001-8002" is not a number/,
    '8000-8009': /a range needs its published ports written out/,
    '127.0.0.1:80': /an address needs two ports after it; write 127.0.0.1::80/,
    'localhost:80:80': /"localhost" is not an IP address/,
    '256.0.0.1:80:80': /not an IP address/,
    '1.2.3:80:80': /not an IP address/,
    '01.2.3.4:80:80': /not an IP address/,
    '::80': /"" is not an IP address/,
    'fd4d::5:80:80': /not a port specification/,
    '[10.0.0.1]:80:80': /not an IP address/,
    '[fd4d::g]:80:80': /not an IP address/,
    '[::1]:80': /an address needs two ports after it/,
    '1.2.3.4:80:80:80': /not a port specification/,
  }
  for (const [spec, wanted] of Object.entries(cases)) {
    const error = t.throws(() => parsePortSpec(spec), InputError, spec) as InputError
    t.match(error, { code: 'MESH_BAD_INPUT', field: 'port', value: spec, message: wanted })
    t.not(error.remedy, '')
  }
})

t.test('a port is written as it is read', async t => {
  for (const spec of [
    '8888:80/tcp',
    '80/udp',
    '10.0.0.5::80/tcp',
    '127.0.0.1:8001:8001/sctp',
    '8000-8099:8000-8099/udp',
  ])
    t.equal(formatPort(parsePortSpec(spec)), spec)
  t.equal(formatRange({ first: 1, last: 1 }), '1')
})

t.test('ranges have a length and may overlap', async t => {
  t.equal(lengthOf({ first: 1, last: 65535 }), 65535)
  t.ok(overlaps({ first: 1, last: 5 }, { first: 5, last: 9 }))
  t.ok(overlaps({ first: 1, last: 9 }, { first: 4, last: 5 }))
  t.notOk(overlaps({ first: 1, last: 4 }, { first: 5, last: 9 }))
})
