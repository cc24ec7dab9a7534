/**
 * Which test files there are, and the processes that run them: natively, or in
 * labs of user-mode Linux, several at a time.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type FileResult, readTap, tail } from './read-tap.js'

export const layers = ['unit', 'kernel', 'mesh', 'swarm'] as const
export type Layer = (typeof layers)[number]

/** Longest time a file of the layer may take, seconds. In the lab programs start some ten times slower. */
const limits: Record<Layer, number> = { unit: 60, kernel: 180, mesh: 240, swarm: 900 }
/** Longest life of one lab, seconds. */
const labLimit = 1000

/** One process that runs test files of a layer in turn. */
export interface Job {
  readonly layer: Layer
  /** Sources: `test/unit/model/ports.test.ts`. */
  readonly files: readonly string[]
  readonly inLab: boolean
}

export interface FileReport extends FileResult {
  readonly file: string
  readonly seconds: number
}

/** Sources of a layer's test files whose path contains one of the words, if there are words. */
export function testFiles(layer: Layer, words: readonly string[]): string[] {
  if (!existsSync(`test/${layer}`)) return []
  return readdirSync(`test/${layer}`, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => `test/${layer}/${file}`)
    .filter(file => words.length === 0 || words.some(word => file.includes(word)))
    .sort()
}

/**
 * Deals files to jobs. Unit files are a job each, and so are files `….native.test.ts`
 * of any layer, which always run in this machine's own kernel: they need what the lab's
 * lacks, or nothing but namespaces, and are several times faster so. The kernel and mesh layers run in namespaces made for each file, so that many can
 * share one boot; they fill as many labs as run at a time. A swarm file has a lab to itself.
 */
export function dealJobs(
  files: ReadonlyMap<Layer, readonly string[]>,
  native: boolean,
  slots: number,
): Job[] {
  const jobs: Job[] = []
  for (const [layer, list] of files) {
    const isNative = (file: string) => file.endsWith('.native.test.ts')
    for (const file of list.filter(isNative)) jobs.push({ layer, files: [file], inLab: false })
    const others = list.filter(file => !isNative(file))
    const alone = layer === 'unit' || layer === 'swarm'
    const inLab = layer === 'swarm' || (layer !== 'unit' && !native)
    const count = alone ? others.length : Math.min(others.length, native ? 1 : slots)
    for (let i = 0; i < count; i++)
      jobs.push({ layer, files: others.filter((_, at) => at % count === i), inLab })
  }
  return jobs
}

const running = new Set<ChildProcess>()

/** Ends all that runs; a lab needs up to 5 s for it. */
export function endJobs(): void {
  for (const child of running) child.kill('SIGTERM')
}

/** Runs a job; `report` is called for each of its files, also for those it never came to. */
export function runJob(job: Job, directory: string, report: (file: FileReport) => void): Promise<void> {
  const limit = limits[job.layer]
  const compiled = new Map(job.files.map(file => [`dist/${file.replace(/ts$/, 'js')}`, file]))
  const how = job.layer === 'kernel' || job.layer === 'mesh' ? 'fresh' : 'plain'
  const lab = job.inLab ? ['scripts/lab', '-t', String(Math.min(labLimit, 60 + limit * compiled.size))] : []
  const argv = [...lab, 'scripts/testing/run-files', how, directory, String(limit), ...compiled.keys()]
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let words = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    words += text
  })
  const tell = (built: string, status: number | null, seconds: number) => {
    const file = compiled.get(built)
    if (!file) return
    compiled.delete(built)
    const output = (kind: string) => {
      const path = `${directory}/${built.replaceAll('/', '_')}.${kind}`
      return existsSync(path) ? readFileSync(path, 'utf8') : ''
    }
    const stderr = status === null ? `${output('err')}\n${tail(words, 30)}` : output('err')
    report({ file, seconds, ...readTap(output('tap'), { status, stderr, limit }) })
  }
  createInterface(child.stdout).on('line', line => {
    const [built = '', status, milliseconds] = line.split(' ')
    tell(built, Number(status), Number(milliseconds) / 1000)
  })
  return new Promise(resolve => {
    child.on('error', error => {
      words += error.message
    })
    child.on('close', () => {
      running.delete(child)
      for (const built of [...compiled.keys()]) tell(built, null, 0)
      resolve()
    })
  })
}
