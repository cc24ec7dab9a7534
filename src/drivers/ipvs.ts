/**
 * Driver of IPVS in the sandbox: virtual services, destinations, timeouts. The
 * sandbox is the mesh's alone, and so is every virtual service in it.
 */
import { existsSync } from 'node:fs'
import { MeshError, type NetlinkError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type {
  DestinationObject,
  ServiceMatch,
  TimeoutsObject,
  VirtualServiceObject,
} from '../kernel/objects.js'
import type { ItemWriter } from '../netlink/batch.js'
import type { NetlinkConnection } from '../netlink/connection.js'
import {
  addDestination,
  addService,
  deleteDestination,
  deleteService,
  setTimeouts,
  updateDestination,
  updateService,
} from '../netlink/ipvs.js'
import { genericFamily } from '../netlink/ipvs-attributes.js'
import { writeDestination, writeService } from '../netlink/ipvs-writer.js'
import type { Request } from '../netlink/message.js'
import { destinationConfiguration, keyOfService, upperThresholdOf } from './ipvs-objects.js'
import { IpvsSight } from './ipvs-sight.js'
import { readTable } from './ipvs-table.js'
import { Outcomes, pathOf, placeIsGone } from './places.js'
import { loadModule } from './programs.js'
import type { Sockets } from './sockets.js'

/**
 * Buckets of the kernel's table of connections, as a power of two (conn_tab_bits,
 * net/netfilter/ipvs/ip_vs_conn.c). Of its own 2^12 a packet walks one: with 60,000
 * connections that is a quarter of its time. These take 2 MiB.
 */
const tableBits = 18

type IpvsObject = VirtualServiceObject | DestinationObject | TimeoutsObject

export function createIpvsDriver(sockets: Sockets): Driver {
  const sight = new IpvsSight()
  return {
    name: 'ipvs',
    kinds: ['virtualService', 'destination', 'timeouts'],
    async observe(places) {
      if (!places.has('mesh')) return { objects: [] }
      try {
        return await withIpvs(sockets, places, connection =>
          sight.observe(connection, onPart => readTable(pathOf(places, 'mesh'), onPart)),
        )
      } catch (error) {
        if (placeIsGone(error)) return { objects: [] }
        throw error
      }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      sight.forget(changes, matchOf)
      try {
        await withIpvs(sockets, places, connection => applyAll(changes, connection, outcomes))
      } catch (error) {
        outcomes.failAll(changes, error)
      }
      return outcomes.list(changes)
    },
  }
}

/** The virtual service that a change concerns. */
function matchOf({ object }: Change): ServiceMatch | null {
  if (object.kind === 'virtualService') return object.match
  return object.kind === 'destination' ? object.service : null
}

/**
 * Loads IPVS before the kernel does by itself, which it does when it is first asked for it:
 * only then can its table be made larger. Where it has been loaded it stays as it is.
 */
async function loadFirst(): Promise<void> {
  if (!existsSync('/sys/module/ip_vs')) await loadModule('ip_vs', `conn_tab_bits=${tableBits}`)
}

/** Runs with a connection to a kernel that has IPVS, loading its module if need be. Throws MESH_UNSUPPORTED. */
async function withIpvs<T>(
  sockets: Sockets,
  places: Places,
  run: (connection: NetlinkConnection) => Promise<T>,
): Promise<T> {
  const attempt = () => sockets.use('generic', places, 'mesh', run)
  await loadFirst()
  try {
    return await attempt()
  } catch (error) {
    if (!lacksIpvs(error)) throw error
    await loadModule('ip_vs')
  }
  try {
    return await attempt()
  } catch (error) {
    if (!lacksIpvs(error)) throw error
    throw new MeshError(
      'MESH_UNSUPPORTED',
      'kernel without IPVS: modprobe ip_vs did not help; boot a kernel with CONFIG_IP_VS, ' +
        'or install the modules package that belongs to this one (linux-modules-extra on some distributions)',
      { cause: error },
    )
  }
}

function lacksIpvs(error: unknown): boolean {
  return error instanceof MeshError && error.code === 'MESH_UNSUPPORTED'
}

/** All changes in batches, in order; those that found another state than was observed once more. */
async function applyAll(
  changes: readonly Change[],
  connection: NetlinkConnection,
  outcomes: Outcomes,
): Promise<void> {
  const retries = await send(changes, requestFor, writer, connection, outcomes)
  const reasons = new Map(retries.map(({ change, error }) => [change, error]))
  const modules = new Set(retries.flatMap(({ change, error }) => missingScheduler(change, error) ?? []))
  for (const name of modules) await loadModule(`ip_vs_${name}`)
  const still = await send(
    retries.map(({ change }) => change),
    retryFor,
    null,
    connection,
    outcomes,
  )
  for (const { change, error } of still) outcomes.fail(change, explain(change, error))

  function retryFor(change: Change): Request {
    return alternativeFor(change, reasons.get(change)!) ?? requestFor(change)
  }
}

interface Refused {
  readonly change: Change
  readonly error: NetlinkError
}

/** Sends one request per change; returns those refused for a reason that another attempt may overcome. */
async function send(
  changes: readonly Change[],
  toRequest: (change: Change) => Request,
  writer: ItemWriter<Change> | null,
  connection: NetlinkConnection,
  outcomes: Outcomes,
): Promise<Refused[]> {
  if (changes.length === 0) return []
  const failures = await connection.requestEach(changes, toRequest, writer)
  const refused: Refused[] = []
  for (const [i, error] of failures) {
    const change = changes[i]!
    if (isSoAlready(change, error)) continue
    if (alternativeFor(change, error) || missingScheduler(change, error)) refused.push({ change, error })
    else outcomes.fail(change, explain(change, error))
  }
  return refused
}

/** By its address that is seen when it is written. */
function mayBeIPv4(match: ServiceMatch): boolean {
  return !('fwmark' in match) || match.family === 'inet'
}

/** For what a first pass has by the ten thousand. It says the same as `requestFor`. */
const writer: ItemWriter<Change> = {
  family: genericFamily,
  write({ type, object }, out) {
    if (type === 'remove') return false
    if (object.kind === 'destination')
      return (
        mayBeIPv4(object.service) &&
        writeDestination(out, type, object.service, object, upperThresholdOf(object))
      )
    return (
      object.kind === 'virtualService' &&
      mayBeIPv4(object.match) &&
      writeService(out, type, object.match, object)
    )
  },
}

const unchanged = { tcp: 0, tcpFin: 0, udp: 0 }

function requestFor(change: Change): Request {
  const object = change.object as IpvsObject
  switch (object.kind) {
    case 'timeouts':
      // They go with their namespace.
      return setTimeouts(change.type === 'remove' ? unchanged : object)
    case 'virtualService': {
      const key = keyOfService(object.match)
      if (change.type === 'remove') return deleteService(key)
      return change.type === 'add' ? addService(key, object) : updateService(key, object)
    }
    case 'destination': {
      const key = keyOfService(object.service)
      const destination = destinationConfiguration(object)
      if (change.type === 'remove') return deleteDestination(key, destination)
      return change.type === 'add' ? addDestination(key, destination) : updateDestination(key, destination)
    }
  }
}

/**
 * What "already so" looks like: ip_vs_ctl.c answers ESRCH for a missing virtual
 * service (on anything but NEW_SERVICE) and ENOENT for a missing destination.
 */
function isSoAlready(change: Change, error: NetlinkError): boolean {
  if (change.type !== 'remove') return false
  return error.errnoName === 'ESRCH' || (change.object.kind === 'destination' && error.errnoName === 'ENOENT')
}

/** The other verb, where the object is there though it was to be added, or gone though it was to be changed. */
function alternativeFor(change: Change, error: NetlinkError): Request | null {
  const object = change.object as IpvsObject
  const { errnoName } = error
  if (object.kind === 'virtualService') {
    const key = keyOfService(object.match)
    if (change.type === 'add' && errnoName === 'EEXIST') return updateService(key, object)
    if (change.type === 'update' && errnoName === 'ESRCH') return addService(key, object)
  }
  if (object.kind === 'destination') {
    const key = keyOfService(object.service)
    const destination = destinationConfiguration(object)
    if (change.type === 'add' && errnoName === 'EEXIST') return updateDestination(key, destination)
    if (change.type === 'update' && errnoName === 'ENOENT') return addDestination(key, destination)
  }
  return null
}

/** Name of the scheduler whose module is missing: that is what ENOENT on NEW_SERVICE and SET_SERVICE means. */
function missingScheduler(change: Change, error: NetlinkError): string | null {
  const { object } = change
  const asks = object.kind === 'virtualService' && change.type !== 'remove'
  return asks && error.errnoName === 'ENOENT' ? object.scheduler : null
}

function explain(change: Change, error: NetlinkError): Error {
  const scheduler = missingScheduler(change, error)
  if (scheduler === null) return error
  return new MeshError(
    'MESH_UNSUPPORTED',
    `${error.operation} ${error.subject}: the kernel has no scheduler ${scheduler}; modprobe ip_vs_${scheduler}, or choose another`,
    { cause: error },
  )
}
