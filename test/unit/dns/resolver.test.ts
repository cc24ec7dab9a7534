/**
 * The whole resolver in its thread, on loopback.
 */
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { Caller, NamedService } from '../../../src/dns/named.js'
import { Resolver } from '../../../src/dns/resolver.js'
import { always, DnsClient, freePort, named, OtherResolver, query, shown, silent } from '../../helpers/dns.js'
import { waitFor } from '../../helpers/wait.js'

const web = named('web', { vips: ['10.253.7.1'] })
const db = named('db', { vips: ['10.253.7.2'], scopes: ['team-a'] })

function services(...list: NamedService[]): Map<string, NamedService> {
  return new Map(list.map(service => [service.name, service]))
}

const nobody = new Map<string, Caller>()

async function stage(t: Test, other: OtherResolver | null) {
  const port = await freePort()
  const troubles: (string | null)[] = []
  const resolver = new Resolver({
    zone: { domain: 'mesh', ttl: 5, resolver: ['127.0.0.1'], pools: ['10.253.0.0/16'] },
    port,
    namespace: null,
    upstreams: other ? [{ address: '127.0.0.1', port: other.port }] : [],
    forwarding: { limit: 4096, patience: 60_000 },
    onTrouble: message => troubles.push(message),
  })
  const client = await DnsClient.open()
  t.teardown(async () => {
    await resolver.stop()
    client.close()
    other?.close()
  })
  resolver.start()
  await waitFor(() => resolver.served.length === 1, 'the resolver', 60)
  let id = 30_000
  const ask = async (name: string) => {
    const { rcode, answers } = await client.decoded(port, query(name, 'A', { id: id++ }))
    return `${rcode} ${shown(answers).join(', ')}`.trim()
  }
  return { resolver, port, client, ask, troubles }
}

t.test('local names, other names, and news', async t => {
  const { resolver, ask, troubles } = await stage(t, await OtherResolver.open(always('9.9.9.9')))
  const early = ask('web.mesh')
  t.equal(await ask('example.com'), 'NOERROR example.com A 9.9.9.9')
  resolver.update(services(web, db), nobody)
  t.equal(await early, 'NOERROR web.mesh A 10.253.7.1', 'who asked before it was known had to wait')
  t.equal(await ask('db.mesh'), 'NXDOMAIN')
  resolver.update(services(db), new Map([['127.0.0.1', { scopes: ['team-a'], project: null }]]))
  await waitFor(async () => (await ask('web.mesh')) === 'NXDOMAIN', 'the news', 30)
  t.equal(await ask('db.mesh'), 'NOERROR db.mesh A 10.253.7.2')
  t.strictSame(troubles, [])
  await waitFor(() => resolver.counts.forwarded === 1, 'the counts', 30)
})

t.test('2,000 questions that others do not answer hold up no local name', async t => {
  const other = await OtherResolver.open(silent)
  const { resolver, port, client, ask } = await stage(t, other)
  resolver.update(services(web), nobody)
  t.equal(await ask('web.mesh'), 'NOERROR web.mesh A 10.253.7.1')
  const count = 2000
  for (let id = 0; id < count; id++) {
    void client.ask(port, query(`n${id}.example.com`, 'A', { id }))
    // No more at a time than the sockets' buffers hold: none is to be lost.
    if (id % 100 === 99) await waitFor(() => other.asked.length === id + 1, `question ${id}`, 60, 0.005)
  }
  const times: number[] = []
  for (let i = 0; i < 200; i++) {
    const since = performance.now()
    t.equal(await ask('web.mesh'), 'NOERROR web.mesh A 10.253.7.1')
    times.push(performance.now() - since)
  }
  t.equal(client.answered.filter(id => id < count).length, 0, 'all of them still wait')
  times.sort((a, b) => a - b)
  const [median = 0, p99 = 0] = [times[100], times[198]]
  t.comment(`local names in ${median.toFixed(2)} ms, at most ${p99.toFixed(2)} ms (99 %)`)
  t.ok(median < 100, `${median} ms`)
})

t.test('a thread that ends is started again and knows all', async t => {
  const { resolver, ask, troubles } = await stage(t, null)
  resolver.update(services(web), nobody)
  t.equal(await ask('web.mesh'), 'NOERROR web.mesh A 10.253.7.1')
  await (resolver as unknown as { worker: Worker }).worker.terminate()
  await waitFor(() => troubles.length === 1, 'the trouble', 30)
  t.match(troubles[0], /crashed and is started again/)
  resolver.update(services(web, named('new', { vips: ['10.253.7.3'] })), nobody)
  await waitFor(() => resolver.served.length === 1, 'the next one', 60)
  t.equal(await ask('new.mesh'), 'NOERROR new.mesh A 10.253.7.3')
  t.equal(await ask('web.mesh'), 'NOERROR web.mesh A 10.253.7.1')
})
