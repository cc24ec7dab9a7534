/**
 * The bench behind `npm run bench`; started by scripts/bench/run after the build.
 *
 *   npm run bench -- [--quick] [--list] [PART]...
 *
 * `--quick` is a first impression: fewer rounds, smaller numbers, and unless parts are
 * named only some of them. Each part runs in a process of its own, in this machine's kernel
 * or in a lab, one after the other. Exit status 1 when a part fails; a missed goal is no failure.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { type Part, parts } from './parts.js'
import { markdown, type Section } from './report.js'

const words = process.argv.slice(2)
const names = words.filter(word => !word.startsWith('--'))
const unknown = [
  ...names.filter(name => !parts.some(part => part.name === name)),
  ...words.filter(word => word.startsWith('--') && !['--quick', '--list'].includes(word)),
]
if (unknown.length > 0 || words.includes('--list')) {
  for (const word of unknown) console.error(`bench: there is no part or flag ${word}`)
  for (const { name, about } of parts) console.log(`${name.padEnd(12)}${about}`)
  process.exit(unknown.length > 0 ? 2 : 0)
}

function kernelHasIpvs(): boolean {
  if (process.getuid?.() !== 0) return false
  if (!existsSync('/proc/net/ip_vs')) spawnSync('modprobe', ['-q', 'ip_vs'])
  return existsSync('/proc/net/ip_vs')
}

/** The command in front of a part: namespaces of its own, a lab around them where need be. */
function surroundings(part: Part, native: boolean): { readonly argv: string[]; readonly where: string } {
  const limit = ['-t', String(part.limit)]
  if (part.needs === 'nodes')
    return {
      argv: ['scripts/lab', '-m', '4G', ...limit],
      where: 'in the lab, which holds its Docker Engines',
    }
  if (native || part.needs === 'machine')
    return { argv: ['scripts/fresh'], where: `natively, in this machine's Linux ${release()}` }
  const where = "in the lab (user-mode Linux): this machine's kernel has no IPVS"
  return { argv: ['scripts/lab', ...limit, 'scripts/fresh'], where }
}

interface Result {
  readonly part: string
  readonly where: string
  readonly sections: readonly Section[]
}

/** What parts start in their namespaces: the test server, and programs of this directory. */
function makePrograms(): void {
  const stdio = ['ignore', 'inherit', 'inherit'] as const
  spawnSync('scripts/image/make', ['--tar'], { stdio: [...stdio] })
  for (const name of ['datagrams', 'connections', 'requests'])
    spawnSync('cc', ['-O2', '-o', `.lab/${name}`, `scripts/bench/${name}.c`], { stdio: [...stdio] })
}

const quick = words.includes('--quick')
const wanted = parts.filter(({ name, inQuick }) =>
  names.length > 0 ? names.includes(name) : inQuick || !quick,
)
const native = kernelHasIpvs()
mkdirSync('.lab', { recursive: true })
makePrograms()
const directory = mkdtempSync('.lab/bench-')
const results: Result[] = []
for (const part of wanted) {
  const { argv, where } = surroundings(part, native)
  if (part.needs === 'nodes') spawnSync('scripts/image/make', { stdio: ['ignore', 'inherit', 'inherit'] })
  console.log(`## ${part.name}\n\nRuns ${where}.\n`)
  const file = `${directory}/${part.name}.json`
  const flags = quick ? ['--quick'] : []
  const node = ['node', '--expose-gc', '--enable-source-maps', 'dist/scripts/bench/part.js']
  // What else this machine does is no part of what is measured.
  const first = process.getuid?.() === 0 ? ['nice', '-n', '-15'] : []
  const [program = '', ...args] = [...first, ...argv, ...node, part.name, file, ...flags]
  const { status } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0 || !existsSync(file)) {
    console.log(`**${part.name} failed** with exit status ${status}\n`)
    process.exitCode = 1
    continue
  }
  const sections = JSON.parse(readFileSync(file, 'utf8')) as Section[]
  results.push({ part: part.name, where, sections })
  for (const section of sections) console.log(`${markdown(section)}\n`)
}
rmSync(directory, { recursive: true })

const others = parts.filter(part => quick && names.length === 0 && !part.inQuick)
if (others.length > 0)
  console.log(`Not measured, unless they are named: ${others.map(({ name }) => name).join(', ')}.\n`)
if (results.length > 0) {
  const date = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  const commit = spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).stdout?.trim()
  const machine = { node: process.version, cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release() }
  mkdirSync('scripts/bench/results', { recursive: true })
  const path = `scripts/bench/results/${date}.json`
  writeFileSync(path, `${JSON.stringify({ date, commit, machine, results }, null, 1)}\n`)
  console.log(`Every sample: ${path}`)
}
