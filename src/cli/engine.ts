/**
 * How V8 runs the agent: a program of many functions that works for moments, mostly waits,
 * and holds much that stays. V8 by itself is made for programs that are busy.
 */
import { setFlagsFromString } from 'node:v8'

const flags = {
  /**
   * Bytes of bytecode that a function executes between two looks at whether to optimise it,
   * by itself 67,584. Optimising takes tens of milliseconds and some megabytes for what runs
   * for less than one: half the processor time of a first pass of 1,000 services. What runs
   * for long, as with 10,000, still gets its optimised code.
   */
  'interrupt-budget': 1_000_000,
  /**
   * The young generation otherwise doubles while modules are loaded, to 16 MB and more, and
   * never shrinks again.
   */
  'semi-space-growth-factor': 1,
}

/** For the whole process, threads included. Before anything large is loaded: what has grown stays. */
export function tuneEngine(): void {
  for (const [name, value] of Object.entries(flags)) setFlagsFromString(`--${name}=${value}`)
}
