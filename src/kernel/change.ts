/**
 * Changes and their outcomes: the words between diff, drivers and status.
 */
import { type KernelObject, keyOf } from './objects.js'

export type Change =
  | { readonly type: 'add'; readonly object: KernelObject }
  | { readonly type: 'update'; readonly object: KernelObject; readonly from: KernelObject }
  | { readonly type: 'remove'; readonly object: KernelObject }

export interface Outcome {
  readonly change: Change
  /** null: done. */
  readonly error: Error | null
}

export function changeKey(change: Change): string {
  return keyOf(change.object)
}
