/**
 * The test runner behind `npm test`; started by scripts/test after the build.
 *
 *   npm test -- [unit|kernel|mesh|swarm]... [WORD]...
 *
 * Runs the layers named, or all; of their files those whose path contains a WORD,
 * if any is given. A file is reported with one line, and its failures in full; the
 * last line adds up the top-level tests of all: "N passed, N failed[, N skipped]".
 * In CI (CI=true) a skipped test counts as failed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dealJobs, endJobs, type FileReport, type Layer, layers, runJob, testFiles } from './jobs.js'

const inCI = process.env.CI === 'true'
const total = { passed: 0, failed: 0, skipped: 0 }

function isLayer(word: string): word is Layer {
  return layers.some(layer => layer === word)
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '      ')
}

function counts(passed: number, failed: number, skipped: number): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

function report({ file, seconds, passed, failed, skips, failures }: FileReport): void {
  const name = file.replace(/^test\/(.*)\.test\.ts$/, '$1')
  const failedNow = failed + (inCI ? skips.length : 0)
  const skipped = inCI ? 0 : skips.length
  total.passed += passed
  total.failed += failedNow
  total.skipped += skipped
  const verdict = failedNow > 0 ? 'FAIL' : 'ok  '
  console.log(`${verdict}  ${name.padEnd(44)} ${counts(passed, failedNow, skipped)}  ${seconds.toFixed(1)} s`)
  for (const failure of failures) console.log(indent(failure), '\n')
  for (const skip of skips)
    console.log(indent(`${inCI ? 'skipped, which CI does not allow' : 'skipped'}: ${skip}`))
}

/** Whether this machine's own kernel can run the kernel and mesh layers. */
function kernelHasIpvs(): boolean {
  spawnSync('modprobe', ['-q', 'ip_vs'])
  return process.getuid?.() === 0 && existsSync('/proc/net/ip_vs')
}

const words = process.argv.slice(2)
const wantedLayers = words.filter(isLayer)
const wantedWords = words.filter(word => !isLayer(word))
const files = new Map<Layer, string[]>()
// The longest jobs first: short ones fill the end, when fewer are left than run at a time.
for (const layer of (wantedLayers.length > 0 ? wantedLayers : [...layers]).toReversed()) {
  const list = testFiles(layer, wantedWords)
  files.set(layer, list)
  if (list.length === 0 && wantedWords.length === 0) {
    total.failed++
    console.log(`FAIL  ${layer}: there are no test files in test/${layer}`)
  }
}

mkdirSync('.lab', { recursive: true })
const directory = mkdtempSync('.lab/results-')
const slots = Math.max(1, Math.min(4, availableParallelism()))
const queue = dealJobs(files, kernelHasIpvs(), slots)
if (queue.length === 0) {
  total.failed++
  console.log(`FAIL  no test file's path contains ${wantedWords.join(' or ')}`)
}
if (queue.some(job => job.layer === 'swarm')) {
  const made = spawnSync('scripts/image/make', { stdio: ['ignore', 'inherit', 'inherit'] })
  if (made.status !== 0) console.log('scripts/image/make failed; the swarm layer will, too')
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    total.failed += queue.splice(0).length
    console.log(`FAIL  ended by ${signal}`)
    endJobs()
  })
async function work(): Promise<void> {
  for (let job = queue.shift(); job; job = queue.shift()) await runJob(job, directory, report)
}
await Promise.all(Array.from({ length: slots }, work))
rmSync(directory, { recursive: true })
console.log(counts(total.passed, total.failed, total.skipped))
process.exitCode = total.failed > 0 ? 1 : 0
