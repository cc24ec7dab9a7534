/**
 * What a look-up finds, before it is a message. Pure.
 */

/** `name` null: the name that was asked for. */
export type ZoneRecord =
  | { readonly name: string | null; readonly type: 'A' | 'AAAA' | 'NS' | 'PTR'; readonly data: string }
  | {
      readonly name: string | null
      readonly type: 'SRV'
      readonly data: {
        readonly priority: number
        readonly weight: number
        readonly port: number
        readonly target: string
      }
    }
  | {
      readonly name: string | null
      readonly type: 'SOA'
      readonly data: {
        readonly mname: string
        readonly rname: string
        readonly serial: number
        readonly refresh: number
        readonly retry: number
        readonly expire: number
        readonly minimum: number
      }
    }

export interface Finding {
  /** Whether there is such a name, whatever its records. */
  readonly exists: boolean
  readonly answers: readonly ZoneRecord[]
  readonly additionals: readonly ZoneRecord[]
  /** Of the zone the name is in; goes with answers that say no. */
  readonly soa: ZoneRecord
}
