/**
 * Short ways to write the kernel objects that plans are made of. Pure.
 */
import type {
  ChainObject,
  EntryObject,
  Family,
  JumpObject,
  Place,
  RouteObject,
  SetObject,
  SysctlObject,
  Table,
} from '../kernel/objects.js'

/** RT_TABLE_MAIN, linux/rtnetlink.h. */
export const mainTable = 254
/** RT_TABLE_LOCAL, linux/rtnetlink.h: the first that the kernel asks. */
export const localTable = 255

export function chain(
  place: Place,
  table: Table,
  name: string,
  rules: string[],
  family: Family = 'inet',
): ChainObject {
  return { kind: 'chain', place, family, table, name, rules }
}

export function jump(
  place: Place,
  table: Table,
  from: string,
  to: string,
  match = '',
  family: Family = 'inet',
): JumpObject {
  return { kind: 'jump', place, family, table, from, to, match }
}

export function sysctl(place: Place, name: string, value: string): SysctlObject {
  return { kind: 'sysctl', place, name, value }
}

export function set(
  place: Place,
  name: string,
  type: SetObject['type'],
  skbinfo = false,
  family: Family = 'inet',
): SetObject {
  return { kind: 'set', place, name, type, family, skbinfo }
}

export function entry(place: Place, set: string, element: string, mark: number | null = null): EntryObject {
  return { kind: 'entry', place, set, element, mark }
}

/** A route of the main table unless `more` says otherwise. */
export function route(
  place: Place,
  destination: string,
  link: string,
  more: Partial<Pick<RouteObject, 'gateway' | 'source' | 'table' | 'type'>> = {},
): RouteObject {
  return { kind: 'route', place, table: mainTable, destination, link, gateway: null, source: null, ...more }
}
