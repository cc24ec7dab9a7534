/**
 * The size of V8's young generation. It doubles whenever much survives, as while modules
 * are loaded, and never shrinks again: some 15 MB that an agent of a few services has no
 * use for. With thousands of them it saves more time than it costs memory.
 */
import { setFlagsFromString } from 'node:v8'

/** So many changes in one pass make a mesh a large one. */
const many = 5000

/** From the start: before anything large is loaded. */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** After each pass: lets the young generation grow once there is much to do. */
export function letHeapGrow(changes: number): void {
  if (changes > many) setFlagsFromString('--semi-space-growth-factor=2')
}
