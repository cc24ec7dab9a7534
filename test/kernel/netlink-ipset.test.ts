import t from 'tap'
import {
  addEntry,
  createSet,
  deleteEntry,
  destroySet,
  listEntries,
  listSets,
  type SetType,
  swapSets,
} from '../../src/netlink/ipset.js'
import { connect, freshNamespace, loadModules, runIn } from '../helpers/namespaces.js'

loadModules(
  'ip_set',
  'ip_set_bitmap_port',
  'ip_set_hash_ip',
  'ip_set_hash_net',
  'ip_set_hash_ipport',
  'ip_set_hash_netnet',
)

const names = (outcomes: readonly ({ errnoName: string } | null)[]) =>
  outcomes.map(error => error?.errnoName ?? null)

const elements: Record<SetType, string[]> = {
  'bitmap:port': ['0', '8888', '65535'],
  'hash:ip': ['10.0.0.1', '192.0.2.7'],
  'hash:net': ['172.17.0.0/16', '192.0.2.7'],
  'hash:ip,port': ['10.0.0.1,tcp:80', '10.0.0.1,udp:53', '10.0.0.1,sctp:9'],
  'hash:net,net': ['172.17.0.2,10.254.0.3', '172.17.0.0/16,10.254.0.0/24'],
}

for (const [type, texts] of Object.entries(elements) as [SetType, string[]][]) {
  for (const skbinfo of [false, true]) {
    t.test(
      `${type} ${skbinfo ? 'with' : 'without'} marks reads back as written, and as ipset prints it`,
      async t => {
        const path = freshNamespace(t)
        const connection = connect(t, 'netfilter', path)
        const name = 'mesh-test'
        const entries = texts.map((element, index) => ({
          set: name,
          element,
          mark: skbinfo ? 0xfffffff0 + index : null,
        }))
        const add = entries.map(({ element, mark }) => addEntry(name, element, mark))
        const outcomes = await connection.request([createSet({ name, type, skbinfo }), ...add, ...add])
        t.ok(
          outcomes.every(error => error === null),
          'adding what is there is no error',
        )
        t.match(await connection.dump(listSets()), [{ name, type, skbinfo, references: 0 }])
        const listed = (await connection.dump(listEntries(name))).flat()
        t.same(new Set(listed), new Set(entries))
        const saved = runIn(path, ['ipset', 'save'])
        for (const element of texts) t.ok(saved.includes(`add mesh-test ${element}`), element)
        if (skbinfo) t.match(saved, /skbmark 0xfffffff0/)

        const [first = ''] = texts
        t.same(names(await connection.request([deleteEntry(name, first), deleteEntry(name, first)])), [
          null,
          null,
        ])
        t.equal((await connection.dump(listEntries(name))).flat().length, texts.length - 1)
        t.same(names(await connection.request([destroySet(name), destroySet(name)])), [null, 'ENOENT'])
      },
    )
  }
}

t.test('a namespace without sets has none', async t => {
  const connection = connect(t, 'netfilter', freshNamespace(t))
  t.same(await connection.dump(listSets()), [])
  t.same(await connection.dump(listEntries(null)), [])
  await t.rejects(connection.dump(listEntries('nix')), { message: 'list elements of set nix: ENOENT' })
})

t.test('what cannot be done is told request by request', async t => {
  const connection = connect(t, 'netfilter', freshNamespace(t))
  const set = { name: 'm', type: 'bitmap:port', skbinfo: true } as const
  const outcomes = await connection.request([
    createSet(set),
    createSet(set),
    createSet({ ...set, type: 'hash:ip' }),
    createSet({ ...set, name: 'x'.repeat(32) }),
    addEntry('nix', '1', null),
    addEntry('m', '10.0.0.1', 1),
    addEntry('m', '80', 7),
  ])
  t.same(names(outcomes).slice(0, 3), [null, 'EEXIST', 'EEXIST'])
  t.ok(outcomes[3], 'too long a name')
  t.equal(outcomes[4]?.errnoName, 'ENOENT')
  t.equal(outcomes[5]?.errnoName, 'IPSET_ERR_PROTOCOL')
  t.equal(outcomes[6], null)
})

t.test('an element gets a new mark by being added again', async t => {
  const connection = connect(t, 'netfilter', freshNamespace(t))
  await connection.request([
    createSet({ name: 'm', type: 'bitmap:port', skbinfo: true }),
    addEntry('m', '80', 1),
    addEntry('m', '80', 2),
  ])
  t.same(await connection.dump(listEntries('m')), [[{ set: 'm', element: '80', mark: 2 }]])
})

t.test('a set larger than one message of the kernel is listed whole', async t => {
  const connection = connect(t, 'netfilter', freshNamespace(t))
  const count = 20_000
  await connection.request([
    createSet({ name: 'empty', type: 'hash:ip', skbinfo: false }),
    createSet({ name: 'm', type: 'bitmap:port', skbinfo: true }),
    ...Array.from({ length: count }, (_, port) => addEntry('m', String(port), port + 1)),
  ])
  const listed = (await connection.dump(listEntries(null))).flat()
  t.equal(listed.length, count)
  t.ok(listed.every(({ element, mark }) => mark === Number(element) + 1))
  t.same(
    (await connection.dump(listSets())).map(({ name }) => name),
    ['empty', 'm'],
  )
})

t.test('sets exchange their contents under their names', async t => {
  const connection = connect(t, 'netfilter', freshNamespace(t))
  const outcomes = await connection.request([
    createSet({ name: 'a', type: 'bitmap:port', skbinfo: false }),
    createSet({ name: 'b', type: 'bitmap:port', skbinfo: true }),
    createSet({ name: 'c', type: 'hash:ip', skbinfo: true }),
    addEntry('b', '80', 5),
    swapSets('a', 'b'),
    swapSets('a', 'c'),
  ])
  t.same(names(outcomes), [null, null, null, null, null, 'IPSET_ERR_TYPE_MISMATCH'])
  t.same(await connection.dump(listEntries('a')), [[{ set: 'a', element: '80', mark: 5 }]])
})
