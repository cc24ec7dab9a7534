import t from 'tap'
import { answer, type Transport } from '../../../src/dns/answer.js'
import { Zone } from '../../../src/dns/zone.js'
import { type Decoded, decode, named, query, shown, zoneOf } from '../../helpers/dns.js'

const many = Array.from({ length: 100 }, (_, i) => `10.254.0.${i + 3}`)
const zone = zoneOf([
  named('web', { vips: ['10.253.7.1'], ports: ['80:80'] }),
  named('many', { endpoints: many, ports: ['80:80'] }),
])

function answered(message: Buffer, transport: Transport = 'udp'): Decoded & { length: number } {
  const verdict = answer(message, zone, '172.17.0.2', transport)
  if (verdict.kind !== 'answer') throw new Error(verdict.kind)
  return Object.assign(decode(verdict.response), { length: verdict.response.length })
}

/** Bytes written as hex, blanks between them. */
function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

t.test('a response, byte by byte', async t => {
  const asked = bytes(`1234 0100 0001 0000 0000 0000
    03 576542 04 6d657368 00 0001 0001`) // WeB.mesh, A, IN
  const verdict = answer(asked, zone, '172.17.0.2', 'udp')
  t.equal(
    verdict.kind === 'answer' && verdict.response.toString('hex'),
    bytes(`1234 8580 0001 0001 0000 0000
      03 576542 04 6d657368 00 0001 0001
      c00c 0001 0001 00000005 0004 0afd0701`).toString('hex'),
    'the name goes back as it came; AA, RD and RA are set',
  )
})

t.test('a name without the type, and a name that is not', async t => {
  const empty = answered(query('web.mesh', 'AAAA'))
  t.match(empty, { rcode: 'NOERROR', flag_aa: true, answers: [] })
  t.match(empty.authorities, [{ type: 'SOA', name: 'mesh', ttl: 5, data: { minimum: 5 } }])
  const none = answered(query('nobody.mesh'))
  t.match(none, { rcode: 'NXDOMAIN', flag_aa: true, answers: [] })
  t.match(none.authorities, [{ type: 'SOA', name: 'mesh' }])
})

t.test('SRV brings the addresses along', async t => {
  const { answers, additionals } = answered(query('_http._tcp.web.mesh', 'SRV'))
  t.strictSame(shown(answers), ['_http._tcp.web.mesh SRV 80 web.mesh'])
  t.strictSame(shown(additionals), ['web.mesh A 10.253.7.1'])
})

t.test('what does not fit is cut, and says so', async t => {
  const cases: [number | undefined, Transport, number, boolean][] = [
    // size of EDNS, transport, records, TC
    [undefined, 'udp', 30, true],
    [512, 'udp', 29, true],
    [100, 'udp', 29, true],
    [1232, 'udp', 74, true],
    [65_535, 'udp', 74, true],
    [undefined, 'tcp', 100, false],
    [512, 'tcp', 100, false],
  ]
  for (const [size, transport, count, isCut] of cases) {
    const { answers, flag_tc, length, additionals } = answered(query('many.mesh', 'A', { size }), transport)
    const what = `${size ?? 'no EDNS'} over ${transport}`
    t.equal(answers?.length, count, what)
    t.equal(flag_tc, isCut, what)
    t.equal(additionals?.length, size === undefined ? 0 : 1, `${what}: OPT where it was asked for`)
    if (transport === 'udp') t.ok(length <= Math.min(Math.max(size ?? 512, 512), 1232), `${what}: ${length}`)
  }
  const srv = answered(query('_http._tcp.many.mesh', 'SRV', { size: 1232 }))
  t.ok(srv.flag_tc)
  t.equal(srv.additionals?.length, 1, 'after a cut there is only OPT')
})

t.test('everything else is for others', async t => {
  for (const [name, type] of [
    ['example.com', 'A'],
    ['com', 'NS'],
    ['.', 'NS'],
    ['web', 'A'],
  ] as const)
    t.equal(answer(query(name, type), zone, '', 'udp').kind, 'forward', name)
})

t.test('until the mesh is known its names wait', async t => {
  const young = new Zone(zone.settings)
  t.equal(answer(query('web.mesh'), young, '', 'udp').kind, 'wait')
  t.equal(answer(query('x.local'), young, '', 'udp').kind, 'wait')
  t.equal(answer(query('1.7.253.10.in-addr.arpa', 'PTR'), young, '', 'udp').kind, 'wait')
  t.equal(answer(query('example.com'), young, '', 'udp').kind, 'forward')
})

t.test('messages that are no good', async t => {
  const good = query('web.mesh')
  const changed = (at: number, ...values: number[]) => {
    const copy = Buffer.from(good)
    copy.set(values, at)
    return copy
  }
  const edns = query('web.mesh', 'A', { size: 1232 })
  const version1 = Buffer.from(edns)
  version1[edns.length - 5] = 1
  const twoOpts = Buffer.concat([edns, edns.subarray(edns.length - 11)])
  twoOpts[11] = 2
  const cases: [string, Buffer, string][] = [
    ['nothing', Buffer.alloc(0), 'drop'],
    ['less than a header', good.subarray(0, 11), 'drop'],
    ['a response', changed(2, 0x81), 'drop'],
    ['a header alone', good.subarray(0, 12), 'FORMERR'],
    ['a question cut off', good.subarray(0, good.length - 1), 'FORMERR'],
    ['no question', changed(5, 0), 'FORMERR'],
    ['two questions', changed(5, 2), 'FORMERR'],
    ['an answer in it', changed(7, 1), 'FORMERR'],
    ['60,000 additionals', changed(10, 0xea, 0x60), 'FORMERR'],
    ['an additional that is not there', changed(11, 1), 'FORMERR'],
    ['a pointer for a name', changed(12, 0xc0, 0x0c), 'FORMERR'],
    ['a label of a kind that there is not', changed(12, 0x80), 'FORMERR'],
    ['two OPTs', twoOpts, 'FORMERR'],
    ['longer than anybody asks', Buffer.concat([good, Buffer.alloc(4096)]), 'FORMERR'],
    ['another version of EDNS', version1, 'BADVERS'],
    ['an update', changed(2, 0x28), 'NOTIMP'],
    ['a status', changed(2, 0x10), 'NOTIMP'],
    ['a transfer', query('mesh', 'AXFR'), 'REFUSED'],
    ['a transfer of others', query('example.com', 'IXFR'), 'REFUSED'],
    ['another class', changed(good.length - 1, 3), 'REFUSED'],
    ['any class', changed(good.length - 1, 255), 'NOERROR'],
    ['bytes that are no text', changed(13, 0xff, 0, 0x2e), 'NXDOMAIN'],
  ]
  for (const [what, message, expected] of cases) {
    const verdict = answer(message, zone, '172.17.0.2', 'udp')
    if (verdict.kind !== 'answer') {
      t.equal(verdict.kind, expected, what)
      continue
    }
    const { response } = verdict
    t.equal(response.readUInt16BE(0), 7, `${what}: the query's number`)
    const decoded = decode(response)
    const extended = decoded.additionals?.some(record => record.type === 'OPT' && record.extendedRcode === 1)
    t.equal(extended ? 'BADVERS' : decoded.rcode, expected, what)
  }
})
