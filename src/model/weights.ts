/**
 * Weights by labels of containers: what a person writes (`version=canary:5`), and which
 * of them an endpoint gets. Pure.
 */
import { InputError } from '../errors.js'
import { parseSelector } from './selector.js'
import type { LabelWeight, Scheduler } from './service.js'

/** Largest weight of a destination that ipvsadm takes. */
export const largestWeight = 65_535

const form =
  'write LABEL=VALUE:NUMBER, as in version=canary:5, or :5% for the share of all such endpoints together; ' +
  'mesh.container=NAME:NUMBER is for one container'

/** Schedulers of the kernel that look at weights only to see whether they are 0 (net/netfilter/ipvs/ip_vs_*.c). */
const withoutWeights: readonly Scheduler[] = ['rr', 'lc', 'dh']

/** Parses `LABEL=VALUE:NUMBER` or `LABEL=VALUE:PERCENT%`; the value may hold colons. Throws InputError. */
export function parseWeight(text: string, field = 'weight'): LabelWeight {
  const colon = text.lastIndexOf(':')
  const [, number, percent] = /^(\d{1,6})(%?)$/.exec(text.slice(colon + 1).trim()) ?? []
  if (colon < 0 || number === undefined) throw new InputError(field, text, 'its weight is missing', form)
  const weight = Number(number)
  const largest = percent ? 100 : largestWeight
  if (weight > largest) throw new InputError(field, text, `${weight} is outside 0–${largest}`, form)
  const pair = text.slice(0, colon).trim()
  if (pair.includes(',')) throw new InputError(field, text, 'a weight goes by one label', form)
  try {
    const [[label, value] = ['', '']] = Object.entries(parseSelector(pair))
    return { label, value, weight, ...(percent ? { percent: true } : {}) }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    throw new InputError(field, text, error.problem, form)
  }
}

/** The text `parseWeight` reads. */
export function formatWeight({ label, value, weight, percent }: LabelWeight): string {
  return `${label}=${value}:${weight}${percent ? '%' : ''}`
}

/** Whether connections are spread by weight. */
export function knowsWeights(scheduler: Scheduler): boolean {
  return !withoutWeights.includes(scheduler)
}
