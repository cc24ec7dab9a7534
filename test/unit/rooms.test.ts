/**
 * The rooms under src/ and what each may know of the others. Reads every import
 * line; one that this table does not allow fails, with the reason.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

interface Room {
  /** Rooms, or single files of rooms, that it may import. */
  readonly may: readonly string[]
  /** Packages it may import; `node:` stands for all of Node's own modules. */
  readonly packages: readonly string[]
  /** What would be lost. */
  readonly why: string
}

/** Node's modules without effects: the pure rooms may use them. */
const pure = ['node:util']

const rooms: Readonly<Record<string, Room>> = {
  model: {
    may: [],
    packages: pure,
    why: 'the words of the mesh are pure and know nothing of kernels, sources or files',
  },
  kernel: {
    may: [],
    packages: pure,
    why: 'the words of the kernel are pure: wanted and observed state compare without a kernel',
  },
  planner: {
    may: ['model', 'kernel'],
    packages: [...pure, 'ip-address'],
    why: 'planning is a pure function from mesh to kernel state, tested as a table',
  },
  netlink: {
    may: [],
    packages: ['node:', 'netlink'],
    why: 'wire and sockets know messages, not what the mesh wants with them',
  },
  drivers: {
    may: ['kernel', 'netlink'],
    packages: ['node:', 'execa'],
    why: 'drivers make kernel objects so, and never decide which there should be',
  },
  sources: {
    may: ['model'],
    packages: ['node:', 'dockerode', 'yaml', 'zod'],
    why: 'sources say what should be, and do not know how it is done',
  },
  store: {
    may: ['model', 'sources/source.ts'],
    packages: ['node:', 'zod'],
    why: 'a store keeps services and nothing else, so that another can take its place',
  },
  reconcile: {
    may: ['model', 'planner', 'kernel', 'sources/source.ts', 'store/store.ts'],
    packages: pure,
    why: 'the loop gets drivers, sources and store as arguments, so that tests can give it others',
  },
  status: {
    may: ['model', 'kernel'],
    packages: ['node:', 'prom-client', 'zod'],
    why: 'telling what happened must not be able to change it: the agent is an interface here',
  },
  health: {
    may: ['model', 'netlink'],
    packages: ['node:'],
    why: 'health asks whether something answers; what follows from that is decided elsewhere',
  },
  dns: {
    may: ['model', 'netlink/addon.ts'],
    packages: ['node:', 'dns-packet', 'ip-address'],
    why: 'the resolver knows names and addresses, and nothing of how packets get there',
  },
  config: {
    may: ['model'],
    packages: ['node:', 'ip-address', 'yaml', 'zod'],
    why: 'settings are read and checked before anything that has effects is loaded',
  },
  agent: {
    may: [
      'model',
      'kernel',
      'planner',
      'netlink',
      'drivers',
      'sources',
      'store',
      'reconcile',
      'status',
      'health',
      'dns',
      'config',
    ],
    packages: ['node:', 'pino'],
    why: 'the composition of the rooms knows them all, but not the command line',
  },
  cli: {
    may: ['model', 'status', 'config', 'agent'],
    packages: ['node:', 'yargs'],
    why: 'commands ask the agent; what it is made of is not theirs to reach for',
  },
}

/** Free to all. */
const shared = ['errors.ts']

/** What is wrong with the imports of one file, a sentence each. `file` is relative to src/. */
function complaints(file: string, text: string): string[] {
  const [name = ''] = file.split('/')
  const room = rooms[name]
  if (!room)
    return shared.includes(file) ? [] : [`src/${file}: no room of this table; add it with its reasons`]
  const found: string[] = []
  for (const [, specifier = ''] of text.matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)) {
    if (specifier.startsWith('.')) {
      const target = normalize(join(dirname(file), specifier)).replace(/\.js$/, '.ts')
      const [there = ''] = target.split('/')
      const allowed =
        there === name || [...room.may, ...shared].some(each => each === there || each === target)
      if (!allowed) found.push(`src/${file} imports ${target}: ${room.why}`)
    } else if (
      !room.packages.some(each => (each === 'node:' ? specifier.startsWith(each) : isOf(specifier, each)))
    )
      found.push(`src/${file} imports ${specifier}, which is no package of room ${name}: ${room.why}`)
  }
  return found
}

/** Whether a specifier is of a package, or a file of it. */
function isOf(specifier: string, name: string): boolean {
  return specifier === name || specifier.startsWith(`${name}/`)
}

t.test('every import is one that the table of rooms allows', async t => {
  const src = join(dirname(fileURLToPath(import.meta.url)), '../../../src')
  const files = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(src, join(entry.parentPath, entry.name)))
  t.ok(files.length > 50, 'the sources were found')
  t.same(
    files.flatMap(file => complaints(file, readFileSync(join(src, file), 'utf8'))),
    [],
  )
})

t.test('each kind of forbidden import is caught', async t => {
  t.match(complaints('model/x.ts', "import { a } from '../kernel/objects.js'"), [
    /model\/x\.ts imports kernel\/objects\.ts: the words/,
  ])
  t.match(complaints('model/x.ts', "export type { A } from '../kernel/objects.js'"), [/kernel/])
  t.match(complaints('cli/commands/x.ts', "const a = await import('../../drivers/all.js')"), [
    /drivers\/all\.ts/,
  ])
  t.match(complaints('status/x.ts', "import type {\n  A,\n} from '../sources/source.js'"), [/sources/])
  t.match(complaints('planner/x.ts', "import { readFileSync } from 'node:fs'"), [
    /node:fs, which is no package/,
  ])
  t.match(complaints('cli/x.ts', "import 'dockerode'"), [/dockerode/])
  t.match(complaints('netlink/x.ts', "import a from 'netlinkwrapper'"), [/netlinkwrapper/])
  t.match(complaints('attic/x.ts', ''), [/no room of this table/])
  t.match(complaints('x.ts', ''), [/no room/])
  t.same(complaints('store/x.ts', "import type { A } from '../sources/source.js'"), [])
  t.same(complaints('store/x.ts', "import { a } from '../sources/docker.js'").length, 1)
  t.same(complaints('cli/commands/x.ts', "import { a } from '../../errors.js'"), [])
})
