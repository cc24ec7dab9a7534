/**
 * Every error the mesh throws on purpose, and the one table of their codes.
 * Callers branch on `code`, never on class or text; README section 7 lists the
 * same codes, and a test compares the two.
 */

/** Code → what it means to the person who reads it. */
export const errorCodes = {
  MESH_BAD_INPUT: 'A field of a command, file or label is wrong; the message names field, value and remedy',
  MESH_PORT_TAKEN: 'The published port cannot be had on this node; the message says who holds it',
  MESH_VIP_TAKEN:
    'Another service has the VIP, or none is left; the message says which one, or how many there are',
  MESH_NOT_FOUND: 'No such service or published port',
  MESH_NETLINK: 'The kernel refused a netlink request; the message names operation, subject and errno',
  MESH_PROGRAM: 'An external program (iptables-restore, …) failed; the message quotes it',
  MESH_SOURCE: 'A source of wanted state (Docker, a file) could not be read',
  MESH_STORE: 'The store could not be read or written',
  MESH_UNSUPPORTED: 'The machine lacks something the mesh needs; the message says what and how to get it',
  MESH_UNREACHABLE: 'meshctl could not reach the agent',
  MESH_INTERNAL: 'A defect in the mesh itself',
} as const

export type ErrorCode = keyof typeof errorCodes

/** Base of all deliberate errors. */
export class MeshError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** Bad input: `field` and `value` as the person wrote them, what is wrong, `remedy` what to write instead. */
export class InputError extends MeshError {
  readonly field: string
  readonly value: string
  readonly problem: string
  readonly remedy: string
  constructor(field: string, value: string, problem: string, remedy: string) {
    super('MESH_BAD_INPUT', `${field} "${value}": ${problem}; ${remedy}`)
    this.field = field
    this.value = value
    this.problem = problem
    this.remedy = remedy
  }
}

/** A netlink request the kernel answered with an errno. */
export class NetlinkError extends MeshError {
  /** What was asked: `add destination`. */
  readonly operation: string
  /** On what: `10.0.1.5:80 of fwmark 0x122b8`. */
  readonly subject: string
  /** Positive errno, errno.h. */
  readonly errno: number
  /** `EEXIST`. */
  readonly errnoName: string
  /** NLMSGERR_ATTR_MSG, the kernel's own words, or null. */
  readonly kernelMessage: string | null
  constructor(
    operation: string,
    subject: string,
    errno: number,
    errnoName: string,
    kernelMessage: string | null,
    options?: { cause?: unknown },
  ) {
    super(
      'MESH_NETLINK',
      `${operation} ${subject}: ${errnoName}${kernelMessage ? ` (${kernelMessage})` : ''}`,
      options,
    )
    this.operation = operation
    this.subject = subject
    this.errno = errno
    this.errnoName = errnoName
    this.kernelMessage = kernelMessage
  }
}

/** An external program that ended with a status other than 0. Programs run with LC_ALL=C. */
export class ProgramError extends MeshError {
  readonly argv: readonly string[]
  readonly exitCode: number | null
  readonly stderr: string
  constructor(
    argv: readonly string[],
    exitCode: number | null,
    stderr: string,
    options?: { cause?: unknown },
  ) {
    super('MESH_PROGRAM', `${argv.join(' ')}: ${stderr.trim() || `exit status ${exitCode}`}`, options)
    this.argv = argv
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

/** A source that could not be read; `source` is its name: `docker`, `/etc/mesh/mesh.yaml`. */
export class SourceError extends MeshError {
  readonly source: string
  constructor(source: string, reason: string, options?: { cause?: unknown }) {
    super('MESH_SOURCE', `${source}: ${reason}`, options)
    this.source = source
  }
}

/** The reason of any thrown value as one line. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
