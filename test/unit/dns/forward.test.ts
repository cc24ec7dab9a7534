import packet from 'dns-packet'
import t, { type Test } from 'tap'
import { Forwarder } from '../../../src/dns/forward.js'
import { type Query, readQuery } from '../../../src/dns/message.js'
import { always, decode, OtherResolver, query, rcode, type Script, shown, silent } from '../../helpers/dns.js'
import { waitFor } from '../../helpers/wait.js'

/** Milliseconds: long enough for a machine that is busy with other things to answer itself in. */
const patience = 2000
/** Where a test waits for silence. */
const brief = 500

async function stage(t: Test, scripts: Script[], options = { limit: 100, patience }) {
  const others = await Promise.all(scripts.map(script => OtherResolver.open(script)))
  const forwarder = new Forwarder(options)
  forwarder.use(others.map(({ port }) => ({ address: '127.0.0.1', port })))
  t.teardown(() => {
    forwarder.close()
    for (const other of others) other.close()
  })
  const ask = async (name: string, transport: 'udp' | 'tcp' = 'udp', size?: number, id = 7) => {
    const response = await forwarder.ask(
      readQuery(query(name, 'A', { id, ...(size === undefined ? {} : { size }) })) as Query,
      transport,
    )
    const decoded = decode(response)
    return {
      ...decoded,
      text: `${decoded.rcode} ${shown(decoded.answers).join(', ')}`.trim(),
      bytes: response,
    }
  }
  return { forwarder, others, ask }
}

const truncated: Script = (asked, transport) =>
  transport === 'tcp'
    ? always('9.9.9.9')(asked, transport)
    : rcode(0, packet.TRUNCATED_RESPONSE)(asked, transport)

t.test('a question goes out, and its answer comes back under its own number', async t => {
  const { others, ask } = await stage(t, [always('9.9.9.9')])
  const { text, id } = await ask('Example.com', 'udp', undefined, 4711)
  t.equal(text, 'NOERROR Example.com A 9.9.9.9')
  t.equal(id, 4711)
  t.strictSame(others[0]!.asked, ['Example.com'])
})

t.test('ports and numbers differ from question to question', async t => {
  const ids = new Set<number>()
  const { others, ask } = await stage(t, [
    (asked, transport) => {
      ids.add(asked.id!)
      return always('9.9.9.9')(asked, transport)
    },
  ])
  for (let i = 0; i < 60; i++) await ask(`${i}.example.com`)
  // The last of 16 sockets is chosen like any other, and may be left out by chance.
  t.ok(others[0]!.sources.size >= 15, `${others[0]!.sources.size} ports`)
  t.ok(ids.size >= 58, `${ids.size} numbers`)
})

t.test('of questions that come in pairs none is lost when a socket has had its share', async t => {
  const { others, ask } = await stage(t, [always('9.9.9.9'), always('9.9.9.9')])
  for (let i = 0; i < 1500; i++) await Promise.all([ask(`${i}.example.com`), ask(`${i}.example.org`)])
  t.equal(others[1]!.asked.length, 0, 'and nobody takes the first resolver for a silent one')
})

t.test('the next one is asked when one fails, refuses or is silent', async t => {
  for (const script of [rcode(2), rcode(5), silent]) {
    const options = { limit: 100, patience: script === silent ? brief : patience }
    const { others, ask } = await stage(t, [script, always('9.9.9.9')], options)
    t.equal((await ask('a.example.com')).text, 'NOERROR a.example.com A 9.9.9.9')
    if (script !== silent) continue
    const order: number[] = []
    for (const [i, other] of others.entries())
      other.script = (...asked) => {
        order.push(i)
        return always('9.9.9.9')(...asked)
      }
    t.equal((await ask('b.example.com')).text, 'NOERROR b.example.com A 9.9.9.9')
    t.equal(order[0], 1, 'the silent one comes last for a while')
  }
})

t.test('nobody at the other end is noticed at once', async t => {
  const { others, ask } = await stage(t, [silent, always('9.9.9.9')], { limit: 100, patience: 60_000 })
  others[0]!.close()
  t.equal((await ask('example.com')).text, 'NOERROR example.com A 9.9.9.9')
  others[0]!.close = () => {}
})

