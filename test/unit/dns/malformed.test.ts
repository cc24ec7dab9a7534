/**
 * Queries by the hundred thousand, most of them damaged: whatever comes, the answer is a
 * message of DNS or none, nothing is thrown and nothing is kept.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import packet from 'dns-packet'
import t from 'tap'
import { answer } from '../../../src/dns/answer.js'
import { named, query, zoneOf } from '../../helpers/dns.js'
import { Random } from '../../helpers/random.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const rounds = 300_000
/** More than a heap breathes, and much less than these messages would take up together. */
const growth = 8 * 1024 * 1024

const zone = zoneOf([
  named('web', { vips: ['10.253.7.1'], endpoints: ['10.254.0.3', '10.254.0.4'], ports: ['80:80'] }),
  named('shop/cart', { endpoints: ['10.254.0.5'], aliases: ['basket'], scopes: ['team-a'] }),
])

const good = [
  query('web.mesh'),
  query('tasks.web.mesh', 'ANY', { size: 1232 }),
  query('_http._tcp.web.mesh', 'SRV', { size: 4096 }),
  query('3.0.254.10.in-addr.arpa', 'PTR'),
  query('cart.shop.mesh', 'AAAA', { size: 512 }),
  query('example.com', 'TXT', { size: 1400 }),
  packet.encode({
    type: 'query',
    id: 9,
    questions: [{ type: 'A', name: 'web.mesh' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: true,
        options: [
          { code: 8, family: 1, ip: '10.0.0.0', sourcePrefixLength: 24 },
          { code: 10, data: Buffer.alloc(8) },
          { code: 12, length: 31 },
        ],
      } as never,
      { type: 'SRV', name: 'web.mesh', data: { port: 80, target: 'web.mesh' } },
    ],
  }),
]

/** A good message after one to six accidents. */
function damaged(random: Random): Buffer {
  let message = Buffer.from(random.pick(good))
  for (let accidents = random.between(1, 6); accidents > 0; accidents--) {
    const at = message.length === 0 ? 0 : random.between(0, message.length - 1)
    const kind = random.between(0, 7)
    if (kind <= 2 && message.length > 0) message[at] = random.u32() & 0xff
    else if (kind === 3 && message.length > 0) message[at] = message[at]! ^ (1 << random.between(0, 7))
    else if (kind === 4) message = message.subarray(0, at)
    else if (kind === 5)
      message = Buffer.concat([message.subarray(0, at), message.subarray(random.between(0, at))])
    else if (kind === 6 && message.length > at + 1) message.writeUInt16BE(0xc000 | random.between(0, at), at)
    else message = Buffer.concat([message, Buffer.alloc(random.between(1, 40), random.u32() & 0xff)])
  }
  return message
}

t.test('damaged queries neither throw nor leave anything behind', async t => {
  const random = new Random(20_261_121)
  const kinds = new Map<string, number>()
  const run = (count: number) => {
    for (let i = 0; i < count; i++) {
      const message = damaged(random)
      const transport = i % 2 === 0 ? 'udp' : 'tcp'
      const verdict = answer(message, zone, '172.17.0.2', transport)
      kinds.set(verdict.kind, (kinds.get(verdict.kind) ?? 0) + 1)
      if (verdict.kind !== 'answer') continue
      const { response } = verdict
      const isAnswer = response.readUInt16BE(0) === message.readUInt16BE(0) && (response[2]! & 0x80) !== 0
      if (!isAnswer || response.length > 1232) throw new Error(`round ${i}: ${message.toString('hex')}`)
      if (i % 10 === 0) packet.decode(response)
    }
  }
  const used = () => {
    collectGarbage()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  run(rounds / 10)
  const before = used()
  run(rounds)
  const after = used()
  t.ok(after - before < growth, `${Math.round((after - before) / 1024)} KiB more than before`)
  for (const kind of ['answer', 'forward', 'drop'])
    t.ok((kinds.get(kind) ?? 0) > 1000, `${kind}: ${kinds.get(kind)}`)
})
