/**
 * Driver of kernel parameters: files under /proc/sys, read and written inside the
 * namespace they belong to. It reads only the names it watches: those given at its
 * making and those it was asked to set since; there are thousands of others.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { MeshError } from '../errors.js'
import type { Change } from '../kernel/change.js'
import type { Driver, Places } from '../kernel/driver.js'
import type { KernelObject, Place, SysctlObject } from '../kernel/objects.js'
import { runInNamespace } from '../netlink/addon.js'
import { groupByPlace, Outcomes, pathOf, placeIsGone } from './places.js'
import { sameList } from './same-list.js'

/** Names a parameter of one place. */
export interface SysctlName {
  readonly place: Place
  /** Dotted; a slash stands for a dot that is part of a link's name, as sysctl(8) has it. */
  readonly name: string
}

/** `net.ipv4.ip_forward` → `/proc/sys/net/ipv4/ip_forward`; `net.ipv4.conf.eth0/1.x` means the link `eth0.1`. */
export function sysctlPath(name: string): string {
  const swapped = name.replace(/[./]/g, char => (char === '.' ? '/' : '.'))
  return `/proc/sys/${swapped}`
}

function inNamespace<T>(path: string | null, run: () => T): T {
  return path === null ? run() : runInNamespace(path, run)
}

function errorCode(error: unknown): string {
  return String((error as { code?: unknown }).code ?? error)
}

/** Its value with white space squeezed, or null where the kernel has no such parameter (yet). Throws MESH_UNSUPPORTED. */
function read(name: string): string | null {
  try {
    return readFileSync(sysctlPath(name), 'utf8').trim().replace(/\s+/g, ' ')
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw new MeshError('MESH_UNSUPPORTED', `read sysctl ${name}: ${code}`, { cause: error })
  }
}

function write(name: string, value: string): void {
  try {
    // without O_CREAT, which /proc/sys answers with EACCES where the parameter is missing
    writeFileSync(sysctlPath(name), value, { flag: 'r+' })
  } catch (error) {
    const code = errorCode(error)
    const reason = code === 'ENOENT' ? 'ENOENT (this kernel or namespace has no such parameter)' : code
    throw new MeshError('MESH_UNSUPPORTED', `set sysctl ${name} to ${value}: ${reason}`, { cause: error })
  }
}

const ofLink = /^net\.ipv6\.conf\.([^.]+)\.accept_ra$/

/** Whether it is what a link of the host's owner is told about routers, and that link is not there. */
function isOfGoneLink(name: string): boolean {
  return ofLink.test(name) && !existsSync(dirname(sysctlPath(name)))
}

/**
 * `watched`: what `observe` reads besides the parameters that were set through `apply`;
 * `inContainers`: names that it reads in every container.
 */
export function createSysctlDriver(
  watched: readonly SysctlName[] = [],
  inContainers: readonly string[] = [],
): Driver {
  /** The values that were set last; null: none so far. */
  const names = new Map<Place, Map<string, string | null>>()
  const watch = ({ place, name }: SysctlName, value: string | null) => {
    const own = names.get(place) ?? new Map<string, string | null>()
    names.set(place, own.set(name, value))
  }
  for (const each of watched) watch(each, null)

  const observePlace = (place: Place, places: Places): SysctlObject[] => {
    const inside = place.startsWith('container:') ? inContainers : []
    const own = new Map<string, string | null>([
      ...inside.map(name => [name, null] as const),
      ...(names.get(place) ?? []),
    ])
    if (own.size === 0) return []
    try {
      return inNamespace(pathOf(places, place), () =>
        [...own].flatMap(([name, last]) => {
          const value = read(name) ?? (isOfGoneLink(name) ? last : null)
          return value === null ? [] : [{ kind: 'sysctl' as const, place, name, value }]
        }),
      )
    } catch (error) {
      if (placeIsGone(error)) return []
      throw error
    }
  }

  const applyOne = (change: Change): Error | null => {
    const { place, name, value } = change.object as SysctlObject
    if (change.type === 'remove') {
      // A parameter can't be taken away; who wants a former value back plans it as wanted.
      names.get(place)?.delete(name)
      return null
    }
    watch({ place, name }, value)
    // A link that comes back begins with the default, and is looked at again then.
    if (isOfGoneLink(name)) return null
    try {
      if (read(name) !== value) write(name, value)
      return null
    } catch (error) {
      return error as Error
    }
  }

  let last: readonly KernelObject[] = []
  return {
    name: 'sysctl',
    kinds: ['sysctl'],
    async observe(places) {
      // Of a container that is gone nothing is left to read, ever.
      for (const place of names.keys())
        if (place.startsWith('container:') && !places.has(place)) names.delete(place)
      last = sameList(
        last,
        [...places.keys()].flatMap(place => observePlace(place, places)),
      )
      return { objects: last }
    },
    async apply(changes, places) {
      const outcomes = new Outcomes()
      for (const [place, own] of groupByPlace(changes)) {
        try {
          inNamespace(pathOf(places, place), () => {
            for (const change of own) {
              const error = applyOne(change)
              if (error) outcomes.fail(change, error)
            }
          })
        } catch (error) {
          outcomes.failAll(own, error)
        }
      }
      return outcomes.list(changes)
    },
  }
}