t.test('a name that does not exist is an answer', async t => {
  const { others, ask } = await stage(t, [rcode(3), always('9.9.9.9')])
  t.equal((await ask('example.com')).text, 'NXDOMAIN')
  t.equal(others[1]!.asked.length, 0)
})

t.test('when all fail, it says so', async t => {
  const { ask, forwarder } = await stage(t, [rcode(2), rcode(5)])
  t.equal((await ask('example.com')).rcode, 'REFUSED', 'the last word of those asked')
  forwarder.use([])
  t.equal((await ask('example.com')).rcode, 'SERVFAIL', 'nobody to ask')
  const { ask: inVain } = await stage(t, [silent], { limit: 100, patience: brief })
  t.equal((await inVain('example.com')).rcode, 'SERVFAIL')
})

t.test('what was cut is asked for again over TCP', async t => {
  const { others, ask } = await stage(t, [truncated])
  t.equal((await ask('example.com')).text, 'NOERROR example.com A 9.9.9.9')
  t.strictSame(others[0]!.asked, ['example.com', 'tcp example.com'])
  t.equal((await ask('example.org', 'tcp')).text, 'NOERROR example.org A 9.9.9.9')
  t.equal(others[0]!.asked.at(-1), 'tcp example.org', 'who comes over TCP is served over TCP')
})

t.test('a long answer is cut for a client that takes no more over UDP', async t => {
  const long: Script = (asked, transport) => {
    if (transport === 'udp') return truncated(asked, transport)
    const name = asked.questions![0]!.name
    const answers = Array.from({ length: 60 }, (_, i) => ({
      type: 'A' as const,
      name,
      ttl: 1,
      data: `10.0.0.${i}`,
    }))
    return packet.encode({ type: 'response', id: asked.id!, questions: asked.questions!, answers })
  }
  const { ask } = await stage(t, [long])
  const cut = await ask('example.com')
  t.ok(cut.flag_tc)
  t.ok(cut.bytes.length <= 512)
  t.equal((await ask('example.com', 'udp', 4096)).answers?.length, 60)
  t.equal((await ask('example.com', 'tcp')).answers?.length, 60)
})

t.test('answers that are not to the question are not taken', async t => {
  const { ask } = await stage(
    t,
    [
      (asked, transport) =>
        asked.questions![0]!.name === 'victim.com'
          ? always('6.6.6.6')({ ...asked, questions: [{ type: 'A', name: 'evil.com' }] }, transport)
          : always('6.6.6.6')({ ...asked, id: (asked.id! + 1) & 0xffff }, transport),
      always('9.9.9.9'),
    ],
    { limit: 100, patience: 300 },
  )
  t.match((await ask('victim.com')).text, /9\.9\.9\.9$|SERVFAIL/)
  t.match((await ask('other.com')).text, /9\.9\.9\.9$|SERVFAIL/)
})

t.test('so many at a time; the next is refused at once, and then there is room again', async t => {
  const { others, ask, forwarder } = await stage(t, [silent], { limit: 10, patience: 60_000 })
  const pending = Array.from({ length: 10 }, (_, i) => ask(`${i}.example.com`))
  t.equal((await ask('late.example.com')).rcode, 'REFUSED')
  t.equal(forwarder.pending, 10)
  await waitFor(() => others[0]!.asked.length === 10, 'all questions', 30)
  forwarder.use([])
  for (const { rcode } of await Promise.all(pending)) t.equal(rcode, 'SERVFAIL', 'with nobody left to ask')
  t.equal(forwarder.pending, 0)
})

t.test('the same question from many is asked once', async t => {
  const { others, ask, forwarder } = await stage(t, [silent], { limit: 100, patience: 60_000 })
  const pending = Array.from({ length: 50 }, (_, id) => ask('example.com', 'udp', undefined, id))
  await waitFor(() => others[0]!.asked.length > 0, 'the question', 30)
  const { asked } = others[0]!
  forwarder.use([])
  t.strictSame(
    (await Promise.all(pending)).map(({ id }) => id),
    Array.from({ length: 50 }, (_, id) => id),
  )
  t.equal(asked.length, 1)
})
