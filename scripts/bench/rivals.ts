/**
 * What the first pass is compared with: the same IPVS objects by the shortest way
 * there is, and by `ipvsadm --restore`. Each in a namespace of its own.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, readFileSync } from 'node:fs'
import { destinationConfiguration, keyOfService } from '../../src/drivers/ipvs-objects.js'
import type { Change } from '../../src/kernel/change.js'
import type { ServiceMatch } from '../../src/kernel/objects.js'
import {
  createNamespace,
  exchange,
  openNetlink,
  removeNamespace,
  runInNamespace,
} from '../../src/netlink/addon.js'
import { Batch } from '../../src/netlink/batch.js'
import { NetlinkConnection } from '../../src/netlink/connection.js'
import { getFamily } from '../../src/netlink/generic.js'
import { addDestination, addService, setTimeouts } from '../../src/netlink/ipvs.js'
import { decodeAnswer, decodeMessages, type Request } from '../../src/netlink/message.js'
import type { MeshNode } from '../../test/helpers/mesh-node.js'

const generic = 16 // NETLINK_GENERIC, linux/netlink.h
/** As many messages in one send as NetlinkConnection puts into one. */
const batchMessages = 1024

/** The changes that made a sandbox hold what it holds of IPVS, in the order of a first pass. */
export async function ipvsChanges(mesh: MeshNode): Promise<Change[]> {
  const { objects } = await mesh.kernel.observe(mesh.places())
  return ['timeouts', 'virtualService', 'destination'].flatMap(kind =>
    objects.filter(object => object.kind === kind).map((object): Change => ({ type: 'add', object })),
  )
}

/**
 * Runs in a new namespace, which must then hold the destinations. It is emptied
 * before it goes: its end must not disturb what is measured next.
 */
async function inNamespace(
  changes: readonly Change[],
  work: (path: string) => Promise<number>,
): Promise<number> {
  const path = `/run/netns/bench-${process.pid}`
  createNamespace(path)
  try {
    // Without loopback every address counts as broadcast, and IPVS refuses it.
    runInNamespace(path, () => execFileSync('ip', ['link', 'set', 'lo', 'up']))
    const result = await work(path)
    const table = runInNamespace(path, () => readFileSync('/proc/thread-self/net/ip_vs', 'latin1'))
    const found = table.split('\n  -> ').length - 2 // one is the heading's
    const wanted = changes.filter(({ object }) => object.kind === 'destination').length
    if (found !== wanted) throw new Error(`${found} destinations are there, ${wanted} should be`)
    runInNamespace(path, () => execFileSync('ipvsadm', ['-C']))
    return result
  } finally {
    removeNamespace(path)
  }
}

function requestFor({ object }: Change): Request {
  if (object.kind === 'virtualService') return addService(keyOfService(object.match), object)
  if (object.kind === 'destination')
    return addDestination(keyOfService(object.service), destinationConfiguration(object))
  if (object.kind === 'timeouts') return setTimeouts(object)
  throw new Error(`${object.kind} is no part of IPVS`)
}

/** The messages of these changes in prepared batches, through the addon and nothing else; milliseconds. */
export async function rawNetlink(changes: readonly Change[]): Promise<number> {
  return inNamespace(changes, async path => {
    const connection = NetlinkConnection.open('generic', path)
    const [family] = await connection.get(getFamily('IPVS'))
    connection.close()
    const buffers: Buffer[] = []
    const batch = new Batch()
    for (let at = 0; at < changes.length; at += batchMessages) {
      batch.begin(at + 1)
      for (const change of changes.slice(at, at + batchMessages)) batch.add(requestFor(change), family!.id!)
      buffers.push(Buffer.from(batch.end('last')))
    }
    const socket = openNetlink(generic, path)
    try {
      const since = performance.now()
      const results = []
      for (const buffer of buffers) results.push(await exchange(socket, buffer, false, 30_000))
      const wall = performance.now() - since
      for (const { replies, errno } of results)
        if (errno !== 0 || decodeMessages(replies).some(message => decodeAnswer(message).errno !== 0))
          throw new Error('raw netlink: a message was refused')
      return wall
    } finally {
      closeSync(socket)
    }
  })
}

/** The bench's virtual services are all matched by fwmark. */
function fwmarkOf(match: ServiceMatch): number {
  return 'fwmark' in match ? match.fwmark : 0
}

/** A change as a command line of ipvsadm; none for timeouts. */
function lineOf({ object }: Change): string[] {
  if (object.kind === 'virtualService') return [`-A -f ${fwmarkOf(object.match)} -s ${object.scheduler}`]
  if (object.kind !== 'destination') return []
  return [`-a -f ${fwmarkOf(object.service)} -r ${object.address}:${object.port} -m -w ${object.weight}`]
}

/** The same table with a run of ipvsadm for each entry; milliseconds for all, reckoned from the first `most`. */
export async function ipvsadmOneByOne(changes: readonly Change[], most: number): Promise<number> {
  const wanted = changes.filter(change => lineOf(change).length > 0)
  const services = wanted.filter(({ object }) => object.kind === 'virtualService')
  // Its virtual service comes before each destination, and of both there are as many as in all.
  const share = Math.min(1, most / wanted.length)
  const some = services
    .slice(0, Math.ceil(services.length * share))
    .flatMap(service => [
      service,
      ...wanted.filter(
        ({ object }) =>
          object.kind === 'destination' &&
          service.object.kind === 'virtualService' &&
          fwmarkOf(object.service) === fwmarkOf(service.object.match),
      ),
    ])
  return inNamespace(some, async path => {
    const since = performance.now()
    runInNamespace(path, () => {
      for (const change of some) for (const line of lineOf(change)) execFileSync('ipvsadm', line.split(' '))
    })
    return ((performance.now() - since) / some.length) * wanted.length
  })
}

/** The same table through `ipvsadm --restore`; milliseconds, the program's start included. */
export async function ipvsadmRestore(changes: readonly Change[]): Promise<number> {
  const lines = changes.flatMap(lineOf)
  const input = `${lines.join('\n')}\n`
  return inNamespace(changes, async path => {
    const since = performance.now()
    runInNamespace(path, () => execFileSync('ipvsadm', ['-R'], { input }))
    return performance.now() - since
  })
}
