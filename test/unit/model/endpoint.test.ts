import t from 'tap'
import { InputError } from '../../../src/errors.js'
import { formatEndpoint, parseEndpoint } from '../../../src/model/endpoint.js'

t.test('an endpoint is an address, with or without a port', async t => {
  t.strictSame(parseEndpoint('10.1.2.3:5432'), { address: '10.1.2.3', port: 5432 })
  t.strictSame(parseEndpoint('10.1.2.3'), { address: '10.1.2.3', port: null })
  t.equal(formatEndpoint({ address: '10.1.2.3', port: null }), '10.1.2.3')
  t.equal(formatEndpoint({ address: '10.1.2.3', port: 1 }), '10.1.2.3:1')
  t.strictSame(parseEndpoint('[2001:DB8:0::5]:5432'), { address: '2001:db8::5', port: 5432 })
  t.strictSame(parseEndpoint('[2001:db8::5]'), { address: '2001:db8::5', port: null })
  t.equal(formatEndpoint({ address: '2001:db8::5', port: 1 }), '[2001:db8::5]:1')
})

t.test('node and localhost mean a process on this node', async t => {
  t.strictSame(parseEndpoint('node:9000'), { address: '127.0.0.1', port: 9000 })
  t.strictSame(parseEndpoint('localhost'), { address: '127.0.0.1', port: null })
})

t.test('what can be nobody is refused', async t => {
  const cases: Record<string, RegExp> = {
    '': /not an IPv4 address/,
    'db:5432': /"db" is not an IPv4 address/,
    '10.1.2.3:': /"" is not a number/,
    '10.1.2.3:0': /outside 1–65535/,
    '10.1.2.3:70000': /outside 1–65535/,
    '10.1.2.3:80:80': /not an endpoint/,
    '2001:db8::5': /not an endpoint/,
    '[2001:db8::g]:80': /not an IPv6 address/,
    '[2001:db8::5]:': /"" is not a number/,
    '[2001:db8::5]80': /not an endpoint/,
    '[::1]:80': /nothing can answer/,
    '[::]': /nothing can answer/,
    '[fe80::1]:80': /nothing can answer/,
    '[ff02::1]:80': /nothing can answer/,
    '0.0.0.0:80': /nothing can answer at 0.0.0.0/,
    '224.0.0.1:80': /nothing can answer/,
    '255.255.255.255': /nothing can answer/,
  }
  for (const [text, message] of Object.entries(cases))
    t.match(
      t.throws(() => parseEndpoint(text), InputError, text),
      { field: 'endpoint', message },
    )
})
