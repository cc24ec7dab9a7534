import net from 'node:net'
import t, { type Test } from 'tap'
import { type Handle, serveTcp, serveUdp } from '../../../src/dns/server.js'
import { framed, Unframer } from '../../../src/dns/stream.js'
import { openSocket } from '../../../src/netlink/addon.js'
import { DnsClient, freePort, query } from '../../helpers/dns.js'
import { waitFor } from '../../helpers/wait.js'

async function serve(t: Test, handle: Handle): Promise<number> {
  const port = await freePort()
  const udp = await serveUdp(openSocket('udp', '127.0.0.1', port, null), '127.0.0.1', handle)
  const tcp = await serveTcp(openSocket('tcp', '127.0.0.1', port, null), handle)
  t.teardown(() => {
    udp.close()
    tcp.close()
  })
  return port
}

/** A connection and the messages that came over it. */
async function connect(t: Test, port: number) {
  const socket = net.connect(port, '127.0.0.1')
  const messages: Buffer[] = []
  const unframer = new Unframer()
  let isClosed = false
  socket.on('data', data => messages.push(...unframer.put(data)))
  socket.on('error', () => {})
  socket.on('close', () => {
    isClosed = true
  })
  t.teardown(() => socket.destroy())
  await new Promise<void>(resolve => socket.once('connect', resolve))
  return { socket, messages, isClosed: () => isClosed }
}

const echo: Handle = (message, _caller, _transport, reply) => reply(message)

t.test('UDP: each client gets its own answer', async t => {
  const callers: string[] = []
  const port = await serve(t, (message, caller, transport, reply) => {
    callers.push(`${transport} ${caller}`)
    reply(message)
  })
  const clients = await Promise.all([DnsClient.open(), DnsClient.open()])
  const [one, other] = [query('one.mesh', 'A', { id: 1 }), query('other.mesh', 'A', { id: 2 })]
  const answers = await Promise.all([clients[0].ask(port, one), clients[1].ask(port, other)])
  t.strictSame(answers, [one, other])
  t.strictSame(callers, ['udp 127.0.0.1', 'udp 127.0.0.1'])
  for (const client of clients) client.close()
})

t.test('TCP: messages cut anyhow, many of them, and a client that closes behind the last', async t => {
  const port = await serve(t, echo)
  const { socket, messages, isClosed } = await connect(t, port)
  const sent = Array.from({ length: 500 }, (_, id) => query(`n${id}.mesh`, 'A', { id }))
  const stream = Buffer.concat(sent.map(framed))
  for (let at = 0; at < stream.length; at += 1009) socket.write(stream.subarray(at, at + 1009))
  socket.end()
  await waitFor(isClosed, 'the end', 30)
  t.strictSame(messages, sent)
})

t.test('TCP: a question that takes time holds up no other', async t => {
  const late: (() => void)[] = []
  const port = await serve(t, (message, _caller, _transport, reply) => {
    if (message.readUInt16BE(0) === 1) late.push(() => reply(message))
    else reply(message)
  })
  const { socket, messages } = await connect(t, port)
  socket.write(Buffer.concat([1, 2, 3].map(id => framed(query('web.mesh', 'A', { id })))))
  await waitFor(() => messages.length === 2, 'two answers', 30)
  t.strictSame(
    messages.map(message => message.readUInt16BE(0)),
    [2, 3],
  )
  late[0]?.()
  await waitFor(() => messages.length === 3, 'the third', 30)
})

t.test('TCP: so many questions of a connection at a time', async t => {
  const replies: (() => void)[] = []
  const port = await serve(t, (message, _caller, _transport, reply) => replies.push(() => reply(message)))
  const { socket, messages } = await connect(t, port)
  socket.write(Buffer.concat(Array.from({ length: 200 }, (_, id) => framed(query('a.b', 'A', { id })))))
  await waitFor(() => replies.length === 64, 'the first', 30)
  for (let i = 0; i < 200; i++) {
    await waitFor(() => replies.length > i, `question ${i}`, 30, 0.005)
    replies[i]!()
  }
  await waitFor(() => messages.length === 200, 'all answers', 30)
})

t.test('TCP: what is no DNS ends the connection, and no other', async t => {
  const port = await serve(t, echo)
  const bad = await connect(t, port)
  const good = await connect(t, port)
  bad.socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(4000))
  bad.socket.write(Buffer.alloc(4))
  good.socket.write(framed(query('web.mesh')))
  await waitFor(() => good.messages.length === 1, 'an answer', 30)
  const empty = await connect(t, port)
  empty.socket.write(Buffer.alloc(2))
  await waitFor(empty.isClosed, 'its end', 30)
})

t.test('TCP: a client gets 32 connections', async t => {
  const port = await serve(t, echo)
  const open = await Promise.all(Array.from({ length: 33 }, () => connect(t, port)))
  await waitFor(() => open.some(({ isClosed }) => isClosed()), 'the end of one', 30)
  t.equal(open.filter(({ isClosed }) => isClosed()).length, 1)
})
