/**
 * Runs external programs (iptables-save, modprobe, …) in a given network namespace,
 * with LC_ALL=C, and turns their failures into errors that say what to do.
 */
import { execa } from 'execa'
import { MeshError, ProgramError } from '../errors.js'
import { runInNamespace } from '../netlink/addon.js'

/** Debian's package of each program we run. */
const packages: Readonly<Record<string, string>> = { modprobe: 'kmod', conntrack: 'conntrack' }

function packageOf(program: string): string {
  return packages[program] ?? (/^ip6?tables/.test(program) ? 'iptables' : program)
}

export interface ProgramResult {
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs `argv` in the namespace at `path` (null: our own) with `input` on its
 * standard input. Throws ProgramError when it ends with another status than 0, and
 * MESH_UNSUPPORTED when there is no such program.
 */
export async function runProgram(
  argv: readonly string[],
  path: string | null,
  input = '',
): Promise<ProgramResult> {
  const [file = '', ...args] = argv
  // execa starts the child before it returns, while this thread is still in the namespace
  const start = () =>
    execa(file, args, {
      input,
      env: { LC_ALL: 'C' },
      reject: false,
      stripFinalNewline: false,
      timeout: 60_000,
    })
  // wrapped, because a subprocess is a promise and an async function would wait for it inside
  const { child } = path === null ? { child: start() } : runInNamespace(path, () => ({ child: start() }))
  const result = await child
  if (!result.failed) return { stdout: result.stdout, stderr: result.stderr }
  if (result.code === 'ENOENT')
    throw new MeshError(
      'MESH_UNSUPPORTED',
      `the program ${file} is missing: install the package ${packageOf(file)} (apt-get install ${packageOf(file)})`,
      { cause: result },
    )
  throw new ProgramError(argv, result.exitCode ?? null, result.stderr || (result.shortMessage ?? ''), {
    cause: result,
  })
}

/**
 * Tries to load a kernel module, with parameters `name=value`; whether that went well. Never
 * throws: the caller finds out what is missing.
 */
export async function loadModule(name: string, ...parameters: string[]): Promise<boolean> {
  try {
    await runProgram(['modprobe', name, ...parameters], null)
    return true
  } catch {
    return false
  }
}
