/**
 * The store of a single machine: services in one JSON file. Not a database and not
 * shared: one agent owns it. meshd makes one at start and hands it to the loop.
 *
 * Files, beside one another:
 *   mesh.json                  the truth
 *   mesh.json.bak              a second copy of the same, written after it
 *   mesh.json.new              being written; worthless until it is renamed
 *   mesh.json.damaged-<time>   a file that could not be understood, kept for the person
 *
 * What a person finds after something went wrong, and what the mesh does meanwhile:
 *   - neither mesh.json nor .bak: nothing was published yet; an empty snapshot.
 *   - mesh.json missing, .bak good: somebody lost it. The copy becomes the truth again,
 *     trouble is told until the next update succeeds. Who means to begin anew removes both.
 *   - mesh.json damaged, .bak good: the copy becomes the truth, the damaged file is
 *     kept aside, trouble is told until the next update succeeds.
 *   - both damaged: no snapshot, so whatever the kernel holds goes on working; every
 *     update is refused, because built upon nothing it would take all other services
 *     down. A person puts a good file in place or removes the damaged one.
 *   - written by a newer version, or unreadable (EACCES, EIO): the same.
 * While nothing is known the file is read again every few seconds.
 */
import { copyFile, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MeshError, reasonOf } from '../errors.js'
import type { Service } from '../model/service.js'
import type { ServiceSnapshot } from '../model/snapshot.js'
import { type Content, formatContent, parseContent } from './embedded-file.js'
import type { Store } from './store.js'

/** How often an unreadable file is tried again, milliseconds. */
const retryGap = 1000

export class EmbeddedStore implements Store {
  readonly name: string
  readonly #path: string
  /** What the file holds; null while that is not known. */
  #content: Content | null = null
  /** Device, inode, size and time of the file as last read or written; '' when it was missing. */
  #identity = ''
  /** All work on the file runs through this chain, one after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  #listener: ((snapshot: ServiceSnapshot) => void) | null = null
  #onTrouble: (error: Error | null) => void = () => {}
  #retry: NodeJS.Timeout | null = null
  #closed = false

  /** `path`: `/var/lib/mesh/mesh.json`; its directory is made when needed. */
  constructor(path: string) {
    this.name = path
    this.#path = path
  }

  start(listener: (snapshot: ServiceSnapshot) => void, onTrouble: (error: Error | null) => void): void {
    this.#listener = listener
    this.#onTrouble = onTrouble
    void this.#enqueue(() => this.#begin())
  }

