/**
 * Runs one part in this process, in whatever kernel it finds itself, and writes what
 * it reports to a file; started by main.ts.
 *
 *   node --expose-gc part.js NAME FILE [--quick]
 */
import { writeFileSync } from 'node:fs'
import { tuneEngine } from '../../src/cli/engine.js'

// What is measured in this process is the agent's, and runs as meshd runs it.
tuneEngine()
const { parts } = await import('./parts.js')
const [name = '', file = '', ...flags] = process.argv.slice(2)
const part = parts.find(each => each.name === name)
if (!part) throw new Error(`there is no part ${name}`)
const sections = await part.run({ quick: flags.includes('--quick') })
writeFileSync(file, JSON.stringify(sections))
process.exit(0)
