/**
 * etcd behind certificates and passwords.
 */
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { encode } from '../../src/store/etcd-wire.js'
import { makeCertificates } from '../helpers/certificates.js'
import { claimOf, container, view } from '../helpers/cluster-view.js'
import { EtcdServers } from '../helpers/etcd.js'
import { aService } from '../helpers/services.js'
import { sleep, waitFor } from '../helpers/wait.js'

t.test('certificates on both sides', async t => {
  const directory = t.testdir()
  const file = (name: string) => join(directory, name)
  makeCertificates(directory)
  const tls = { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') }
  const servers = await EtcdServers.start(t, {
    tls: { ca: tls.ca, serverCert: file('server.pem'), serverKey: file('server.key') },
    client: tls,
  })

  await t.test('all goes over them, also when a member is killed', async t => {
    const node = view(servers, { prefix: '/tls', tls })
    t.match(await node.cluster.join(claimOf('n1', 1)), { number: 1 })
    await node.cluster.announce([container('a')])
    await node.store.update(() => [aService('a', 1)])
    await servers.members[0].stop()
    await node.store.update(services => [...services, aService('b', 2)])
    t.equal(node.names(), 'a,b')
    await waitFor(() => node.containers() === 'n1/a:ready', 'the container', 5)
    servers.members[0].start()
    await servers.ready()
    await waitFor(() => node.trouble() === null, 'peace', 5)
  })

  await t.test('each mistake is told by its reason', async t => {
    const reason = async (options: object) => {
      const node = view(servers, { prefix: '/mistake', tls, ...options })
      await waitFor(() => node.trouble(), 'a complaint', 10)
      const trouble = node.trouble()
      await node.close()
      return trouble
    }
    t.match(await reason({ tls: { ...tls, ca: null } }), /unable to verify|self.signed|issuer/)
    t.match(
      await reason({ tls: { ...tls, cert: null, key: null } }),
      /certificate required|bad certificate|alert/,
    )
    t.match(
      await reason({ tls: { ...tls, cert: file('other.pem'), key: file('other.key') } }),
      /bad certificate|unknown ca|alert/,
    )
    t.match(await reason({ tls: { ...tls, ca: file('none.pem') } }), /ENOENT.*none\.pem/)
    const http = servers.endpoints.map(endpoint => endpoint.replace('https', 'http'))
    t.match(await reason({ endpoints: http }), /HTTP request to an HTTPS server|https/)
    for (const [key, value] of [
      ['cert', 'etcd-cert'],
      ['key', 'etcd-key'],
    ] as const)
      t.throws(
        () => servers.open({ tls: { ca: null, cert: null, key: null, [key]: '/x' } }),
        new RegExp(`^${value} `),
      )
  })

  await t.test('certificates that were renewed are used without a restart', async () => {
    for (const end of ['pem', 'key']) copyFileSync(file(`other.${end}`), file(`mine.${end}`))
    const node = view(servers, {
      prefix: '/renewed',
      tls: { ...tls, cert: file('mine.pem'), key: file('mine.key') },
    })
    await waitFor(() => node.trouble(), 'the complaint', 10)
    for (const end of ['pem', 'key']) copyFileSync(file(`client.${end}`), file(`mine.${end}`))
    await waitFor(() => node.trouble() === null && node.services.length > 0, 'the recovery', 10)
  })
})

t.test('user and password', async t => {
  const directory = t.testdir({ root: 'rootword\n', mesh: 'meshword\n', wrong: 'wrong' })
  const servers = await EtcdServers.start(t)
  const [m1] = servers.members
  const setUp = async (path: string, body: object, authorization = '') => {
    const headers = new Headers(authorization === '' ? [] : [['authorization', authorization]])
    const url = `${m1.endpoint}/v3/auth/${path}`
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
    if (answer.status !== 200) throw new Error(`${path}: ${await answer.text()}`)
    return (await answer.json()) as { token: string }
  }
  for (const name of ['root', 'mesh']) {
    await setUp('user/add', { name, password: `${name}word` })
    await setUp('role/add', { name })
    await setUp('user/grant', { user: name, role: name })
  }
  await setUp('role/grant', {
    name: 'mesh',
    perm: { permType: 'READWRITE', key: encode('/mesh/'), range_end: encode('/mesh0') },
  })
  const as = (user: string | null, file: string, prefix = '/mesh') =>
    view(servers, { prefix, user, passwordFile: user && join(directory, file) })
  const early = as('mesh', 'mesh')
  await early.store.update(() => [aService('a', 1)])
  await early.cluster.join(claimOf('n1', 1))
  t.equal(early.names(), 'a', 'an etcd that asks for no password gives none trouble who has one')
  await setUp('enable', {})

  const node = as('mesh', 'mesh')
  await node.cluster.join(claimOf('n2', 2))
  await node.cluster.announce([container('b')])
  await node.store.update(services => [...services, aService('b', 2)])
  await waitFor(() => node.containers() === 'n2/b:ready', 'the container', 5)
  await early.store.update(services => [...services, aService('c', 3)])
  await waitFor(() => early.names() === 'a,b,c' && node.names() === 'a,b,c', 'news at both', 5)

  await t.test('each mistake is told by its reason', async t => {
    const reason = async (wrong: ReturnType<typeof view>) => {
      await waitFor(() => wrong.trouble(), 'a complaint', 10)
      const trouble = wrong.trouble()
      await wrong.close()
      return trouble
    }
    t.match(await reason(as('mesh', 'wrong')), /authentication failed, invalid user ID or password/)
    t.match(await reason(as('nobody', 'mesh')), /authentication failed, invalid user ID or password/)
    t.match(await reason(as(null, '')), /user name is empty/)
    t.match(await reason(as('mesh', 'none')), /read the password: ENOENT/)
    t.match(await reason(as('mesh', 'mesh', '/other')), /permission denied/)
    t.throws(() => servers.open({ user: 'mesh' }), { message: /^etcd-user / })
  })

  await t.test('members that forgot their tokens in a restart give new ones', async () => {
    for (const member of servers.members) {
      await member.stop()
      member.start()
      await sleep(1)
    }
    await node.store.update(services => [...services, aService('d', 4)])
    await early.cluster.announce([container('x')])
    await waitFor(
      () => early.names() === 'a,b,c,d' && node.containers() === 'n1/x:ready n2/b:ready',
      'news at both',
      10,
    )
    await waitFor(() => early.trouble() === null && node.trouble() === null, 'peace', 5)
  })

  await t.test('a password that was changed is read again', async () => {
    const answer = await setUp('authenticate', { name: 'root', password: 'rootword' })
    await setUp('user/changepw', { name: 'mesh', password: 'newword' }, answer.token)
    writeFileSync(join(directory, 'mesh'), 'newword\n')
    await node.store.update(services => services.filter(({ name }) => name !== 'd'))
    await waitFor(() => early.names() === 'a,b,c', 'news', 10)
  })
})
