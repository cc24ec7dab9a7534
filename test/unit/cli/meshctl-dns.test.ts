/**
 * `meshctl dns`, as a child process: output, stderr, exit status.
 */
import packet from 'dns-packet'
import t from 'tap'
import { always, OtherResolver, rcode, type Script } from '../../helpers/dns.js'
import { serve } from '../../helpers/meshctl-server.js'

// A process for each command takes its time on a busy machine.
t.setTimeout(120_000)

t.test('dns use shows what to set', async t => {
  const { agent, run } = await serve(t)
  const { status, stdout } = await run('dns', 'use')
  t.equal(status, 0)
  for (const line of [
    /^The resolver of this node answers at 10\.253\.0\.1: names that end in mesh/m,
    /^ {2}docker run --dns 10\.253\.0\.1 --dns-search mesh --dns-option ndots:2 /m,
    /^ {2}dns_opt: \["ndots:2"\]$/m,
    /^ {2}\{"dns":\["10\.253\.0\.1"\],"dns-search":\["mesh"\],"dns-opts":\["ndots:2"\]\}$/m,
    /resolvectl domain mesh0 '~mesh'/,
  ])
    t.match(stdout, line)
  t.same(JSON.parse((await run('dns', 'use', '-o', 'json')).stdout), agent.namesView)
  agent.namesView = { ...agent.namesView, served: [] }
  t.match((await run('dns', 'use')).stdout, /is to answer at/)
})

/** Answers as the resolver would for a service web. */
const web: Script = (asked, transport) => {
  const { name = '', type } = asked.questions?.[0] ?? {}
  const answer = (data: never) =>
    packet.encode({
      type: 'response',
      id: asked.id!,
      questions: asked.questions!,
      answers: [{ name, type: type as never, ttl: 5, data }],
    })
  if (type === 'SRV' && name === '_http._tcp.web.mesh')
    return answer({ port: 80, target: 'web.mesh' } as never)
  if (type === 'PTR' && name === '7.0.253.10.in-addr.arpa') return answer('web.mesh' as never)
  if (type === 'A' && name === 'web.mesh') return always('10.253.0.7')(asked, transport)
  return rcode(name === 'web.mesh' ? 0 : 3)(asked, transport)
}

t.test('dns lookup asks the resolver', async t => {
  const { agent, run } = await serve(t)
  const other = await OtherResolver.open(web)
  t.teardown(() => other.close())
  agent.namesView = { ...agent.namesView, addresses: [`127.0.0.1:${other.port}`] }
  const cases: [string, string][] = [
    ['web', 'web.mesh A 10.253.0.7\n'],
    ['web.mesh.', 'web.mesh A 10.253.0.7\n'],
    ['_http._tcp.web', '_http._tcp.web.mesh SRV 80 web.mesh\n'],
    ['10.253.0.7', '10.253.0.7 PTR web.mesh\n'],
  ]
  for (const [name, stdout] of cases)
    t.same(await run('dns', 'lookup', name), { status: 0, stdout, stderr: '' }, name)
  t.same(await run('dns', 'lookup', 'nobody'), {
    status: 1,
    stdout: '',
    stderr: 'meshctl: nobody: nothing of that name is to be seen from this node\n',
  })
  t.match(await run('dns', 'lookup', 'nobody', '-o', 'json'), { status: 1, stdout: '[]\n' })
  t.same(await run('dns', 'lookup', 'a..b'), {
    status: 2,
    stdout: '',
    stderr: 'meshctl: name "a..b": this is no name in DNS; write one as in web or tasks.web\n',
  })
})
