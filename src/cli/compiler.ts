/**
 * How V8 compiles what it runs. It optimises a function that has run for a fraction of a
 * millisecond, which costs it tens of milliseconds and some megabytes; an agent of many
 * functions works for moments and then waits. So it is told to wait for what runs for long:
 * a first pass of 1,000 services then takes half the processor time, and every pass of more
 * still gets its optimised code in the end.
 */
import { setFlagsFromString } from 'node:v8'

/** Bytes of bytecode that a function executes between two looks at whether to optimise it; V8's own are 67,584. */
const interruptBudget = 1_000_000

/** For the whole process, threads included; before what is to be run is loaded. */
export function compileLate(): void {
  setFlagsFromString(`--interrupt-budget=${interruptBudget}`)
}