  async stop(): Promise<void> {
    this.#closed = true
    this.#listener = null
    if (this.#retry) clearTimeout(this.#retry)
    await this.#queue
  }

  close(): Promise<void> {
    return this.stop()
  }

  list(): Promise<readonly Service[]> {
    return this.#enqueue(async () => (await this.#known()).services)
  }

  update(change: (services: readonly Service[]) => readonly Service[]): Promise<readonly Service[]> {
    return this.#enqueue(async () => {
      const before = await this.#known()
      const services = [...change(before.services)].sort(byName)
      await this.#write({ revision: before.revision + 1, services })
      this.#deliver()
      return services
    })
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }

  /** First delivery; tries again later when nothing can be known now. */
  async #begin(): Promise<void> {
    if (this.#closed) return
    try {
      const repaired = await this.#load()
      this.#deliver()
      this.#onTrouble(repaired)
    } catch (error) {
      this.#onTrouble(error instanceof Error ? error : new MeshError('MESH_INTERNAL', reasonOf(error)))
      this.#retry = setTimeout(() => void this.#enqueue(() => this.#begin()), retryGap)
      this.#retry.unref()
    }
  }

  #deliver(): void {
    if (this.#content) this.#listener?.({ services: this.#content.services })
  }

  /** The content, read again when another hand has changed the file. Throws MESH_STORE. */
  async #known(): Promise<Content> {
    const identity = await identityOf(this.#path)
    // A file that vanished under us is no message: what is in memory is written with the next update.
    if (this.#content && (identity === this.#identity || identity === '')) return this.#content
    const repaired = await this.#load()
    this.#deliver()
    this.#onTrouble(repaired)
    if (!this.#content) throw new MeshError('MESH_INTERNAL', `${this.#path}: read without a result`)
    return this.#content
  }

  /**
   * Reads the file into memory. Returns null, or the trouble that was got over: a
   * damaged file put aside and replaced by what memory or the copy holds. Throws
   * MESH_STORE when nothing can be known.
   */
  async #load(): Promise<MeshError | null> {
    const identity = await identityOf(this.#path)
    if (identity === '') return this.#begunAnew()
    const text = await readText(this.#path)
    let damage: unknown
    try {
      this.#content = parseContent(text)
      this.#identity = identity
      return null
    } catch (error) {
      if (error instanceof MeshError && error.code === 'MESH_STORE')
        throw new MeshError('MESH_STORE', `${this.#path}: ${error.message}`) // sound, but not for this version
      damage = error
    }
    const aside = await putAside(this.#path)
    const told = `${this.#path} is damaged (${reasonOf(damage)}), kept as ${aside}`
    const copy = this.#content ?? (await readCopy(this.#path))
    if (!copy)
      throw new MeshError(
        'MESH_STORE',
        `${told}; there is no good copy of it, so services stay as the kernel has them; ` +
          `put a good file in its place, or remove ${this.#path} to begin with no services`,
      )
    return this.#goOn(copy, told)
  }

  /** Without a file: with what its copy holds, or with nothing. */
  async #begunAnew(): Promise<MeshError | null> {
    const copy = await readCopy(this.#path)
    if (copy)
      return this.#goOn(copy, `${this.#path} is missing; to begin with no services remove its copy .bak too`)
    this.#content = { revision: 0, services: [] }
    this.#identity = ''
    return null
  }

  /** Takes the copy for the truth and restores the file from it; the trouble that was got over. */
  async #goOn(copy: Content, told: string): Promise<MeshError> {
    this.#content = copy
    const going = `${told}; going on with revision ${copy.revision}`
    try {
      await this.#write(copy)
      return new MeshError('MESH_STORE', going)
    } catch (error) {
      return new MeshError('MESH_STORE', `${going}, which could not be written: ${reasonOf(error)}`)
    }
  }

  /** Makes `content` durable, then adopts it. Throws MESH_STORE and leaves all as it was. */
  async #write(content: Content): Promise<void> {
    const text = formatContent(content)
    try {
      parseContent(text) // what could not be read back must not be written
      await mkdir(dirname(this.#path), { recursive: true })
      await replaceFile(this.#path, text)
    } catch (error) {
      throw new MeshError('MESH_STORE', `write ${this.#path}: ${reasonOf(error)}`, { cause: error })
    }
    this.#content = content
    this.#identity = await identityOf(this.#path)
    try {
      await replaceFile(`${this.#path}.bak`, text)
      this.#onTrouble(null)
    } catch (error) {
      this.#onTrouble(new MeshError('MESH_STORE', `write the copy ${this.#path}.bak: ${reasonOf(error)}`))
    }
  }
}

function byName(a: Service, b: Service): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

/**
 * Replaces a file so that a crash at any moment leaves the old or the new content:
 * everything is on disk under another name before the name changes hands, and the
 * directory is synced so that the change of hands itself is on disk.
 */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  let file: FileHandle | null = null
  try {
    file = await open(temporary, 'w', 0o640)
    await file.writeFile(text)
    await file.sync()
    await file.close()
    file = null
    await rename(temporary, path)
  } catch (error) {
    await file?.close().catch(() => {})
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } catch (error) {
    // Some file systems do not sync directories (EINVAL); nothing better can be done there.
    if (codeOf(error) !== 'EINVAL') throw error
  } finally {
    await directory.close()
  }
}

/** '' when there is no such file. Throws MESH_STORE when that cannot be told. */
async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}`
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return ''
    throw new MeshError('MESH_STORE', `read ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

async function readText(path: string): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new MeshError('MESH_STORE', `read ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

/** What the file's copy holds, or null when that is missing or no better than the original. */
async function readCopy(path: string): Promise<Content | null> {
  try {
    return parseContent(await readText(`${path}.bak`))
  } catch {
    return null
  }
}

/** Copies a damaged file to a name made from its own time, so that trying again makes no second one. */
async function putAside(path: string): Promise<string> {
  try {
    const { mtime } = await stat(path)
    const aside = `${path}.damaged-${mtime.toISOString().replace(/[-:]|\.\d+/g, '')}`
    await copyFile(path, aside)
    return aside
  } catch (error) {
    throw new MeshError('MESH_STORE', `keep the damaged ${path} aside: ${reasonOf(error)}`, { cause: error })
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
