/**
 * How V8 compiles the agent: a program of many functions that works for moments and mostly
 * waits. V8 by itself is made for programs that are busy.
 */
import { setFlagsFromString } from 'node:v8'

/**
 * Bytes of bytecode that a function executes between two looks at whether to optimise it,
 * by itself 67,584. Optimising takes tens of milliseconds and some megabytes for what runs
 * for less than one: half the processor time of a first pass of 1,000 services. What runs
 * for long, as with 10,000, still gets its optimised code.
 */
const interruptBudget = 1_000_000

/** For the whole process, threads included. Before anything large is loaded. */
export function tuneEngine(): void {
  setFlagsFromString(`--interrupt-budget=${interruptBudget}`)
}
