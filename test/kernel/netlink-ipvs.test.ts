import t from 'tap'
import { messagesSent } from '../../src/netlink/connection.js'
import {
  addDestination,
  addService,
  byFwmark,
  deleteDestination,
  deleteService,
  getInfo,
  getService,
  getTimeouts,
  listDestinations,
  listServices,
  setTimeouts,
  updateDestination,
  updateService,
} from '../../src/netlink/ipvs.js'
import { setLink } from '../../src/netlink/route.js'
import { connect, freshNamespace, loadModules, runIn } from '../helpers/namespaces.js'

loadModules('ip_vs', 'ip_vs_rr', 'ip_vs_wlc', 'ip_vs_sh')

const names = (outcomes: readonly ({ errnoName: string } | null)[]) =>
  outcomes.map(error => error?.errnoName ?? null)
const rr = { scheduler: 'rr', persistence: 0 }
const endpoint = (index: number) => ({ address: `10.254.${index >> 8}.${index & 255}`, port: 80, weight: 1 })

/** A namespace whose loopback link is up: without a routing table of its own IPVS takes no destination. */
async function readyNamespace(t: Parameters<typeof connect>[0]): Promise<string> {
  const path = freshNamespace(t)
  await connect(t, 'route', path).request([setLink('lo', { up: true })])
  return path
}

t.test('a namespace in which nothing is up takes no destination', async t => {
  const connection = connect(t, 'generic', freshNamespace(t))
  t.same(
    names(await connection.request([addService(byFwmark(1), rr), addDestination(byFwmark(1), endpoint(3))])),
    [null, 'EINVAL'],
  )
})

t.test('100 virtual services of 10 destinations each, in one batch, read back', async t => {
  const path = await readyNamespace(t)
  const connection = connect(t, 'generic', path)
  const fwmarks = Array.from({ length: 100 }, (_, index) => 0x10000 + 8000 + index)
  const requests = fwmarks.flatMap(fwmark => [
    addService(byFwmark(fwmark), rr),
    ...Array.from({ length: 10 }, (_, index) => addDestination(byFwmark(fwmark), endpoint(index + 3))),
  ])
  const before = messagesSent.changes
  t.ok((await connection.request(requests)).every(error => error === null))
  t.equal(messagesSent.changes - before, 1100)
  const services = await connection.dump(listServices())
  t.same(
    services.flatMap(({ key }) => ('fwmark' in key ? [key.fwmark] : [])).sort((a, b) => a - b),
    fwmarks,
  )
  const lists = await connection.dumpAll(fwmarks.map(fwmark => listDestinations(byFwmark(fwmark))))
  for (const list of lists)
    t.same(
      list.map(({ address }) => address).sort(),
      Array.from({ length: 10 }, (_, index) => endpoint(index + 3).address).sort(),
    )
  t.match(lists[0]?.[0], {
    port: 80,
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    forwardingMethod: 'masquerade',
    active: 0,
    inactive: 0,
  })
  t.match(runIn(path, ['ipvsadm', '-Sn']), /-a -f 73536 -r 10\.254\.0\.3:80 -m -w 1/)
  t.ok(
    (await connection.request(fwmarks.map(fwmark => deleteService(byFwmark(fwmark))))).every(
      error => error === null,
    ),
  )
  t.same(await connection.dump(listServices()), [])
})

t.test('the start of a drain is kept in the upper threshold, whole', async t => {
  const connection = connect(t, 'generic', await readyNamespace(t))
  const draining = { ...endpoint(3), weight: 0, upperThreshold: 0xfffffffe }
  await connection.request([
    addService(byFwmark(1), rr),
    addDestination(byFwmark(1), endpoint(3)),
    updateDestination(byFwmark(1), draining),
  ])
  t.match(await connection.dump(listDestinations(byFwmark(1))), [{ weight: 0, upperThreshold: 0xfffffffe }])
})

t.test('errors tell what is missing and what is there', async t => {
  const connection = connect(t, 'generic', await readyNamespace(t))
  const one = endpoint(1)
  const outcomes = await connection.request([
    addService(byFwmark(1), rr),
    addService(byFwmark(1), rr),
    addService(byFwmark(2), { ...rr, scheduler: 'nix' }),
    updateService(byFwmark(3), rr),
    deleteService(byFwmark(3)),
    addDestination(byFwmark(3), one),
    addDestination(byFwmark(1), one),
    addDestination(byFwmark(1), one),
    updateDestination(byFwmark(1), endpoint(2)),
    deleteDestination(byFwmark(1), endpoint(2)),
    deleteDestination(byFwmark(1), one),
  ])
  t.same(names(outcomes), [
    null,
    'EEXIST',
    'ENOENT',
    'ESRCH',
    'ESRCH',
    'ESRCH',
    null,
    'EEXIST',
    'ENOENT',
    'ENOENT',
    null,
  ])
  t.equal(outcomes[5]?.message, 'add destination 10.254.0.1:80 of fwmark 0x3: ESRCH')
})

t.test('schedulers, persistence and keys by address read back as written', async t => {
  const connection = connect(t, 'generic', await readyNamespace(t))
  const udp = { protocol: 17, address: '10.253.0.1', port: 53 }
  await connection.request([
    addService(byFwmark(1), { scheduler: 'wlc', persistence: 300 }),
    addService(udp, { scheduler: 'sh', persistence: 0, onePacket: true }),
    updateService(byFwmark(1), { scheduler: 'rr', persistence: 60 }),
  ])
  t.match(await connection.get(getService(byFwmark(1))), [
    { key: byFwmark(1), scheduler: 'rr', persistence: 60, onePacket: false },
  ])
  t.match(await connection.get(getService(udp)), [
    { key: udp, scheduler: 'sh', persistence: 0, onePacket: true },
  ])
  await connection.request([updateService(byFwmark(1), rr)])
  t.match(
    await connection.get(getService(byFwmark(1))),
    [{ persistence: 0 }],
    'persistence can be taken away',
  )
  await t.rejects(connection.get(getService(byFwmark(9))), {
    message: 'get virtual service fwmark 0x9: ESRCH',
  })
})

t.test('what is not there is an empty list', async t => {
  const connection = connect(t, 'generic', await readyNamespace(t))
  t.same(await connection.dump(listServices()), [])
  t.same(await connection.dump(listDestinations(byFwmark(7))), [])
})

t.test('timeouts are set in their namespace only', async t => {
  const connection = connect(t, 'generic', await readyNamespace(t))
  const other = connect(t, 'generic', await readyNamespace(t))
  const [usual] = await other.get(getTimeouts())
  t.same(names(await connection.request([setTimeouts({ tcp: 901, tcpFin: 0, udp: 33 })])), [null])
  t.same(await connection.get(getTimeouts()), [{ ...usual, tcp: 901, udp: 33 }], '0 leaves one as it is')
  t.same(await other.get(getTimeouts()), [usual])
})

t.test('the version is told', async t => {
  const connection = connect(t, 'generic', null)
  t.match(await connection.get(getInfo()), [{ version: /^1\.2\.\d+$/, connectionTableSize: Number }])
})
